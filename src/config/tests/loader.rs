//! Tests of the loader: precedence and origins.

use std::path::Path;

use super::{FINGERPRINT, KEYS, refused};
use crate::config::Profile;
use crate::config::loader::ProfileLoader;
use crate::config::origin::Origin;
use crate::types::error::Result;

fn load(loader: ProfileLoader, variables: &[(&str, &str)]) -> Result<Profile> {
    loader.load_from(&|name| {
        let found = variables.iter().find(|(key, _)| *key == name)?;
        Some(found.1.to_owned())
    })
}

/// Writes a profile to a file and returns a loader for it.
fn written(folder: &Path, name: &str, text: &str) -> ProfileLoader {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    Profile::loader().file(path)
}

fn variable(name: &str) -> Origin {
    Origin::Variable(name.to_owned())
}

#[test]
fn the_program_comes_before_the_file_and_the_file_before_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let file = written(
        folder.path(),
        "profile.json",
        r#"{"account": "file", "user": "file", "role": "file"}"#,
    );
    let variables = [
        ("SNOWFLAKE_ACCOUNT", "environment"),
        ("SNOWFLAKE_USER", "environment"),
        ("SNOWFLAKE_ROLE", "environment"),
        ("SNOWFLAKE_DATABASE", "environment"),
    ];
    let profile = load(file.set("role", "program").set("unknown", "x"), &variables).unwrap();
    assert_eq!((profile.account(), profile.user()), ("file", Some("file")));
    assert_eq!(
        (profile.role(), profile.database()),
        (Some("program"), Some("environment"))
    );
    let path = Origin::File(folder.path().join("profile.json"));
    let origins: Vec<_> = profile.origins().collect();
    assert_eq!(
        origins,
        [
            ("account", &path),
            ("database", &variable("SNOWFLAKE_DATABASE")),
            ("role", &Origin::Program),
            ("user", &path),
        ]
    );
    let later = profile.with_database("D").with_private_key_file("k");
    assert_eq!(later.origin("database"), Some(&Origin::Program));
    assert_eq!(later.origin("private_key_file"), Some(&Origin::Program));
    assert_eq!(later.origin("private_key"), None);
}

#[test]
fn origins_read_as_phrases() {
    for (origin, phrase) in [
        (Origin::Program, "the program"),
        (Origin::Text, "the profile's text"),
        (Origin::File("p.json".into()), "p.json"),
        (
            Origin::Connection {
                name: "dev".into(),
                file: "c.toml".into(),
            },
            "connection \"dev\" in c.toml",
        ),
        (variable("X"), "X in the environment"),
    ] {
        assert_eq!(origin.to_string(), phrase);
    }
}

#[test]
fn alternative_settings_hide_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let file = written(
        folder.path(),
        "profile.json",
        r#"{"account": "a", "user": "u", "host": "one.example", "port": 444, "private_key": "text"}"#,
    );
    let key_file = format!("{KEYS}/rsa_p8.pem");
    let near = file
        .clone()
        .set("url", "https://two.example")
        .set("private_key_file", &key_file);
    let profile = load(near, &[]).unwrap();
    assert_eq!(profile.url().unwrap(), "https://two.example/");
    assert_eq!(profile.key_pair().unwrap().fingerprint(), FINGERPRINT);
    assert_eq!(profile.origin("private_key"), None);
    assert_eq!(profile.origin("host"), None);

    let far = [("PRIVATE_KEY_FILE", key_file.as_str())];
    let profile = load(file.clone(), &far).unwrap();
    assert_eq!(profile.url().unwrap(), "https://one.example:444/");
    assert_eq!(profile.origin("private_key_file"), None);
    // A host with higher precedence hides a URL.
    let profile = load(
        written(
            folder.path(),
            "url.json",
            r#"{"account": "a", "user": "u", "url": "https://one.example"}"#,
        )
        .set("host", "two.example"),
        &[],
    );
    assert_eq!(profile.unwrap().url().unwrap(), "https://two.example/");
    refused(
        load(
            file.set("private_key_file", "x").set("private_key", "y"),
            &[],
        ),
        &["both", "private_key_file"],
    );
}

#[test]
fn a_passphrase_may_come_from_another_place_than_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let key = Path::new(KEYS).join("rsa_p8_aes256.pem");
    std::fs::copy(key, folder.path().join("key.p8")).unwrap();
    let file = written(
        folder.path(),
        "profile.json",
        r#"{"account": "a", "user": "u", "private_key_file": "key.p8"}"#,
    );
    let profile = load(file, &[("PRIVATE_KEY_PASSPHRASE", "snowpipe")]).unwrap();
    assert_eq!(profile.key_pair().unwrap().fingerprint(), FINGERPRINT);
}

#[test]
fn the_environments_host_is_not_used_for_another_account() {
    let variables = [
        ("SNOWFLAKE_ACCOUNT", "environment"),
        ("SNOWFLAKE_USER", "u"),
        ("SNOWFLAKE_HOST", "environment.example"),
        ("SNOWFLAKE_PORT", "444"),
    ];
    let own = load(Profile::loader(), &variables).unwrap();
    assert_eq!(own.url().unwrap(), "https://environment.example:444/");
    let other = load(Profile::loader().set("account", "other"), &variables).unwrap();
    assert_eq!(
        other.url().unwrap(),
        "https://other.snowflakecomputing.com/"
    );
    // Not even a part of it.
    for part in [
        ("SNOWFLAKE_URL", "https://environment.example"),
        ("SNOWFLAKE_HOST", "environment.example"),
        ("SNOWFLAKE_PORT", "444"),
        ("SNOWFLAKE_SCHEME", "http"),
    ] {
        let variables = [part, ("SNOWFLAKE_USER", "u")];
        let ours = Profile::loader().set("account", "other");
        let other = load(ours.clone(), &variables).unwrap();
        assert_eq!(
            other.url().unwrap(),
            "https://other.snowflakecomputing.com/",
            "{part:?}"
        );
        let hosted = load(ours.set("host", "ours.example"), &variables).unwrap();
        assert_eq!(hosted.url().unwrap(), "https://ours.example/", "{part:?}");
    }
}

#[test]
fn a_url_and_the_parts_of_one_are_not_mixed() {
    let folder = tempfile::tempdir().unwrap();
    let of_file = |text| written(folder.path(), "parts.json", text);
    let parts = of_file(
        r#"{"account": "a", "user": "u", "host": "one.example", "port": 444, "scheme": "https"}"#,
    );
    let url = |loader: ProfileLoader| load(loader, &[]).unwrap().url().unwrap();
    let whole = "https://two.example:445";
    assert_eq!(
        url(parts.clone().set("url", whole)),
        "https://two.example:445/"
    );
    // A port that is nearer than the host belongs to it.
    assert_eq!(url(parts.set("port", "446")), "https://one.example:446/");
    let whole = of_file(r#"{"account": "a", "user": "u", "url": "https://one.example:444"}"#);
    assert_eq!(
        url(whole.clone().set("port", "446")),
        "https://one.example:444/"
    );
    assert_eq!(
        url(whole.set("host", "two.example")),
        "https://two.example/"
    );
}

#[test]
fn the_environments_token_endpoint_is_not_used_for_another_client() {
    let folder = tempfile::tempdir().unwrap();
    let of_file = |text| written(folder.path(), "client.json", text);
    let variables = [
        ("SNOWFLAKE_OAUTH_CLIENT_ID", "theirs"),
        ("SNOWFLAKE_OAUTH_CLIENT_SECRET", "hush"),
        (
            "SNOWFLAKE_OAUTH_TOKEN_ENDPOINT",
            "https://environment.example/token",
        ),
    ];
    let endpoint = |loader: ProfileLoader| {
        let profile = load(loader, &variables).unwrap();
        let from = profile.origin("oauth_token_endpoint").cloned();
        (profile.oauth.token_endpoint, from)
    };
    let whole = of_file(
        r#"{"account": "a", "authorization_type": "OAUTH", "oauth_client_id": "ours", "oauth_client_secret": "s"}"#,
    );
    assert_eq!(
        endpoint(whole.clone()),
        (None, None),
        "the secret must not go to another client's server"
    );
    let named = whole.set("oauth_token_endpoint", "https://program.example/token");
    assert_eq!(
        endpoint(named),
        (
            Some("https://program.example/token".to_owned()),
            Some(Origin::Program)
        )
    );
    let without_secret =
        of_file(r#"{"account": "a", "authorization_type": "OAUTH", "oauth_client_id": "theirs"}"#);
    let gap = endpoint(without_secret).0;
    assert_eq!(gap.as_deref(), Some("https://environment.example/token"));
}

#[test]
fn credentials_of_another_kind_in_a_later_place_are_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let token = written(
        folder.path(),
        "token.json",
        r#"{"account": "a", "authorization_type": "PAT", "personal_access_token": "t"}"#,
    );
    let key = load(token.clone(), &[("PRIVATE_KEY_FILE", "k")]).unwrap();
    assert_eq!(key.origin("private_key_file"), None);
    assert_eq!(
        key.origin("personal_access_token"),
        Some(&Origin::File(folder.path().join("token.json")))
    );
    refused(
        load(token.set("private_key_file", "k"), &[]),
        &["private_key_file", "PAT"],
    );
    let key = written(
        folder.path(),
        "key.json",
        r#"{"account": "a", "user": "u", "private_key_file": "k"}"#,
    );
    load(key, &[("SNOWFLAKE_TOKEN", "t")]).unwrap();
}

#[test]
fn the_variable_of_the_container_comes_before_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = written(
        folder.path(),
        "profile.json",
        r#"{"account": "a", "authorization_type": "SPCS", "spcs_token_path": "/from/file"}"#,
    );
    let variables = [("SNOWFLAKE_SPCS_TOKEN_PATH", "/from/variable")];
    let token_file = |variables| load(file.clone(), variables).unwrap().token_file;
    assert_eq!(token_file(&[]), Some("/from/file".into()));
    assert_eq!(token_file(&variables), Some("/from/variable".into()));
    let program = file.set("spcs_token_path", "/from/program");
    let program = load(program, &variables).unwrap().token_file;
    assert_eq!(program, Some("/from/program".into()));
}

#[test]
fn a_profile_may_be_a_properties_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(
        Path::new(KEYS).join("rsa_p8.pem"),
        folder.path().join("key.p8"),
    )
    .unwrap();
    let text = "# of the loader\naccount = my_org-acct\nuser: LOADER\n\nport=444\nhost = h.example\n\
                private_key_file=key.p8\nmax_client_lag=1\n";
    let loader = written(folder.path(), "snowpipe.properties", text);
    let profile = load(loader, &[]).unwrap();
    assert_eq!(profile.user(), Some("LOADER"));
    assert_eq!(profile.url().unwrap(), "https://h.example:444/");
    assert_eq!(profile.key_pair().unwrap().fingerprint(), FINGERPRINT);
    let same = Profile::from_file(folder.path().join("snowpipe.properties")).unwrap();
    assert_eq!(same.account(), "my_org-acct");
    assert_eq!(
        Profile::from_properties(text).unwrap().account(),
        "my_org-acct"
    );
    let broken = written(folder.path(), "broken.properties", "account=\\u1");
    refused(load(broken, &[]), &["broken.properties", "line 1"]);
}

#[test]
fn a_home_folder_is_found_for_a_path() {
    let home = Path::new(KEYS).to_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let loader = written(
        folder.path(),
        "profile.json",
        r#"{"account": "a", "user": "u", "private_key_file": "~/rsa_p8.pem"}"#,
    );
    let profile = load(loader, &[("HOME", home), ("USERPROFILE", home)]).unwrap();
    assert_eq!(profile.key_pair().unwrap().fingerprint(), FINGERPRINT);
}
