//! The server over TLS, among clients that trust it, clients that do not speak it, and clients that take their time.

use std::net::SocketAddr;
use std::sync::Arc;

use http::Version;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::*;
use crate::instance::Emulator;
use crate::protocol::faults::Fault;
use crate::protocol::routes::Endpoint;
use crate::server::serve::Server;
use crate::server::server_limits::ServerLimits;
use snowpipe_streaming::transport::{HttpTransport, HttpTransportBuilder};
use snowpipe_streaming::{PipePath, Profile, StreamingIngestClient};

async fn server(tls: &Tls, limits: ServerLimits) -> Server {
    let emulator = Emulator::builder().build().expect("an emulator");
    let settings = Server::builder(emulator).limits(limits).tls(tls.clone());
    settings.bind().await.expect("it listens")
}

fn trusting(tls: &Tls) -> reqwest::ClientBuilder {
    let authority = reqwest::Certificate::from_pem(tls.authority_pem().as_bytes());
    reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([authority.expect("a certificate")])
}

/// Asks without credentials, which is answered all the same.
async fn asked(client: &reqwest::Client, url: &str) -> reqwest::Result<reqwest::Response> {
    let asked = client.get(format!("{url}/v2/streaming/hostname"));
    let answer = asked.header("accept", "application/json").send().await?;
    assert_eq!(answer.status(), 401);
    Ok(answer)
}

/// A TLS session without any HTTP yet.
async fn session(
    tls: &Tls,
    address: SocketAddr,
    protocol: &[u8],
) -> tokio_rustls::client::TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(tls.authority_pem().as_bytes());
    roots
        .add(authority.expect("a certificate"))
        .expect("a root");
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(address).await.expect("a connection");
    let name = address.ip().into();
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await.expect("a session")
}

#[tokio::test]
async fn a_client_that_trusts_the_authority_streams() {
    let tls = Tls::generate([""; 0]).expect("a certificate");
    let server = server(&tls, ServerLimits::default()).await;
    assert!(server.url().starts_with("https://127.0.0.1:"));
    let transport = HttpTransport::builder()
        .no_proxy()
        .add_root_certificate_pem(tls.authority_pem().as_bytes())
        .and_then(HttpTransportBuilder::build)
        .expect("a transport");
    let profile = server.emulator().profile_json(&server.url());
    let client = StreamingIngestClient::builder(
        Profile::from_json(&profile).expect("a profile"),
        PipePath::new("D", "S", "T").expect("a pipe"),
    )
    .transport(transport)
    .build()
    .await
    .expect("a client");
    let mut channel = client.open_channel("c").await.expect("a channel");
    let appended = channel.append_row(&json!({ "a": 1 }), 1).await;
    let committed = appended.expect("a receipt").committed().await;
    committed.expect("a commit");
    assert_eq!(
        server.emulator().rows("D.S.T").expect("rows"),
        [json!({"ROW": {"a": 1}})]
    );
    client.close().await.expect("an end");
    server.shutdown().await;
}

#[tokio::test]
async fn http_2_is_spoken_with_those_who_offer_it() {
    let tls = Tls::generate([""; 0]).expect("a certificate");
    let server = server(&tls, ServerLimits::default()).await;
    let both = trusting(&tls).build().expect("a client");
    let old = trusting(&tls).http1_only().build().expect("a client");
    for (client, version) in [(both, Version::HTTP_2), (old, Version::HTTP_11)] {
        let answer = asked(&client, &server.url()).await.expect("an answer");
        assert_eq!(answer.version(), version);
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_fault_ends_one_request_and_not_its_neighbour() {
    let tls = Tls::generate([""; 0]).expect("a certificate");
    let server = server(&tls, ServerLimits::default()).await;
    let client = trusting(&tls).build().expect("a client");
    let faults = server.emulator().faults();
    faults.push(Fault::Hang.on(Endpoint::Hostname));
    let hanging = tokio::spawn({
        let (client, url) = (client.clone(), server.url());
        async move { asked(&client, &url).await }
    });
    while faults.injected().is_empty() {
        tokio::task::yield_now().await;
    }
    faults.push(Fault::Lose.on(Endpoint::Hostname));
    let lost = asked(&client, &server.url()).await;
    assert!(lost.is_err_and(|why| !why.is_connect() && why.status().is_none()));
    asked(&client, &server.url()).await.expect("an answer");
    server.shutdown().await;
    assert!(hanging.await.expect("it ran").is_err());
}

#[tokio::test]
async fn plain_http_is_turned_away_and_others_are_served() {
    let tls = Tls::generate([""; 0]).expect("a certificate");
    let server = server(&tls, ServerLimits::default()).await;
    let mut plain = TcpStream::connect(server.local_addr())
        .await
        .expect("a connection");
    plain
        .write_all(b"GET /v2/streaming/hostname HTTP/1.1\r\nHost: h\r\n\r\n")
        .await
        .expect("it is sent");
    let mut received = Vec::new();
    // A reset is as good an end.
    let _ = plain.read_to_end(&mut received).await;
    assert!(
        !received.starts_with(b"HTTP"),
        "{}",
        received.escape_ascii()
    );
    let client = trusting(&tls).build().expect("a client");
    asked(&client, &server.url()).await.expect("an answer");
    server.shutdown().await;
}

#[tokio::test]
async fn a_handshake_that_never_comes_delays_no_other_connection() {
    let tls = Tls::generate([""; 0]).expect("a certificate");
    let limits = ServerLimits {
        handshake_timeout: Duration::from_secs(1),
        ..ServerLimits::default()
    };
    let server = server(&tls, limits).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        let stream = TcpStream::connect(server.local_addr()).await;
        silent.push(stream.expect("a connection"));
    }
    let client = trusting(&tls).build().expect("a client");
    asked(&client, &server.url()).await.expect("an answer");
    for mut stream in silent {
        let mut received = Vec::new();
        // It ends because the server ends it.
        let _ = stream.read_to_end(&mut received).await;
        assert_eq!(received, b"");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn an_idle_http_2_connection_is_closed() {
    let tls = Tls::generate([""; 0]).expect("a certificate");
    let limits = ServerLimits {
        head_timeout: Duration::from_millis(100),
        ..ServerLimits::default()
    };
    let server = server(&tls, limits).await;
    for greeting in [
        &b""[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    ] {
        let mut stream = session(&tls, server.local_addr(), b"h2").await;
        stream.write_all(greeting).await.expect("it is sent");
        let mut received = Vec::new();
        let _ = stream.read_to_end(&mut received).await;
    }
    server.shutdown().await;
}

#[tokio::test]
async fn the_certificate_has_the_names_it_is_asked_for() {
    let tls = Tls::generate(["emulator.internal", "192.0.2.7"]).expect("a certificate");
    let server = server(&tls, ServerLimits::default()).await;
    let address = server.local_addr();
    let client = trusting(&tls)
        .resolve("emulator.internal", address)
        .resolve("localhost", address)
        .resolve("elsewhere.internal", address)
        .build()
        .expect("a client");
    for name in ["emulator.internal", "localhost", "127.0.0.1"] {
        let url = format!("https://{name}:{}", address.port());
        asked(&client, &url).await.expect("an answer");
    }
    let url = format!("https://elsewhere.internal:{}", address.port());
    assert!(
        asked(&client, &url)
            .await
            .is_err_and(|why| why.is_connect())
    );
    server.shutdown().await;
}

#[test]
fn a_name_that_cannot_be_in_a_certificate_is_named() {
    let why = Tls::generate(["schlüssel.internal"]).expect_err("it is refused");
    assert_eq!(why.kind(), crate::ErrorKind::Config);
    assert!(why.to_string().contains("schlüssel.internal"), "{why}");
}
