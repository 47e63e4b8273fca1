//! TLS: trusted authorities, the HTTP version, and the errors of failed handshakes.

use std::convert::Infallible;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;

/// A certificate authority that is not trusted by default.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    authority_called("Lift Tickets CA")
}

fn authority_called(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn certificate(name: &str) -> CertificateParams {
    CertificateParams::new(vec![name.to_owned()]).unwrap()
}

/// Serves one connection over HTTP/2 or HTTP/1.1, as the client chooses; returns the URL.
async fn serve_tls(
    authority: &CertifiedIssuer<'static, KeyPair>,
    certificate: &CertificateParams,
) -> String {
    let key = KeyPair::generate().unwrap();
    let signed = certificate.signed_by(&key, authority).unwrap();
    let chain = vec![CertificateDer::from(signed.der().to_vec())];
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let port = serve(async move |stream: TcpStream| {
        // A client that refuses the certificate disconnects here.
        let Ok(stream) = acceptor.accept(stream).await else {
            return;
        };
        let answer = service_fn(async |_: hyper::Request<Incoming>| {
            Ok::<_, Infallible>(hyper::Response::new(Full::new(Bytes::from_static(b"hi"))))
        });
        let _ = auto::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), answer)
            .await;
    })
    .await;
    format!("https://127.0.0.1:{port}/p")
}

fn trusting(
    authority: &CertifiedIssuer<'static, KeyPair>,
) -> crate::http::client::HttpTransportBuilder {
    HttpTransport::builder()
        .no_proxy()
        .add_root_certificate_pem(authority.pem().as_bytes())
        .unwrap()
        .only_these_roots()
}

#[tokio::test]
async fn http_2_is_used_if_enabled_and_offered_by_the_server() {
    let authority = authority();
    for (builder, version) in [
        (trusting(&authority).http2(), http::Version::HTTP_2),
        (trusting(&authority), http::Version::HTTP_11),
    ] {
        let url = serve_tls(&authority, &certificate("127.0.0.1")).await;
        let transport = builder.build().unwrap();
        let calls = tokio::join!(transport.call(post(&url)), async {
            // There is only one connection: over HTTP/1.1 the second call would wait for another one.
            match version {
                http::Version::HTTP_2 => Some(transport.call(post(&url)).await),
                _ => None,
            }
        });
        for response in [Some(calls.0), calls.1].into_iter().flatten() {
            let response = response.unwrap();
            assert_eq!(response.version(), version);
            assert_eq!(&response.body()[..], b"hi");
        }
    }
}

#[tokio::test]
async fn each_certificate_error_has_its_own_message() {
    let authority = authority();
    let mut late = certificate("127.0.0.1");
    late.not_before = date_time_ymd(2000, 1, 1);
    late.not_after = date_time_ymd(2000, 1, 2);
    let mut early = certificate("127.0.0.1");
    early.not_before = date_time_ymd(4000, 1, 1);
    early.not_after = date_time_ymd(4000, 1, 2);
    let (renewed, foreign) = (self::authority(), authority_called("Another CA"));
    let cases = [
        (
            &authority,
            &late,
            "is not valid now: check this machine's clock",
        ),
        (
            &authority,
            &early,
            "is not valid now: check this machine's clock",
        ),
        (
            &authority,
            &certificate("elsewhere.invalid"),
            "is for another name: check the account's URL",
        ),
        (
            &renewed,
            &certificate("127.0.0.1"),
            "its certificate is not from an authority that this machine trusts",
        ),
        (
            &foreign,
            &certificate("127.0.0.1"),
            "its certificate is not from an authority that this machine trusts",
        ),
    ];
    for (issuer, certificate, sentence) in cases {
        let url = serve_tls(issuer, certificate).await;
        let transport = trusting(&authority).build().unwrap();
        let error = transport.call(post(&url)).await.unwrap_err();
        assert_eq!(error.kind(), TransportErrorKind::Tls);
        assert!(!error.may_have_been_sent());
        let text = error.to_string();
        assert!(text.contains("no TLS session with \"127.0.0.1:"), "{text}");
        assert!(text.contains(sentence), "{text}");
    }
}

#[tokio::test]
async fn a_private_authority_is_not_trusted_by_default() {
    let url = serve_tls(&authority(), &certificate("127.0.0.1")).await;
    let error = failure(&url).await;
    assert_eq!(error.kind(), TransportErrorKind::Tls);
    assert!(error.to_string().contains("SSL_CERT_FILE"), "{error}");
}

#[tokio::test]
async fn a_plain_port_is_a_tls_error() {
    let port = serve(async |mut stream: TcpStream| {
        let mut hello = [0; 64];
        let _ = stream.read(&mut hello).await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    })
    .await;
    let error = failure(&format!("https://127.0.0.1:{port}/p")).await;
    assert_eq!(error.kind(), TransportErrorKind::Tls);
    assert!(!error.may_have_been_sent());
    assert!(
        error
            .to_string()
            .contains("does not use TLS on this port: check the scheme and port")
    );
}

#[tokio::test]
async fn a_peer_that_disconnects_during_the_handshake_is_a_tls_error() {
    let port = serve(async |mut stream: TcpStream| {
        let mut hello = [0; 64];
        let _ = stream.read_exact(&mut hello).await;
        let _ = stream.shutdown().await;
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    })
    .await;
    let error = failure(&format!("https://127.0.0.1:{port}/p")).await;
    assert_eq!(error.kind(), TransportErrorKind::Tls);
    assert!(!error.may_have_been_sent());
    assert!(
        error
            .to_string()
            .contains("whether a firewall or proxy cuts"),
        "{error}"
    );
}
