//! A proxy between the client and Snowflake: one with user and password, one that refuses, and one that is absent.

use std::sync::{Arc, Mutex};

use serde_json::json;
use snowpipe_streaming::transport::{HttpTransport, Request, Transport as _, TransportErrorKind};
use snowpipe_streaming::{Error, ErrorKind, StreamingIngestClient};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::client::tls::{Authority, before};
use crate::scripted_server::{Call, Stage, builder, everything, within};

/// `user:p@ss/word` in Basic authentication.
const BASIC: &str = "Basic dXNlcjpwQHNzL3dvcmQ=";
/// The same in a URL.
pub const USER: &str = "user:p%40ss%2Fword";

/// A proxy on loopback.
pub struct Proxy {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Connects clients with the right user and password.
    pub async fn new() -> Self {
        Self::answering(None).await
    }

    /// Answers every request with this status.
    async fn refusing(status: &'static str) -> Self {
        Self::answering(Some(status)).await
    }

    async fn answering(refusal: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, refusal, Arc::clone(&kept)));
            }
        });
        Self { port, heads }
    }

    /// Its URL, with user and password if there are any.
    pub fn url(&self, user: &str) -> String {
        match user {
            "" => format!("http://127.0.0.1:{}", self.port),
            _ => format!("http://{user}@127.0.0.1:{}", self.port),
        }
    }

    /// The first lines of the requests it saw.
    pub fn seen(&self) -> Vec<String> {
        let heads = self.heads.lock().unwrap();
        heads
            .iter()
            .map(|head| head.lines().next().unwrap().to_owned())
            .collect()
    }
}

async fn serve(
    mut client: TcpStream,
    refusal: Option<&'static str>,
    heads: Arc<Mutex<Vec<String>>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match client.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    heads.lock().unwrap().push(head.clone());
    let knows_password = head.lines().any(|line| {
        line.split_once(": ").is_some_and(|(name, value)| {
            name.eq_ignore_ascii_case("proxy-authorization") && value == BASIC
        })
    });
    let refusal = refusal.or((!knows_password).then_some("407 Proxy Authentication Required"));
    if let Some(status) = refusal {
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        client.write_all(answer.as_bytes()).await.unwrap();
        return;
    }
    let target = head.split(' ').nth(1).unwrap();
    let mut server = TcpStream::connect(target).await.unwrap();
    client
        .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
        .await
        .unwrap();
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}

/// A client of a stage behind TLS and this proxy.
async fn connect(
    stage: &Stage,
    url: &str,
    authority: &Authority,
    proxy: &str,
) -> Result<StreamingIngestClient, Error> {
    let transport = HttpTransport::builder()
        .proxy(proxy)
        .unwrap()
        .add_root_certificate_pem(authority.pem().as_bytes())
        .unwrap()
        .only_these_roots()
        .build()
        .unwrap();
    let builder = builder(stage.profile().with_url(url));
    within(builder.transport(transport).build()).await
}

#[tokio::test]
async fn a_proxy_with_user_and_password_carries_the_whole_protocol() {
    let (stage, authority, proxy) = (Stage::new().await, Authority::new(), Proxy::new().await);
    let url = before(&stage, authority.acceptor("127.0.0.1")).await;
    let client = connect(&stage, &url, &authority, &proxy.url(USER))
        .await
        .unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    let receipt = channel.append_row(&json!({"A": 1}), 1).await.unwrap();
    within(receipt.committed()).await.unwrap();
    within(channel.close()).await.unwrap();
    let connect = format!("CONNECT {} HTTP/1.1", url.replace("https://", ""));
    let seen = proxy.seen();
    assert!(
        !seen.is_empty() && seen.iter().all(|line| *line == connect),
        "{seen:?}"
    );
}

#[tokio::test]
async fn a_proxy_that_wants_a_password_is_named_without_the_one_it_got() {
    let (stage, authority, proxy) = (Stage::new().await, Authority::new(), Proxy::new().await);
    let url = before(&stage, authority.acceptor("127.0.0.1")).await;
    for user in ["", "user:hush"] {
        let error = connect(&stage, &url, &authority, &proxy.url(user))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(!error.is_retryable());
        let text = error.to_string();
        let name = format!(
            "the proxy {} asks for a user and password (407)",
            proxy.url("")
        );
        assert!(text.contains(&name), "{text}");
        assert!(!everything(&error).contains("hush"), "{error:?}");
    }
    assert_eq!(proxy.seen().len(), 2, "it is asked once each");
    assert_eq!(stage.all().len(), 0, "nothing came through");
}

#[tokio::test]
async fn a_proxy_that_refuses_is_distinguished_from_one_that_is_absent() {
    for status in ["403 Forbidden", "502 Bad Gateway"] {
        let proxy = Proxy::refusing(status).await;
        let error = unsent(&proxy.url("user:hush"), TransportErrorKind::Connect).await;
        assert!(
            error.contains("refuses connections to \"h.invalid\""),
            "{error}"
        );
        assert!(error.contains("allow both hosts of the account"), "{error}");
    }
    // There is no listener, and the port stays reserved.
    let held = TcpSocket::new_v4().unwrap();
    held.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let port = held.local_addr().unwrap().port();
    let url = format!("http://user:hush@127.0.0.1:{port}");
    let error = unsent(&url, TransportErrorKind::Connect).await;
    let sentence = format!("the proxy http://127.0.0.1:{port} refused the connection");
    assert!(error.contains(&sentence), "{error}");
    let url = "http://user:hush@proxy.invalid:3128";
    let error = unsent(url, TransportErrorKind::Dns).await;
    assert!(
        error.contains("could not resolve the proxy http://proxy.invalid:3128"),
        "{error}"
    );
}

/// The error of a call through this proxy.
async fn unsent(proxy: &str, kind: TransportErrorKind) -> String {
    let transport = HttpTransport::builder().proxy(proxy).unwrap();
    let mut request = Request::default();
    *request.uri_mut() = "https://h.invalid/p".parse().unwrap();
    let call = transport.build().unwrap();
    let error = within(call.call(request)).await.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(!error.may_have_been_sent());
    let text = format!("{error} {error:?}");
    assert!(!text.contains("hush"), "{text}");
    error.to_string()
}

#[tokio::test]
async fn a_socks_proxy_with_user_and_password_is_used() {
    let (stage, authority) = (Stage::new().await, Authority::new());
    let url = before(&stage, authority.acceptor("127.0.0.1")).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve_socks(stream));
        }
    });
    let proxy = format!("socks5://{USER}@127.0.0.1:{port}");
    connect(&stage, &url, &authority, &proxy).await.unwrap();
    assert_eq!(stage.count(Call::Token), 1);
    let error = unsent(
        &format!("socks5h://user:hush@127.0.0.1:{port}"),
        TransportErrorKind::Connect,
    )
    .await;
    let sentence = format!("through the proxy socks5h://127.0.0.1:{port}");
    assert!(error.contains(&sentence), "{error}");
}

/// A minimal SOCKS 5 server: one login by password, one connection to an IPv4 address.
async fn serve_socks(mut client: TcpStream) {
    let methods = block(&mut client, 1).await;
    assert!(methods.contains(&2), "it can log in with a password");
    client.write_all(&[5, 2]).await.unwrap();
    let user = block(&mut client, 1).await;
    let password = block(&mut client, 0).await;
    let known = user == b"user" && password == b"p@ss/word";
    client.write_all(&[1, u8::from(!known)]).await.unwrap();
    if !known {
        return;
    }
    let mut request = [0; 10];
    client.read_exact(&mut request).await.unwrap();
    assert_eq!(request[..4], [5, 1, 0, 1], "connect to an IPv4 address");
    let port = u16::from_be_bytes([request[8], request[9]]);
    let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    client
        .write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])
        .await
        .unwrap();
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}

/// Skips some bytes, and reads a length and as many bytes.
async fn block(client: &mut TcpStream, skip: usize) -> Vec<u8> {
    for _ in 0..skip {
        client.read_u8().await.unwrap();
    }
    let mut bytes = vec![0; client.read_u8().await.unwrap().into()];
    client.read_exact(&mut bytes).await.unwrap();
    bytes
}

#[tokio::test]
async fn a_proxy_does_not_change_which_certificates_are_trusted() {
    let (stage, authority, proxy) = (Stage::new().await, Authority::new(), Proxy::new().await);
    let url = before(&stage, authority.acceptor("elsewhere.invalid")).await;
    let error = connect(&stage, &url, &authority, &proxy.url(USER))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("is for another name"), "{error}");
}

#[tokio::test]
async fn a_proxy_for_plain_http_also_asks_for_its_password() {
    let proxy = Proxy::new().await;
    let transport = HttpTransport::builder()
        .proxy(&proxy.url("user:hush"))
        .unwrap()
        .build()
        .unwrap();
    let mut request = Request::default();
    *request.uri_mut() = "http://127.0.0.1:1/p".parse().unwrap();
    let error = within(transport.call(request)).await.unwrap_err();
    assert_eq!(error.kind(), TransportErrorKind::Proxy);
    assert!(!error.may_have_been_sent());
    assert_eq!(proxy.seen(), ["GET http://127.0.0.1:1/p HTTP/1.1"]);
    let text = format!("{error} {error:?}");
    assert!(text.contains("407") && !text.contains("hush"), "{text}");
}
