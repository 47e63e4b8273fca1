//! Network settings of the environment, in a separate process: proxies and trusted certificate authorities.

use std::process::Command;

use snowpipe_streaming::sql::{SqlClient, TableName};
use snowpipe_streaming::transport::{HttpTransport, Request, Transport as _};
use snowpipe_streaming::{PipePath, Profile, StreamingIngestClient};
use snowpipe_streaming_emulator::tables::Catalog;
use snowpipe_streaming_emulator::{Emulator, Server};

use crate::client::proxy::{Proxy, USER};
use crate::client::tls::{Authority, before};
use crate::scripted_server::{Stage, within};
use crate::support::row;

/// The variable with the URL or the profile for the process.
pub const URL: &str = "SNOWPIPE_TEST_URL";

/// Whether a variable may contain network settings of the machine that runs the tests.
fn is_setting(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let begins = ["SNOWFLAKE_", "SSL_CERT_", "PRIVATE_KEY", "SS_"];
    begins.iter().any(|begin| name.starts_with(begin))
        || name.ends_with("_PROXY")
        || ["DATABASE_NAME", "SCHEMA_NAME"].contains(&&*name)
}

/// Runs this test in a process with this environment, and returns its output.
pub async fn run(test: &'static str, url: String, variables: &[(&'static str, String)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture"]);
    for (name, _) in std::env::vars_os() {
        if is_setting(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
    command.env(URL, url).envs(variables.iter().cloned());
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.unwrap().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Requests `url` and prints the result. Runs in the separate process.
async fn ask(url: String) {
    let answer = match HttpTransport::builder().build() {
        Ok(transport) => {
            let mut request = Request::default();
            *request.uri_mut() = url.parse().unwrap();
            let answer = within(transport.call(request)).await;
            answer.map_or_else(|why| why.to_string(), |answer| answer.status().to_string())
        }
        Err(why) => why.to_string(),
    };
    println!("answer: {answer}");
}

#[tokio::test]
async fn proxies_and_authorities_of_the_environment_are_honoured() {
    const THIS: &str = "client::network::proxies_and_authorities_of_the_environment_are_honoured";
    if let Ok(url) = std::env::var(URL) {
        return ask(url).await;
    }
    let (stage, authority, other) = (Stage::new().await, Authority::new(), Authority::new());
    let tls = before(&stage, authority.acceptor("127.0.0.1")).await;
    let url = format!("{tls}/v2/streaming/hostname");
    let proxy = Proxy::new().await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("ca.pem"), authority.pem()).unwrap();
    std::fs::write(path("other.pem"), other.pem()).unwrap();
    let file = ("SSL_CERT_FILE", path("ca.pem"));

    let answer = run(
        THIS,
        url.clone(),
        &[file.clone(), ("HTTPS_PROXY", proxy.url(USER))],
    )
    .await;
    assert!(answer.contains("answer: 200 OK"), "{answer}");
    assert_eq!(proxy.seen().len(), 1);

    let answer = run(
        THIS,
        url.clone(),
        &[file.clone(), ("ALL_PROXY", proxy.url("user:hush"))],
    )
    .await;
    assert!(answer.contains("answer: the proxy"), "{answer}");
    assert!(
        answer.contains("407") && !answer.contains("hush"),
        "{answer}"
    );
    assert_eq!(proxy.seen().len(), 2);

    let around = [
        file.clone(),
        ("https_proxy", proxy.url(USER)),
        ("no_proxy", "example.com,127.0.0.0/8".to_owned()),
    ];
    let answer = run(THIS, url.clone(), &around).await;
    assert!(answer.contains("answer: 200 OK"), "{answer}");
    assert_eq!(proxy.seen().len(), 2, "past the proxy");

    let both = [
        ("SSL_CERT_FILE", path("other.pem")),
        ("SSL_CERT_DIR", folder.path().display().to_string()),
    ];
    let answer = run(THIS, url.clone(), &both).await;
    assert!(answer.contains("answer: 200 OK"), "{answer}");

    let answer = run(THIS, url.clone(), &[("SSL_CERT_FILE", path("other.pem"))]).await;
    assert!(
        answer.contains("not from an authority that this machine trusts"),
        "{answer}"
    );

    let answer = run(THIS, url, &[("SSL_CERT_FILE", path("missing.pem"))]).await;
    assert!(answer.contains("missing.pem"), "{answer}");
}

#[tokio::test]
async fn plain_http_to_this_machine_bypasses_the_proxies_of_the_environment() {
    const THIS: &str =
        "client::network::plain_http_to_this_machine_bypasses_the_proxies_of_the_environment";
    if let Ok(url) = std::env::var(URL) {
        return ask(url).await;
    }
    let (stage, proxy) = (Stage::new().await, Proxy::new().await);
    // A token endpoint may have such a URL, whatever the account's URL is.
    let url = format!("{}/v2/streaming/hostname", stage.url());
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        let answer = run(THIS, url.clone(), &[(name, proxy.url(USER))]).await;
        assert!(answer.contains("answer: 200 OK"), "{name}: {answer}");
    }
    assert_eq!(proxy.seen(), [""; 0]);
}

/// Prints the results of both clients of an emulator.
async fn count(profile: &str) {
    let profile = Profile::from_json(profile).unwrap();
    let pipe = PipePath::for_table("DB", "PUBLIC", "RIDES").unwrap();
    let client = StreamingIngestClient::builder(profile.clone(), pipe).build();
    let channels = within(client).await.map(|client| client.metrics().channels);
    println!("streaming: {channels:?}");
    let table = TableName::new("DB", "PUBLIC", "RIDES").unwrap();
    let sql = SqlClient::builder(profile).build().unwrap();
    let rows = within(sql.count(&table, None)).await.map(|c| c.rows);
    println!("statements: {rows:?}");
}

#[tokio::test]
async fn clients_of_an_emulator_on_this_machine_use_no_proxy_of_the_environment() {
    const THIS: &str =
        "client::network::clients_of_an_emulator_on_this_machine_use_no_proxy_of_the_environment";
    if let Ok(profile) = std::env::var(URL) {
        return count(&profile).await;
    }
    let catalog = Catalog::from_ddl("CREATE TABLE DB.PUBLIC.RIDES (N NUMBER)").unwrap();
    let emulator = Emulator::builder().catalog(catalog).build().unwrap();
    let server = Server::bind(emulator, "127.0.0.1:0".parse().unwrap());
    let server = server.await.unwrap();
    let profile = server.emulator().profile_json(&server.url());
    // There is no proxy at this address.
    let proxy = "http://127.0.0.1:1".to_owned();
    let answer = run(
        THIS,
        profile,
        &[("HTTP_PROXY", proxy.clone()), ("ALL_PROXY", proxy)],
    )
    .await;
    assert!(answer.contains("streaming: Ok(0)"), "{answer}");
    assert!(answer.contains("statements: Ok(0)"), "{answer}");
    server.shutdown().await;
}

#[tokio::test]
async fn the_whole_protocol_runs_over_ipv6() {
    let emulator = Emulator::builder().ingest_host("[::1]").build().unwrap();
    if let Err(why) = std::net::TcpListener::bind("[::1]:0") {
        // The operating system has no IPv6.
        assert!(
            matches!(
                why.kind(),
                std::io::ErrorKind::AddrNotAvailable | std::io::ErrorKind::Unsupported
            ),
            "{why}"
        );
        return;
    }
    let server = Server::bind(emulator, "[::1]:0".parse().unwrap())
        .await
        .unwrap();
    assert!(
        server.url().starts_with("http://[::1]:"),
        "{}",
        server.url()
    );
    let profile = Profile::from_json(&server.emulator().profile_json(&server.url())).unwrap();
    let pipe = PipePath::new("DB", "PUBLIC", "RIDES_PIPE").unwrap();
    let transport = HttpTransport::builder().no_proxy().build().unwrap();
    let client = StreamingIngestClient::builder(profile, pipe).transport(transport);
    let client = within(client.build()).await.unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    let receipt = channel.append_row(&row(1), 1).await.unwrap();
    within(receipt.committed()).await.unwrap();
    within(channel.close()).await.unwrap();
    server.shutdown().await;
}
