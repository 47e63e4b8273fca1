//! The dashboard on its port: the page's files, queries and event streams.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use super::dashboard_served::{Served, port};
use crate::dashboard::Dashboard;
use crate::misconfigured::is_misconfigured;

#[tokio::test]
async fn a_given_port_is_used_or_refused() {
    let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let taken = held.local_addr().unwrap().port();
    let error = Dashboard::bind(Some(taken)).await.unwrap_err();
    assert!(is_misconfigured(&error));
    let text = error.to_string();
    assert!(
        text.contains(&format!("port {taken}")) && text.contains("--port"),
        "{text}"
    );
    drop(held);
    assert_eq!(port(&Dashboard::bind(Some(taken)).await.unwrap()), taken);
}

#[tokio::test]
async fn another_port_is_used_if_the_default_one_is_taken() {
    // Another process may already use it, and may release it at any time.
    let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 8214)).await;
    let other = port(&Dashboard::bind(None).await.unwrap());
    assert!(other != 0 && (other != 8214 || held.is_err()));
    drop(held);
}

#[tokio::test]
async fn the_page_and_its_files_are_served_with_security_headers() {
    let served = Served::new().await;
    let page = served.get("/").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(page.headers["cache-control"], "no-cache");
    let policy = &page.headers["content-security-policy"];
    assert!(policy.starts_with("default-src 'self';") && policy.contains("frame-ancestors 'none'"));
    assert!(!policy.contains("unsafe"));
    assert_eq!(page.headers["x-content-type-options"], "nosniff");
    assert_eq!(page.headers["referrer-policy"], "no-referrer");
    assert!(!page.headers.contains_key("access-control-allow-origin"));

    // Every file of the page, and the files that these refer to.
    let mut wanted: BTreeSet<String> = ["/vendor/LICENSE".to_owned()].into();
    wanted.extend(quoted(&page.body, "/"));
    let mut seen = BTreeSet::new();
    while let Some(path) = wanted.pop_first() {
        let file = served.get(&path).await;
        assert_eq!(file.status, 200, "{path}");
        let kind = &file.headers["content-type"];
        let extension = path.rsplit('.').next().unwrap();
        let is_known = match extension {
            "js" => kind.starts_with("text/javascript"),
            "css" => kind.starts_with("text/css"),
            "svg" => kind == "image/svg+xml",
            _ => kind.starts_with("text/"),
        };
        assert!(is_known, "{path}: {kind}");
        seen.insert(path.clone());
        if extension == "js" {
            let imported = quoted(&file.body, "./").map(|path| format!("/{path}"));
            wanted.extend(imported.filter(|path| !seen.contains(path)));
        }
    }
    assert!(seen.contains("/app.js") && seen.len() > 5, "{seen:?}");

    for path in [
        "/nothing",
        "//app.js",
        "/page/app.js",
        "/../main.rs",
        "/vendor",
        "/%61pp.js",
    ] {
        assert_eq!(served.get(path).await.status, 404, "{path}");
    }
}

/// The file names in double quotes after `prefix`.
fn quoted<'a>(text: &'a str, prefix: &'static str) -> impl Iterator<Item = String> + 'a {
    let quoted = text.split('"').skip(1).step_by(2);
    quoted.filter_map(move |path| {
        let name = path.strip_prefix(prefix)?;
        let is_file = [".js", ".css", ".svg"]
            .iter()
            .any(|end| name.ends_with(end));
        let path = if prefix == "/" { path } else { name };
        is_file.then(|| path.to_owned())
    })
}

#[tokio::test]
async fn a_query_is_answered_or_refused_with_a_message() {
    let served = Served::new().await;
    let good = served.get("/data?view=network").await;
    assert_eq!(good.status, 200);
    assert_eq!(good.headers["content-type"], "application/json");
    assert_eq!(good.headers["cache-control"], "no-store");
    assert_eq!(good.json()["pipeline"]["phase"], "starting");
    assert_eq!(good.json()["report"]["period"], "today");
    let week = served.get("/data?view=network&period=week").await.json();
    assert_eq!(week["report"]["period"], "week");
    assert_eq!(
        served.get("/data?view=pipeline").await.json()["report"],
        Value::Null
    );
    let resort = served
        .get("/data?view=resort&resort=Beaver%20Creek+%00%F0%9F%8E%BF")
        .await;
    assert_eq!(
        resort.json()["report"]["resort"],
        "Beaver Creek \0\u{1f3bf}"
    );
    assert_eq!(resort.json()["report"]["empty"], true);

    for (path, status) in [
        ("/data", 400),
        ("/data?", 400),
        ("/data?view=", 400),
        ("/data?view=weather", 400),
        ("/data?view=network&period=year", 400),
        ("/data?view=network&view=network", 400),
        ("/data?view[]=network", 400),
        ("/data?view=resort&resort=a&resort=b", 400),
        ("/events", 400),
        ("/events?view=weather", 400),
    ] {
        let answer = served.get(path).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.json()["error"].is_string(), "{path}");
    }
    // Bytes that are not valid text are decoded as far as possible.
    assert_eq!(
        served.get("/data?view=resort&resort=%FF%C3").await.status,
        200
    );
    let long = "x".repeat(1_010);
    assert_eq!(
        served
            .get(&format!("/data?view=resort&resort={long}"))
            .await
            .status,
        414
    );
    let head = format!(
        "GET / HTTP/1.1\nHost: localhost:PORT\nX: {}",
        "x".repeat(20_000)
    );
    assert_eq!(served.ask(&head).await.status, 431);
    let head = format!(
        "GET / HTTP/1.1\nHost: localhost:PORT{}",
        "\nX: x".repeat(100)
    );
    assert_eq!(served.ask(&head).await.status, 431);
}

#[tokio::test]
async fn a_stream_sends_changes_and_ends_with_the_dashboard() {
    let served = Served::new().await;
    let mut stream = served.connect().await;
    let request = format!(
        "GET /events?view=network HTTP/1.1\r\nHost: localhost:{}\r\n\r\n",
        served.port
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut received = String::new();
    let mut until = async |wanted: &str| {
        let mut some = [0; 4096];
        while !received.contains(wanted) {
            let count = stream.read(&mut some).await.unwrap();
            assert!(count > 0, "{wanted} is not in {received}");
            received.push_str(std::str::from_utf8(&some[..count]).unwrap());
        }
    };
    until("content-type: text/event-stream").await;
    until("event: report").await;
    until("\"view\":\"network\"").await;
    until("event: pipeline").await;
    until("\"bytes_sent\":0").await;
    served.board.write(|live| live.bytes_sent = 42);
    until("\"bytes_sent\":42").await;
    served.stop.send_replace(true);
    until("event: end").await;
    // The end of a chunked body.
    until("\r\n0\r\n\r\n").await;
    served.serving.await.unwrap().unwrap();
    let again = TcpStream::connect((Ipv4Addr::LOCALHOST, served.port)).await;
    assert!(again.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_loses_its_stream() {
    let served = Served::new().await;
    let request = format!(
        "GET /events?view=pipeline HTTP/1.1\r\nHost: localhost:{}\r\n\r\n",
        served.port
    );
    let small = TcpSocket::new_v4().unwrap();
    small.set_recv_buffer_size(10_000).unwrap();
    let mut silent = small
        .connect(([127, 0, 0, 1], served.port).into())
        .await
        .unwrap();
    let mut reading = served.connect().await;
    for stream in [&mut reading, &mut silent] {
        stream.write_all(request.as_bytes()).await.unwrap();
    }
    let reader = tokio::spawn(async move {
        let mut received = Vec::new();
        reading.read_to_end(&mut received).await.unwrap();
        received
    });
    // More than the system buffers for a slow reader.
    for count in 0..100 {
        let message = format!("{count} {}", "x".repeat(200_000));
        served.board.write(|live| live.message = Some(message));
        sleep(Duration::from_secs(1)).await;
    }
    sleep(Duration::from_secs(61)).await;
    // What the system has buffered arrives in real time. A stream that goes on would never end.
    tokio::time::resume();
    let mut rest = Vec::new();
    let ends = timeout(Duration::from_secs(60), silent.read_to_end(&mut rest));
    ends.await.unwrap().unwrap();
    assert!(!rest.ends_with(b"0\r\n\r\n"));
    served.stop.send_replace(true);
    let received = reader.await.unwrap();
    assert!(received.len() > rest.len() && received.ends_with(b"0\r\n\r\n"));
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_sends_keep_alive_events() {
    let served = Served::new().await;
    let mut stream = served.connect().await;
    let request = format!(
        "GET /events?view=pipeline HTTP/1.1\r\nHost: localhost:{}\r\n\r\n",
        served.port
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut received = String::new();
    let mut some = [0; 4096];
    while !received.contains("event: alive\ndata: {}\n\n") {
        let count = stream.read(&mut some).await.unwrap();
        assert!(count > 0, "{received}");
        received.push_str(std::str::from_utf8(&some[..count]).unwrap());
    }
}
