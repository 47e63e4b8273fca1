//! The proxy before a plain server: what each fault leaves of a request and its answer.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use snowpipe_streaming::transport::{
    HttpTransport, Request, Response, Transport as _, TransportError,
};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
const BODY: usize = 200 << 10;

/// A proxy with these faults, an HTTP client that uses it, and a server behind it.
struct World {
    faults: Faults,
    url: String,
    http: HttpTransport,
    server: TcpListener,
    outage: watch::Sender<bool>,
    _proxy: JoinSet<()>,
}

impl World {
    async fn new(shares: Shares) -> Self {
        let faults = Faults::new(11);
        let (listener, address) = listen().await.unwrap();
        let key = Key::new();
        let url = key.url(&address);
        let (outage, receiver) = watch::channel(false);
        let mut proxy = JoinSet::new();
        proxy.spawn(serve(listener, key, faults.clone(), shares, receiver));
        Self {
            faults,
            http: HttpTransport::builder()
                .proxy(&url)
                .unwrap()
                .build()
                .unwrap(),
            url,
            server: listen().await.unwrap().0,
            outage,
            _proxy: proxy,
        }
    }

    fn counted(&self) -> Vec<(&'static str, u64)> {
        self.faults.counts().into_iter().collect()
    }

    /// Posts a body to the server.
    async fn post(&self) -> Result<Response, TransportError> {
        let mut request = Request::new(Bytes::from(vec![b'x'; BODY]));
        *request.method_mut() = http::Method::POST;
        let address = self.server.local_addr().unwrap();
        *request.uri_mut() = format!("http://{address}/p").parse().unwrap();
        self.http.call(request).await
    }

    /// Accepts a connection, and reads one request and whatever follows until its end.
    async fn read_one(&self) -> (TcpStream, String) {
        let (mut stream, _) = self.server.accept().await.unwrap();
        let request = read_request(&mut stream).await;
        (stream, request)
    }
}

/// Reads a request with its body, or what there is of it before the connection ends.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read);
        let is_whole = text
            .split_once("\r\n\r\n")
            .is_some_and(|(_, body)| body.len() == BODY);
        if is_whole || !matches!(stream.read_buf(&mut read).await, Ok(1..)) {
            return String::from_utf8(read).unwrap();
        }
    }
}

#[tokio::test]
async fn without_a_fault_a_request_and_its_answer_get_through() {
    let world = World::new(&[]).await;
    let serving = async {
        let (mut stream, request) = world.read_one().await;
        stream.write_all(ANSWER).await.unwrap();
        request
    };
    let (request, answer) = tokio::join!(serving, world.post());
    assert_eq!(&answer.unwrap().body()[..], b"hello");
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST http://127.0.0.1:"), "{head}");
    assert_eq!(body.len(), BODY);
    assert_eq!(world.counted(), []);
}

#[tokio::test]
async fn a_connection_is_cut_in_the_body_of_a_request() {
    const REQUESTS: u64 = 20;
    let world = World::new(&[(1_000, Fault::CutRequest)]).await;
    let mut in_body = 0;
    for _ in 0..REQUESTS {
        let ((_, request), answer) = tokio::join!(world.read_one(), world.post());
        let error = answer.unwrap_err();
        assert!(error.may_have_been_sent(), "{error}");
        let body = request.split_once("\r\n\r\n").map(|(_, body)| body.len());
        assert!(body.is_none_or(|body| body < BODY), "{body:?}");
        in_body += u64::from(body.is_some_and(|body| body > 0));
    }
    assert!(in_body > REQUESTS / 2, "{in_body}");
    assert_eq!(
        world.counted(),
        [("connections cut in a request", REQUESTS)]
    );
}

#[tokio::test]
async fn a_connection_is_cut_in_an_answer() {
    let world = World::new(&[(1_000, Fault::CutAnswer)]).await;
    let serving = async {
        let (mut stream, request) = world.read_one().await;
        stream.write_all(ANSWER).await.unwrap();
        let end = stream.read(&mut [0]).await;
        (request, end.unwrap_or(0))
    };
    let ((request, end), answer) = tokio::join!(serving, world.post());
    let error = answer.unwrap_err();
    assert!(error.may_have_been_sent(), "{error}");
    assert!(request.len() > BODY, "the server has the whole request");
    assert_eq!(end, 0, "the server's side is closed as well");
    assert_eq!(world.counted(), [("connections cut in an answer", 1)]);
}

#[tokio::test]
async fn an_outage_resets_connections_and_refuses_further_ones() {
    let world = World::new(&[]).await;
    let serving = async {
        let (mut stream, _) = world.read_one().await;
        world.outage.send_replace(true);
        let end = stream.read(&mut [0]).await;
        end.unwrap_err().kind()
    };
    let (end, answer) = tokio::join!(serving, world.post());
    assert_eq!(end, io::ErrorKind::ConnectionReset);
    assert!(answer.unwrap_err().may_have_been_sent());
    assert_eq!(world.counted(), [("connections reset", 1)]);

    world.post().await.unwrap_err();
    assert_eq!(
        world.counted(),
        [("connections refused", 1), ("connections reset", 1)]
    );

    world.outage.send_replace(false);
    let serving = async {
        let (mut stream, _) = world.read_one().await;
        stream.write_all(ANSWER).await.unwrap();
    };
    let ((), answer) = tokio::join!(serving, world.post());
    answer.unwrap();
}

/// The clock stands still except for the delay, so that nothing but its end lets the bytes through.
#[tokio::test]
async fn a_request_is_held_back() {
    let world = World::new(&[(1_000, Fault::Delayed)]).await;
    let (release, held) = std::sync::mpsc::channel::<()>();
    // A blocking task keeps a paused clock from advancing by itself.
    let clock = tokio::task::spawn_blocking(move || held.recv());
    tokio::time::pause();
    let serving = async {
        let (mut stream, _) = world.server.accept().await.unwrap();
        while world.counted().is_empty() {
            tokio::task::yield_now().await;
        }
        let early = stream.try_read(&mut [0]).unwrap_err();
        assert_eq!(early.kind(), io::ErrorKind::WouldBlock);
        tokio::time::advance(Duration::from_secs(4)).await;
        assert!(read_request(&mut stream).await.len() > BODY);
        stream.write_all(ANSWER).await.unwrap();
    };
    let ((), answer) = tokio::join!(serving, world.post());
    answer.unwrap();
    assert_eq!(world.counted(), [("requests delayed", 1)]);
    release.send(()).unwrap();
    clock.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_tunnel_carries_bytes_of_any_kind_to_a_host_that_is_there() {
    let world = World::new(&[]).await;
    let proxy = world.url.strip_prefix("http://").unwrap();
    let (key, proxy) = proxy.split_once('@').unwrap();
    let key = STANDARD.encode(key);
    let address = world.server.local_addr().unwrap().to_string();
    let open = async |host: &str, key: &str| {
        let mut client = TcpStream::connect(proxy).await.unwrap();
        let head = format!(
            "CONNECT {host} HTTP/1.1\r\nhost: {host}\r\nProxy-Authorization: Basic {key}\r\n\r\n"
        );
        client.write_all(head.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        let read = client.read_exact(&mut status).await;
        let status = read.map(|_| String::from_utf8_lossy(&status).into_owned());
        (client, status.unwrap_or_default())
    };
    let ((mut client, status), accepted) =
        tokio::join!(open(&address, &key), world.server.accept());
    assert_eq!(status, "HTTP/1.1 200");
    let (mut server, _) = accepted.unwrap();
    let mut rest = [0; 27];
    client.read_exact(&mut rest).await.unwrap();
    assert_eq!(&rest, b" Connection established\r\n\r\n");
    client.write_all(&[0, 255, 13]).await.unwrap();
    let mut got = [1; 3];
    server.read_exact(&mut got).await.unwrap();
    assert_eq!(got, [0, 255, 13]);
    server.write_all(&[7]).await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), 7);
    drop(server);
    assert_eq!(client.read(&mut got).await.unwrap(), 0);

    // The port stays reserved, and nothing listens on it.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let nowhere = held.local_addr().unwrap().to_string();
    assert_eq!(open(&nowhere, &key).await.1, "HTTP/1.1 502");
    assert_eq!(open("no-port", &key).await.1, "");
    // Somebody else on the machine.
    let other = STANDARD.encode("soak:0");
    assert_eq!(open(&address, &other).await.1, "HTTP/1.1 407");
}

/// The client itself checks for which host the certificate behind the proxy is.
#[tokio::test]
async fn tls_passes_through_untouched() {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use snowpipe_streaming::transport::TransportErrorKind;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::aws_lc_rs;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    for (name, is_trusted) in [("127.0.0.1", true), ("elsewhere.invalid", false)] {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let signed = params.signed_by(&key, &authority).unwrap();
        let provider = std::sync::Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from(signed.der().to_vec())],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(std::sync::Arc::new(config));

        let world = World::new(&[]).await;
        let http = HttpTransport::builder().proxy(&world.url).unwrap();
        let http = http.add_root_certificate_pem(authority.pem().as_bytes());
        let http = http.unwrap().only_these_roots().build().unwrap();
        let mut request = Request::default();
        let address = world.server.local_addr().unwrap();
        *request.uri_mut() = format!("https://{address}/p").parse().unwrap();
        let serving = async {
            let (stream, _) = world.server.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return false;
            };
            stream.read_buf(&mut Vec::new()).await.unwrap();
            stream.write_all(ANSWER).await.unwrap();
            stream.flush().await.unwrap();
            true
        };
        let (was_asked, answer) = tokio::join!(serving, http.call(request));
        assert_eq!(was_asked, is_trusted);
        match answer {
            Ok(answer) => assert!(is_trusted && answer.body() == "hello"),
            Err(error) => {
                assert!(!is_trusted, "{error}");
                assert_eq!(error.kind(), TransportErrorKind::Tls, "{error}");
            }
        }
    }
}

#[test]
fn the_target_of_a_request_is_read() {
    let target = |line: &str| target(format!("{line} HTTP/1.1\r\n\r\n").as_bytes());
    let to = |host: &str, is_tunnel| Some((host.to_owned(), is_tunnel));
    assert_eq!(target("CONNECT a.example:443"), to("a.example:443", true));
    assert_eq!(target("CONNECT [::1]:443"), to("[::1]:443", true));
    assert_eq!(
        target("GET http://a.example/b?c"),
        to("a.example:80", false)
    );
    assert_eq!(target("PUT http://127.0.0.1:8/b"), to("127.0.0.1:8", false));
    for line in ["", "GET", "GET /b", "CONNECT a.example", "CONNECT http://"] {
        assert_eq!(target(line), None, "{line}");
    }
}
