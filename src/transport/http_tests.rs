use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{HttpTransport, without_tls};
use crate::ErrorKind;
use crate::transport::{Request, Response, Transport, TransportError, TransportErrorKind};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-kept: yes\r\n\r\nhi";

fn transport() -> HttpTransport {
    HttpTransport::builder().no_proxy().build().unwrap()
}

fn post(url: &str) -> Request {
    let mut request = Request::new(Bytes::from_static(b"rows"));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = url.parse().unwrap();
    request
}

/// Serves one connection on loopback; returns the port.
async fn serve<F, Fut>(serve: F) -> u16
where
    F: FnOnce(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream).await;
    });
    port
}

/// Reads head and the four bytes of the body.
async fn read_request(stream: &mut (impl AsyncReadExt + Unpin)) {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\nrows") {
        assert!(stream.read_buf(&mut seen).await.unwrap() > 0);
    }
}

async fn call(url: &str) -> Result<Response, TransportError> {
    transport().call(post(url)).await
}

async fn failure(url: &str) -> TransportError {
    call(url).await.unwrap_err()
}

#[tokio::test]
async fn an_answer_comes_back_whole_whatever_its_status() {
    let port = serve(async |mut stream: TcpStream| {
        read_request(&mut stream).await;
        let answer =
            b"HTTP/1.1 307 Temporary Redirect\r\nlocation: /elsewhere\r\ncontent-length: 4\r\n\r\ngone";
        stream.write_all(answer).await.unwrap();
    })
    .await;
    let response = call(&format!("http://127.0.0.1:{port}/a")).await.unwrap();
    assert_eq!(response.status(), 307);
    assert_eq!(response.headers()["location"], "/elsewhere");
    assert_eq!(&response.body()[..], b"gone");
}

#[tokio::test]
async fn a_refused_port_is_a_connect_error_that_names_the_host_and_no_token() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = failure(&format!("http://127.0.0.1:{port}/p?continuationToken=hush")).await;
    assert_eq!(error.kind(), TransportErrorKind::Connect);
    assert!(!error.may_have_been_sent());
    let text = format!("{error} {error:?}");
    assert!(text.contains(&format!("127.0.0.1:{port}")), "{text}");
    assert!(text.contains("check the account's URL"), "{text}");
    assert!(!text.contains("hush"), "{text}");
}

#[tokio::test]
async fn an_unknown_host_is_a_dns_error() {
    let error = failure("http://host.invalid/p").await;
    assert_eq!(error.kind(), TransportErrorKind::Dns);
    assert!(!error.may_have_been_sent());
    assert_eq!(
        error.to_string(),
        "could not resolve the host \"host.invalid\": check the account's URL and DNS"
    );
}

#[tokio::test]
async fn a_connection_that_ends_without_an_answer_is_interrupted() {
    let port = serve(async |stream: TcpStream| drop(stream)).await;
    let error = failure(&format!("http://127.0.0.1:{port}/p")).await;
    assert_eq!(error.kind(), TransportErrorKind::Interrupted);

    let port = serve(async |mut stream: TcpStream| read_request(&mut stream).await).await;
    let error = failure(&format!("http://127.0.0.1:{port}/p?startOffsetToken=hush")).await;
    assert_eq!(error.kind(), TransportErrorKind::Interrupted);
    assert!(error.may_have_been_sent());
    assert!(!format!("{error} {error:?}").contains("hush"));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_body_error() {
    let port = serve(async |mut stream: TcpStream| {
        read_request(&mut stream).await;
        let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"next";
        stream.write_all(cut).await.unwrap();
    })
    .await;
    let error = failure(&format!("http://127.0.0.1:{port}/p")).await;
    assert_eq!(error.kind(), TransportErrorKind::Body);
    assert!(error.may_have_been_sent());
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
    assert!(error.to_string().contains("check the scheme and port"));
}

#[tokio::test]
async fn a_private_authority_is_trusted_only_when_added() {
    let mut params = rcgen::CertificateParams::new(vec![]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let ca = rcgen::CertifiedIssuer::self_signed(params, ca_key).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()])
        .unwrap()
        .signed_by(&key, &ca)
        .unwrap();
    let chain = vec![CertificateDer::from(leaf.der().to_vec())];
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let serve_tls = async |acceptor: TlsAcceptor| {
        serve(async move |stream: TcpStream| {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                read_request(&mut stream).await;
                stream.write_all(OK).await.unwrap();
                let _ = stream.shutdown().await;
            }
        })
        .await
    };

    let port = serve_tls(acceptor.clone()).await;
    let error = failure(&format!("https://127.0.0.1:{port}/p")).await;
    assert_eq!(error.kind(), TransportErrorKind::Tls, "{error:?}");

    let port = serve_tls(acceptor).await;
    let trusting = HttpTransport::builder()
        .no_proxy()
        .add_root_certificate_pem(ca.pem().as_bytes())
        .unwrap()
        .only_these_roots()
        .build()
        .unwrap();
    let url = format!("https://127.0.0.1:{port}/p");
    let response = trusting.call(post(&url)).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-kept"], "yes");
    assert_eq!(&response.body()[..], b"hi");
}

#[test]
fn roots_that_are_no_certificates_are_refused() {
    for pem in ["", "not pem", "-----BEGIN CERTIFICATE-----\n"] {
        let error = HttpTransport::builder()
            .add_root_certificate_pem(pem.as_bytes())
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("BEGIN CERTIFICATE"), "{error}");
    }
}

#[test]
fn without_tls_the_feature_is_named() {
    let error = without_tls("acct.snowflakecomputing.com");
    assert_eq!(error.kind(), TransportErrorKind::Request);
    assert!(error.to_string().contains("feature \"rustls\""));
}
