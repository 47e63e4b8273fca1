//! The server among those who do not keep to HTTP, or keep to it slowly, or come in crowds: it goes on answering others.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::Frame;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::tests::{ROWS, Session};
use super::*;
use crate::protocol::routes::Endpoint;

const SHORT: Duration = Duration::from_millis(100);
const PACE: Duration = Duration::from_millis(5);

async fn server(limits: ServerLimits) -> Server {
    let emulator = Emulator::builder().build().expect("an emulator");
    Server::bind_with(emulator, ([127, 0, 0, 1], 0).into(), limits)
        .await
        .expect("it listens")
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.local_addr())
        .await
        .expect("a connection")
}

/// What the server sends before it closes the connection.
async fn received(stream: &mut TcpStream) -> String {
    let mut received = Vec::new();
    // A connection that is reset with something unread is closed as well.
    let _ = stream.read_to_end(&mut received).await;
    String::from_utf8(received).expect("text")
}

/// Whether a request on a connection that is open is answered.
async fn is_answered_on(stream: &mut TcpStream) -> bool {
    let sent = stream
        .write_all(b"GET /v2/streaming/hostname HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    let mut status = [0; 12];
    // Without credentials, 400 is what there is to say.
    sent.is_ok() && stream.read_exact(&mut status).await.is_ok() && &status == b"HTTP/1.1 400"
}

async fn assert_answers(server: &Server) {
    assert!(is_answered_on(&mut connect(server).await).await);
}

/// Sends a byte now and then, until the server has had enough of it.
async fn drip(mut stream: TcpStream, head: &'static str) -> String {
    stream.write_all(head.as_bytes()).await.expect("it is sent");
    let (mut from, mut to) = stream.into_split();
    let dripping = tokio::spawn(async move {
        while to.write_all(b"a").await.is_ok() {
            tokio::time::sleep(PACE).await;
        }
    });
    let mut received = Vec::new();
    let _ = from.read_to_end(&mut received).await;
    dripping.abort();
    String::from_utf8(received).expect("text")
}

#[tokio::test]
async fn of_too_many_connections_those_that_waited_longest_go() {
    let server = server(ServerLimits {
        connections: 4,
        ..ServerLimits::default()
    })
    .await;
    let mut idle = Vec::new();
    for _ in 0..40 {
        idle.push(connect(&server).await);
    }
    let mut youngest = connect(&server).await;
    assert!(is_answered_on(&mut youngest).await);
    let mut kept = idle.split_off(37);
    for gone in &mut idle {
        assert_eq!(received(gone).await, "");
    }
    for stream in &mut kept {
        assert!(is_answered_on(stream).await);
    }
    server.shutdown().await;
}

#[tokio::test]
async fn unfinished_requests_make_room_as_well() {
    let server = server(ServerLimits {
        connections: 2,
        ..ServerLimits::default()
    })
    .await;
    let begun = [
        "GET /v2/strea",
        "POST /oauth/token HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf",
    ];
    for begun in begun.repeat(10) {
        let mut stream = connect(&server).await;
        stream
            .write_all(begun.as_bytes())
            .await
            .expect("it is sent");
        assert_answers(&server).await;
        drop(stream);
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_connection_that_only_hangs_makes_room() {
    let limits = ServerLimits {
        connections: 1,
        ..ServerLimits::default()
    };
    let session = Session::with(Emulator::builder(), limits).await;
    let token = session.open().await;
    let faults = session.server.emulator().faults();
    faults.push(crate::protocol::faults::Fault::Hang.on(Endpoint::Append));
    let hanging = tokio::spawn(session.append(&token, "{}").send());
    while faults.injected().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_answers(&session.server).await;
    assert!(hanging.await.expect("it ran").is_err());
    session.server.shutdown().await;
}

#[tokio::test]
async fn a_slow_head_and_an_idle_connection_are_closed() {
    let server = server(ServerLimits {
        head_timeout: SHORT,
        ..ServerLimits::default()
    })
    .await;
    let mut idle = connect(&server).await;
    let mut used = connect(&server).await;
    assert!(is_answered_on(&mut used).await);
    let slow = drip(connect(&server).await, "GET / HTTP/1.1\r\nSlow: ");
    let (slow, ()) = tokio::join!(slow, assert_answers(&server));
    assert_eq!(slow, "");
    assert_eq!(received(&mut idle).await, "");
    received(&mut used).await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_slow_body_is_answered_408() {
    let server = server(ServerLimits {
        body_timeout: SHORT,
        ..ServerLimits::default()
    })
    .await;
    // No request is refused in the middle of its body either.
    for head in [
        "POST /oauth/token HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n",
        "POST /_emulator/reset HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 1000000\r\n\r\n",
    ] {
        let slow = drip(connect(&server).await, head);
        let (slow, ()) = tokio::join!(slow, assert_answers(&server));
        assert!(slow.starts_with("HTTP/1.1 408 "), "{slow}");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn what_is_not_http_ends_its_connection_and_no_other() {
    let server = server(ServerLimits::default()).await;
    let post = "POST /oauth/token HTTP/1.1\r\nHost: h\r\n";
    let get = "GET /v2/streaming/hostname HTTP/1.1\r\nHost: h\r\n";
    let long = "x".repeat(300_000);
    // What is sent, and how the answer begins; no answer at all where the body broke off.
    let cases = [
        (String::new(), ""),
        (format!("\u{16}\u{3}\u{1}{long}"), "HTTP/1.1 400 "),
        (format!("nonsense\r\n{get}\r\n"), "HTTP/1.1 400 "),
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), "HTTP/1.1 400 "),
        (format!("GET /{long} HTTP/1.1\r\n\r\n"), "HTTP/1.1 4"),
        (format!("{get}Long: {long}\r\n\r\n"), "HTTP/1.1 431 "),
        (
            format!("{get}{}\r\n", "A: b\r\n".repeat(200)),
            "HTTP/1.1 431 ",
        ),
        (
            format!("{post}Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx"),
            "HTTP/1.1 400 ",
        ),
        (format!("{post}Content-Length: -1\r\n\r\n"), "HTTP/1.1 400 "),
        (format!("{post}Content-Length: 10\r\n\r\nhalf"), ""),
        (
            format!("{post}Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n"),
            "",
        ),
        (
            format!("{post}Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n"),
            "",
        ),
        (
            format!("{post}Transfer-Encoding: chunked\r\n\r\n5\r\nhello?\r\n0\r\n\r\n"),
            "",
        ),
        (
            format!("{post}Transfer-Encoding: chunked\r\n\r\n5\r\nhel"),
            "",
        ),
        (
            format!("{post}Transfer-Encoding: chunked\r\n\r\n1;{long}\r\n"),
            "",
        ),
        (
            format!("{post}Transfer-Encoding: chunked\r\n\r\n0\r\nA: {long}\r\n\r\n"),
            "",
        ),
    ];
    for (sent, expected) in &cases {
        let mut stream = connect(&server).await;
        // The server may have had enough before it has read all of it.
        let _ = stream.write_all(sent.as_bytes()).await;
        let _ = stream.shutdown().await;
        let received = received(&mut stream).await;
        let shown = &sent[..sent.len().min(80)];
        // What is closed with something unread may be reset before its answer arrives.
        let is_lost = received.is_empty() && sent.len() > long.len();
        let is_expected =
            received.starts_with(expected) && received.is_empty() == expected.is_empty();
        assert!(is_expected || is_lost, "{shown:?}: {received:?}");
        assert_answers(&server).await;
    }
    assert!(
        server
            .emulator()
            .log()
            .iter()
            .all(|entry| entry.endpoint == Endpoint::Hostname)
    );
    server.shutdown().await;
}

#[tokio::test]
async fn garbage_after_a_request_does_not_harm_its_answer() {
    let server = server(ServerLimits::default()).await;
    let mut stream = connect(&server).await;
    let get = "GET /v2/streaming/hostname HTTP/1.1\r\nHost: h\r\n\r\n";
    let sent = format!("{get}{get}\0\0garbage\r\n\r\n{get}");
    stream.write_all(sent.as_bytes()).await.expect("it is sent");
    let received = received(&mut stream).await;
    let answers = received.matches("Unsupported Accept header").count();
    assert_eq!((answers, received.matches("HTTP/1.1 400 ").count()), (2, 3));
    server.shutdown().await;
}

#[tokio::test]
async fn half_an_append_is_no_append() {
    let session = Session::start(Emulator::builder()).await;
    let token = session.open().await;
    let head = format!(
        "POST {ROWS}?continuationToken={token}&startOffsetToken=1&endOffsetToken=1 HTTP/1.1\r\nHost: h\r\n\
         Accept: */*\r\nAuthorization: Bearer {}\r\n",
        session.token
    );
    for rest in [
        "Content-Length: 100\r\n\r\n{\"a\":1}\n",
        "Transfer-Encoding: chunked\r\n\r\n8\r\n{\"a\":1}\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n8\r\n{\"a\":1}\n\r\nx\r\n",
    ] {
        let mut stream = connect(&session.server).await;
        let sent = format!("{head}{rest}");
        stream.write_all(sent.as_bytes()).await.expect("it is sent");
        stream.shutdown().await.expect("it is closed");
        assert_eq!(received(&mut stream).await, "");
    }
    let whole = session.append(&token, "{\"a\":2}\n").send().await;
    assert_eq!(whole.expect("an answer").status(), 200);
    session.server.emulator().commit_now();
    assert_eq!(session.landed(), [json!({"ROW": {"a": 2}})]);
    session.server.shutdown().await;
}

#[tokio::test]
async fn a_body_that_never_ends_is_refused() {
    let session = Session::start(Emulator::builder()).await;
    let token = session.open().await;
    let chunk = bytes::Bytes::from(vec![b' '; 1 << 20]);
    let endless = futures_util::stream::repeat_with(move || Ok::<_, Broken>(chunk.clone()));
    let refused = session
        .append(
            &token,
            reqwest::Body::wrap(http_body_util::StreamBody::new(
                futures_util::StreamExt::map(endless, |chunk| chunk.map(Frame::data)),
            )),
        )
        .send()
        .await;
    // The answer may be lost, because the client no longer reads.
    assert!(refused.is_err() || refused.is_ok_and(|answer| answer.status() == 413));
    let whole = session.append(&token, "{\"a\":2}\n").send().await;
    assert_eq!(whole.expect("an answer").status(), 200);
    session.server.shutdown().await;
}

#[tokio::test]
async fn a_body_that_is_too_long_is_read_to_its_end_and_refused() {
    let session = Session::start(Emulator::builder()).await;
    let token = session.open().await;
    let refused = session.append(&token, vec![b' '; 20_000_000]).send().await;
    assert_eq!(refused.expect("an answer").status(), 413);
    let log = session.server.emulator().log();
    let entry = log.last().expect("the append");
    assert_eq!((entry.status, entry.body_bytes), (Some(413), 4_194_305));
    session.server.shutdown().await;
}

#[tokio::test]
async fn bodies_beyond_the_memory_are_put_off_and_small_ones_are_not() {
    let limits = ServerLimits {
        // Each of two bodies takes half a megabyte, less the first 64 KiB.
        body_bytes: 600_000,
        ..ServerLimits::default()
    };
    let session = Session::with(Emulator::builder(), limits).await;
    let token = session.open().await;
    let mut stalled = connect(&session.server).await;
    let head = format!("POST {ROWS} HTTP/1.1\r\nHost: h\r\nContent-Length: 400000\r\n\r\n");
    stalled
        .write_all(head.as_bytes())
        .await
        .expect("it is sent");
    stalled
        .write_all(&vec![b' '; 300_000])
        .await
        .expect("it is sent");

    let memory = &session.server.shared.intake;
    while memory.left() > 200_000 {
        tokio::task::yield_now().await;
    }
    let large = || session.append(&token, vec![b'\n'; 350_000]).send();
    assert_eq!(large().await.expect("an answer").status(), 503);
    assert_answers(&session.server).await;
    drop(stalled);
    while memory.left() < 600_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(large().await.expect("an answer").status(), 200);
    session.server.shutdown().await;
}

/// Frames of 16 MiB, one after the other: four gigabytes.
#[tokio::test]
async fn bodies_that_unpack_to_gigabytes_are_refused() {
    let session = Session::start(Emulator::builder()).await;
    let token = session.open().await;
    let plain = vec![b'\n'; 16 << 20];
    let zstd = zstd::encode_all(&plain[..], 1).expect("a frame");
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&plain).expect("it is compressed");
    let gzip = gzip.finish().expect("a member");
    for (encoding, frame) in [("zstd", zstd), ("gzip", gzip)] {
        let bomb = frame.repeat(240);
        assert!(bomb.len() < 4_000_000, "{encoding} {}", bomb.len());
        let refused = session
            .append(&token, bomb)
            .header("Content-Encoding", encoding)
            .send()
            .await;
        assert_eq!(refused.expect("an answer").status(), 413, "{encoding}");
    }
    let whole = session.append(&token, "{\"a\":2}\n").send().await;
    assert_eq!(whole.expect("an answer").status(), 200);
    session.server.shutdown().await;
}

/// The log is of requests that anybody may send, with or without a credential.
#[test]
fn requests_that_name_many_channels_do_not_fill_the_log() {
    let emulator = Emulator::builder().build().expect("an emulator");
    let first = Request::get("/v2/streaming/hostname");
    let first = first.body(bytes::Bytes::new()).expect("a request");
    emulator.handle(SystemClock.now(), first);
    let body = bytes::Bytes::from(format!(
        "{{\"channel_names\":[\"\"{}]}}",
        ",\"\"".repeat(1_300_000)
    ));
    for _ in 0..5 {
        let request = Request::post(
            "/v2/streaming/databases/D/schemas/S/pipes/T-STREAMING:bulk-channel-status",
        );
        let request = request.body(body.clone()).expect("a request");
        emulator.handle(SystemClock.now(), request);
    }
    let log = emulator.log();
    let endpoints = log.iter().map(|entry| entry.endpoint);
    assert_eq!(endpoints.clone().next(), Some(Endpoint::Hostname));
    let statuses = endpoints.filter(|endpoint| *endpoint == Endpoint::Status);
    assert_eq!(statuses.count(), 5);
    for entry in log.iter().skip(1) {
        assert_eq!(entry.channel_count, 1_300_001);
        // A name takes 24 bytes even if it is empty.
        assert_eq!(entry.channels.len(), 64 * 1024 / 24);
    }
}
