//! HTTPS with a private certificate authority: a client that trusts it works, another one reports why it cannot.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::json;
use snowpipe_streaming::transport::HttpTransport;
use snowpipe_streaming::{Error, ErrorKind, StreamingIngestClient};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::scripted_server::{Call, Stage, builder, everything, within};

/// An unknown certificate authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// TLS as the server of this name.
    pub fn acceptor(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// Puts TLS in front of a server. Returns its URL.
pub async fn before(stage: &Stage, tls: TlsAcceptor) -> String {
    let server: SocketAddr = stage.url().replace("http://", "").parse().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                // A client that does not trust the certificate disconnects here.
                let Ok(mut client) = tls.accept(stream).await else {
                    return;
                };
                let mut server = TcpStream::connect(server).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    format!("https://127.0.0.1:{port}")
}

async fn connect(
    stage: &Stage,
    url: String,
    root: Option<&str>,
) -> Result<StreamingIngestClient, Error> {
    let transport = HttpTransport::builder().no_proxy();
    let transport = match root {
        Some(pem) => transport.add_root_certificate_pem(pem.as_bytes()).unwrap(),
        None => transport,
    };
    let builder = builder(stage.profile().with_url(url));
    within(builder.transport(transport.build().unwrap()).build()).await
}

fn assert_tls_error(error: &Error, stage: &Stage, sentence: &str) {
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    let text = error.to_string();
    assert!(text.contains("no TLS session with \"127.0.0.1:"), "{text}");
    assert!(text.contains(sentence), "{text}");
    assert!(
        !everything(error).contains("eyJ"),
        "no credential is revealed"
    );
    assert_eq!(stage.all().len(), 0, "and none is sent");
}

#[tokio::test]
async fn a_trusted_private_authority_carries_the_whole_protocol() {
    let authority = Authority::new();
    let stage = Stage::new().await;
    let url = before(&stage, authority.acceptor("127.0.0.1")).await;
    let client = connect(&stage, url, Some(&authority.pem())).await.unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    let receipt = channel.append_row(&json!({"A": 1}), 1).await.unwrap();
    within(receipt.committed()).await.unwrap();
    within(channel.close()).await.unwrap();
    client.drop_channel("c").await.unwrap();
    for call in [
        Call::Hostname,
        Call::Token,
        Call::Open,
        Call::Append,
        Call::Drop,
    ] {
        assert_eq!(stage.count(call), 1, "{call:?} went through the same port");
    }
}

#[tokio::test]
async fn an_unknown_authority_is_not_trusted() {
    let stage = Stage::new().await;
    let url = before(&stage, Authority::new().acceptor("127.0.0.1")).await;
    let error = connect(&stage, url, None).await.unwrap_err();
    assert_tls_error(
        &error,
        &stage,
        "its certificate is not from an authority that this machine trusts",
    );
}

#[tokio::test]
async fn another_authority_does_not_vouch_for_the_server() {
    let stage = Stage::new().await;
    let url = before(&stage, Authority::new().acceptor("127.0.0.1")).await;
    let other = Authority::new().pem();
    let error = connect(&stage, url, Some(&other)).await.unwrap_err();
    assert_tls_error(
        &error,
        &stage,
        "its certificate is not from an authority that this machine trusts",
    );
}

#[tokio::test]
async fn a_certificate_of_another_name_is_not_accepted() {
    let authority = Authority::new();
    let stage = Stage::new().await;
    let url = before(&stage, authority.acceptor("elsewhere.invalid")).await;
    let pem = authority.pem();
    let error = connect(&stage, url, Some(&pem)).await.unwrap_err();
    assert_tls_error(&error, &stage, "its certificate is for another name");
}
