//! Calls over real sockets: the responses and the errors.

use std::future::Future;
use std::io::ErrorKind as ErrorOf;
use std::task::Poll;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::HttpTransport;
use crate::ErrorKind;
use crate::http::explain::Target;
use crate::http::proxies::ProxySource;
use crate::http::{Request, Response, Transport, TransportError, TransportErrorKind};

mod tls;

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
async fn read_request(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\nrows") {
        assert!(stream.read_buf(&mut seen).await.unwrap() > 0);
    }
    String::from_utf8(seen).unwrap()
}

async fn call(url: &str) -> Result<Response, TransportError> {
    transport().call(post(url)).await
}

async fn failure(url: &str) -> TransportError {
    call(url).await.unwrap_err()
}

#[tokio::test]
async fn a_response_of_any_status_is_returned_whole() {
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
    // The port is bound and not listening, so connections are refused.
    let held = TcpSocket::new_v4().unwrap();
    held.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let port = held.local_addr().unwrap().port();
    let error = failure(&format!("http://127.0.0.1:{port}/p?continuationToken=hush")).await;
    assert_eq!(error.kind(), TransportErrorKind::Connect);
    assert!(!error.may_have_been_sent());
    let text = format!("{error} {error:?}");
    assert!(text.contains(&format!("127.0.0.1:{port}")), "{text}");
    assert!(text.contains("refused the connection"), "{text}");
    assert!(text.contains("check the account's URL and port"), "{text}");
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

    let port = serve(async |mut stream: TcpStream| drop(read_request(&mut stream).await)).await;
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

#[test]
fn invalid_root_certificates_are_refused() {
    for pem in ["", "not pem", "-----BEGIN CERTIFICATE-----\n"] {
        let error = HttpTransport::builder()
            .add_root_certificate_pem(pem.as_bytes())
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("BEGIN CERTIFICATE"), "{error}");
    }
}

#[test]
fn without_tls_the_error_names_the_feature() {
    let request = post("https://acct.snowflakecomputing.com/p");
    let proxies = ProxySource::Nothing.proxies();
    let error = Target::new(&request, &proxies).without_tls();
    assert_eq!(error.kind(), TransportErrorKind::Request);
    assert!(error.to_string().contains("feature \"rustls\""));
}

#[test]
fn an_unusable_certificate_file_is_named_in_the_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    for (text, why) in [(None, "cannot be read"), (Some("x"), "BEGIN CERTIFICATE")] {
        if let Some(text) = text {
            std::fs::write(&file, text).unwrap();
        }
        let error = HttpTransport::builder()
            .add_root_certificate_file(&file)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        let text = error.to_string();
        assert!(text.contains("ca.pem") && text.contains(why), "{text}");
    }
}

#[test]
fn debug_output_contains_no_proxy_password() {
    let builder = HttpTransport::builder()
        .proxy("http://me:hush@proxy:3128")
        .unwrap();
    let shown = format!("{builder:?} {:?}", builder.clone().build().unwrap());
    assert!(!shown.contains("hush"), "{shown}");
}

#[tokio::test]
async fn an_ipv6_address_is_a_host_like_any_other() {
    let listener = match TcpListener::bind("[::1]:0").await {
        Ok(listener) => listener,
        // The operating system has no IPv6, so there is nothing to test.
        Err(why) if matches!(why.kind(), ErrorOf::AddrNotAvailable | ErrorOf::Unsupported) => {
            return;
        }
        Err(why) => panic!("{why}"),
    };
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = read_request(&mut stream).await;
        stream.write_all(OK).await.unwrap();
        head
    });
    let url = format!("http://[::1]:{port}/p");
    assert_eq!(call(&url).await.unwrap().status(), 200);
    let head = server.await.unwrap().to_ascii_lowercase();
    assert!(head.contains(&format!("host: [::1]:{port}\r\n")), "{head}");
    let error = failure(&url).await;
    assert_eq!(error.kind(), TransportErrorKind::Connect);
    assert!(error.to_string().contains(&format!("\"[::1]:{port}\"")));
}

#[tokio::test]
async fn a_connection_is_used_again_and_a_dead_one_is_replaced() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = |listener: TcpListener| async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        for _ in 0..2 {
            read_request(&mut stream).await;
            stream.write_all(OK).await.unwrap();
        }
    };
    let (transport, url) = (transport(), format!("http://{address}/p"));
    let first = tokio::spawn(server(listener));
    for _ in 0..2 {
        assert_eq!(transport.call(post(&url)).await.unwrap().status(), 200);
    }
    first.await.unwrap();

    // While the server restarts the connection is refused, and nothing is sent.
    let error = transport.call(post(&url)).await.unwrap_err();
    assert!(!error.may_have_been_sent(), "{error}");

    let second = tokio::spawn(server(TcpListener::bind(address).await.unwrap()));
    for _ in 0..2 {
        assert_eq!(transport.call(post(&url)).await.unwrap().status(), 200);
    }
    second.await.unwrap();
}

#[tokio::test]
async fn a_request_on_a_connection_that_breaks_is_not_sent_twice() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/p", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        stream.write_all(OK).await.unwrap();
        read_request(&mut stream).await;
        drop(stream);
        listener
    });
    let transport = transport();
    transport.call(post(&url)).await.unwrap();
    let error = transport.call(post(&url)).await.unwrap_err();
    assert_eq!(error.kind(), TransportErrorKind::Interrupted, "{error}");
    assert!(error.may_have_been_sent());
    let listener = server.await.unwrap();
    let again = std::future::poll_fn(|cx| Poll::Ready(listener.poll_accept(cx).is_ready())).await;
    assert!(!again, "nobody connected to try again");
}

#[tokio::test]
async fn an_answer_is_read_no_further_than_its_limit() {
    let port = serve(async |mut stream: TcpStream| {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        // Ends when the client stops reading.
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    })
    .await;
    let request = post(&format!("http://127.0.0.1:{port}/a"));
    let deadline = std::time::Duration::from_secs(60);
    let answer = crate::http::attempt(&transport(), request, deadline, 100_000).await;
    let error = answer.unwrap_err();
    assert_eq!(error.kind(), TransportErrorKind::Body, "{error}");
    assert!(error.to_string().contains("longer than 100000"), "{error}");
}
