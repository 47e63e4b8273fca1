//! Configuration from the files and the environment of a machine.

use serde_json::Value;
use snowpipe_streaming::sql::{SqlClient, Statement};
use snowpipe_streaming::{PipePath, Profile, Result, StreamingIngestClient};
use snowpipe_streaming_emulator::{Emulator, Server};

use crate::client::network::{URL, run};
use crate::scripted_server::within;
use crate::support::row;

/// Streams with the discovered configuration, and returns its settings.
async fn stream() -> Result<String> {
    let profile = Profile::discover()?;
    let settings = ["account", "role", "database"].map(|key| {
        let origin = profile.origin(key).map(ToString::to_string);
        format!("{key}: {}", origin.unwrap_or_default())
    });
    let pipe = PipePath::new(profile.database().unwrap_or_default(), "PUBLIC", "P")?;
    let sql = SqlClient::builder(profile.clone()).build()?;
    sql.query(&Statement::new("SELECT 1")).await?;
    let client = StreamingIngestClient::builder(profile, pipe)
        .build()
        .await?;
    let mut channel = client.open_channel("c").await?;
    let receipt = channel.append_row(&row(1), 1).await?;
    within(receipt.committed()).await?;
    channel.close().await?;
    Ok(settings.join("\n"))
}

#[tokio::test]
async fn a_connection_of_the_cli_is_discovered_and_streams() {
    const THIS: &str = "client::config::a_connection_of_the_cli_is_discovered_and_streams";
    if std::env::var(URL).is_ok() {
        return println!("{}", stream().await.unwrap());
    }
    let server = Server::bind(
        Emulator::builder().build().unwrap(),
        ([127, 0, 0, 1], 0).into(),
    )
    .await
    .unwrap();
    let profile = server.emulator().profile_json(&server.url());
    let profile: Value = serde_json::from_str(&profile).unwrap();
    let home = tempfile::tempdir().unwrap();
    let key = home.path().join("key.p8");
    std::fs::write(&key, profile["private_key"].as_str().unwrap()).unwrap();
    let connections = home.path().join("connections.toml");
    let text = format!(
        "[rides]\naccount = {}\nuser = {}\nauthenticator = \"SNOWFLAKE_JWT\"\n\
         private_key_path = {key:?}\nprotocol = \"http\"\nhost = \"127.0.0.1\"\nport = {}\n",
        profile["account"],
        profile["user"],
        server.local_addr().port()
    );
    std::fs::write(&connections, text).unwrap();
    let settings = run(
        THIS,
        server.url(),
        &[
            ("SNOWFLAKE_HOME", home.path().display().to_string()),
            ("SNOWFLAKE_DEFAULT_CONNECTION_NAME", "rides".to_owned()),
            ("SNOWFLAKE_CONNECTIONS_RIDES_ROLE", "LOADER".to_owned()),
            ("SNOWFLAKE_ROLE", "NOBODY".to_owned()),
            ("SNOWFLAKE_DATABASE", "DB".to_owned()),
            // The proxy is not used for this machine.
            ("HTTP_PROXY", "http://proxy.invalid:3128".to_owned()),
        ],
    )
    .await;
    for line in [
        format!("account: connection \"rides\" in {}", connections.display()),
        "role: SNOWFLAKE_CONNECTIONS_RIDES_ROLE in the environment".to_owned(),
        "database: SNOWFLAKE_DATABASE in the environment".to_owned(),
    ] {
        assert!(settings.contains(&line), "{line:?} is not in:\n{settings}");
    }
    assert_eq!(server.emulator().rows("DB.PUBLIC.P").unwrap().len(), 1);
    server.shutdown().await;
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_warned_of() {
    use std::fs::{Permissions, copy, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key.p8");
    copy("tests/fixtures/keys/rsa_p8.pem", &key).unwrap();
    let profile = Profile::new("a").with_user("u").with_private_key_file(&key);
    for (mode, warned) in [(0o600, false), (0o644, true)] {
        set_permissions(&key, Permissions::from_mode(mode)).unwrap();
        let trace = snowpipe_connector_support::trace::Trace::of(tracing::Level::WARN);
        profile.rsa_public_key().unwrap();
        let text = trace.text();
        assert_eq!(
            text.contains("other users can read the private key"),
            warned,
            "{mode:o}: {text}"
        );
        assert_eq!(text.contains(&key.display().to_string()), warned);
    }
}

#[cfg(unix)]
#[test]
fn a_profile_that_others_can_read_is_warned_of_if_it_has_a_secret() {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("profile.json");
    let public = r#"{"account": "a", "user": "u", "private_key_file": "key.p8"}"#;
    let secret = r#"{"account": "a", "user": "u", "private_key": "text"}"#;
    for (text, mode, warned) in [
        (public, 0o644, false),
        (secret, 0o644, true),
        (secret, 0o600, false),
    ] {
        std::fs::write(&path, text).unwrap();
        set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let trace = snowpipe_connector_support::trace::Trace::of(tracing::Level::WARN);
        Profile::from_file(&path).unwrap();
        let warnings = trace.text();
        let has_warned = warnings.contains("other users can read the profile");
        assert_eq!(has_warned, warned, "{mode:o}: {warnings}");
    }
}
