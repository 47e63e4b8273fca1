//! Which clients may use the emulator's admin endpoints and the SQL API: programs on this machine, but not web pages, other
//! machines, or a client that would use all of the server's time.

use std::net::{Ipv4Addr, SocketAddr};

use reqwest::Method;
use serde_json::json;
use snowpipe_streaming::auth::Secret;
use snowpipe_streaming_emulator::{Emulator, ErrorKind, Server, ServerLimits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::admin::{Rig, answer};
use crate::{rows, within};

#[tokio::test]
async fn only_requests_for_this_machine_are_answered() {
    let rig = Rig::start(Emulator::builder()).await;
    let port = rig.server.local_addr().port();
    let hosts = [
        (format!("127.0.0.1:{port}"), 200),
        (format!("localhost:{port}"), 200),
        ("LOCALHOST".to_owned(), 200),
        ("emulator.localhost".to_owned(), 200),
        (format!("[::1]:{port}"), 200),
        ("127.1.2.3".to_owned(), 200),
        ("evil.example".to_owned(), 403),
        ("localhost.evil.example".to_owned(), 403),
        ("127.0.0.1.evil.example".to_owned(), 403),
        ("192.168.1.1".to_owned(), 403),
        ("0.0.0.0".to_owned(), 403),
        ("localhost@evil.example".to_owned(), 403),
        (String::new(), 403),
    ];
    for (host, wanted) in hosts {
        let said = raw(
            &rig,
            &format!("GET /_emulator/health HTTP/1.1\r\nHost: {host}\r\n"),
        )
        .await;
        assert!(
            said.starts_with(&format!("HTTP/1.1 {wanted} ")),
            "{host}: {said}"
        );
    }
    for head in [
        "GET /_emulator/health HTTP/1.1\r\n",
        "GET /_emulator/health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n",
        "GET http://evil.example/_emulator/health HTTP/1.1\r\nHost: localhost\r\n",
        "POST /api/v2/statements HTTP/1.1\r\nHost: evil.example\r\nContent-Type: application/json\r\nContent-Length: 0\r\n",
    ] {
        let said = raw(&rig, head).await;
        assert!(said.starts_with("HTTP/1.1 403 "), "{head}: {said}");
    }
}

async fn raw(rig: &Rig, head: &str) -> String {
    let mut stream = TcpStream::connect(rig.server.local_addr()).await.unwrap();
    let request = format!("{head}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    within(stream.read_to_end(&mut said)).await.unwrap();
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn web_pages_are_refused() {
    let rig = Rig::start(Emulator::builder()).await;
    let reset = || {
        rig.request(Method::POST, "/_emulator/reset")
            .header("content-type", "application/json")
            .body("{}")
    };
    let own = rig.server.url();
    let origins = [
        (own.as_str(), 200),
        ("http://evil.example", 403),
        ("http://localhost", 403),
        ("null", 403),
        ("", 403),
    ];
    for (origin, wanted) in origins {
        let (status, _) = answer(reset().header("origin", origin)).await;
        assert_eq!(status, wanted, "{origin}");
    }
    // The endpoints of the service refuse it as well.
    let foreign = rig.request(Method::GET, "/v2/streaming/hostname");
    let (status, _) = answer(foreign.header("origin", "http://evil.example")).await;
    assert_eq!(status, 403);

    // The content types that a form can send without a preflight request.
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ] {
        for path in [
            "/_emulator/reset",
            "/_emulator/faults",
            "/api/v2/statements",
        ] {
            let form = rig.request(Method::POST, path).header("content-type", kind);
            let (status, _) = answer(form.body("{}")).await;
            assert_eq!(status, 415, "{kind} {path}");
        }
    }
    let (status, _) = answer(rig.request(Method::POST, "/_emulator/reset")).await;
    assert_eq!(status, 415);
    let asked = rig
        .request(Method::OPTIONS, "/_emulator/reset")
        .header("origin", own)
        .header("access-control-request-method", "POST");
    let asked = within(asked.send()).await.unwrap();
    assert_eq!(asked.status(), 404);
    let headers = asked.headers();
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["cross-origin-resource-policy"], "same-origin");
    let mut headers = headers.keys();
    assert!(!headers.any(|name| name.as_str().starts_with("access-control")));
}

#[tokio::test]
async fn a_page_of_another_site_learns_nothing_from_an_image() {
    let rig = Rig::start(Emulator::builder()).await;
    for (site, wanted) in [
        ("same-origin", 200),
        ("none", 200),
        ("cross-site", 403),
        ("same-site", 403),
    ] {
        for path in ["/_emulator/health", "/_emulator/tables"] {
            let image = rig.request(Method::GET, path);
            let (status, _) = answer(image.header("sec-fetch-site", site)).await;
            assert_eq!(status, wanted, "{site} {path}");
        }
    }
}

#[tokio::test]
async fn requests_that_wait_leave_places_for_others() {
    let emulator = Emulator::builder().build().unwrap();
    let mut limits = ServerLimits::default();
    limits.connections = 4;
    let server = Server::builder(emulator)
        .limits(limits)
        .bind()
        .await
        .unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let rig = Rig { server, http };
    let path = "/_emulator/wait?table=A.B.C&rows=10&timeout_s=300";
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..3 {
        waiting.spawn(answer(rig.request(Method::GET, path)));
    }
    // Half of the places are for them.
    let (status, _) = within(waiting.join_next()).await.unwrap().unwrap();
    assert_eq!(status, 429);
    let health = answer(rig.request(Method::GET, "/_emulator/health"));
    assert_eq!(within(health).await.0, 200);
    assert_eq!(waiting.len(), 2);
    waiting.abort_all();
}

#[tokio::test]
async fn the_token_is_asked_for_whatever_the_path_looks_like() {
    let emulator = Emulator::builder().build().unwrap();
    let server = Server::builder(emulator)
        .admin_token(Secret::from("swordfish"))
        .host("emulator")
        .bind()
        .await
        .unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let rig = Rig { server, http };
    let health = || rig.request(Method::GET, "/_emulator/health");
    assert_eq!(answer(health()).await.0, 401);
    assert_eq!(answer(health().bearer_auth("swordfis")).await.0, 401);
    assert_eq!(answer(health().bearer_auth("")).await.0, 401);
    assert_eq!(
        answer(health().basic_auth("swordfish", Some(""))).await.0,
        401
    );
    assert_eq!(answer(health().bearer_auth("swordfish")).await.0, 200);
    let named = health()
        .bearer_auth("swordfish")
        .header("host", "emulator:1");
    assert_eq!(answer(named).await.0, 200);
    for path in [
        "/_emulator",
        "/_emulator/",
        "/_emulator/nothing",
        "/_emulator//health",
        "/_emulator/%2e%2e/health",
        "/_emulator/../_emulator/health",
        "//_emulator/health",
        "/%5femulator/health",
        "/_EMULATOR/health",
        "/_emulator%2fhealth",
        "/x/../_emulator/health",
        "/v2/streaming/../../_emulator/health",
    ] {
        let said = raw(&rig, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n")).await;
        let refused = said.starts_with("HTTP/1.1 401 ") || said.starts_with("HTTP/1.1 404 ");
        assert!(refused, "{path}: {said}");
    }
    assert!(!format!("{:?}", rig.server).contains("swordfish"));
}

#[tokio::test]
async fn other_machines_are_let_in_only_with_a_token() {
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let builder = || Server::builder(Emulator::builder().build().unwrap()).listen(any);
    let why = builder().bind().await.unwrap_err();
    assert_eq!(why.kind(), ErrorKind::Config);
    assert!(why.to_string().contains("use a loopback address"), "{why}");
    for builder in [
        builder().allow_remote(true),
        builder().allow_remote(true).admin_token(Secret::from("")),
    ] {
        let why = builder.bind().await.unwrap_err();
        assert!(why.to_string().contains("needs an admin token"), "{why}");
    }
    let builder = builder().allow_remote(true).admin_token(Secret::from("t"));
    let server = builder.bind().await.unwrap();
    let url = format!(
        "http://127.0.0.1:{}/_emulator/health",
        server.local_addr().port()
    );
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    assert_eq!(answer(http.get(&url)).await.0, 401);
    let by_address = http
        .get(&url)
        .header("host", "192.168.1.1")
        .bearer_auth("t");
    assert_eq!(answer(by_address).await.0, 200);
    let by_name = http
        .get(&url)
        .header("host", "evil.example")
        .bearer_auth("t");
    assert_eq!(answer(by_name).await.0, 403);
}

/// Slow statements do not delay other clients, and their number is bounded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_statements_do_not_block_other_clients() {
    let rig = Rig::start(Emulator::builder()).await;
    let client = rig.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    let endless = json!({
        "statement": "WITH RECURSIVE N(I) AS (SELECT 1 UNION ALL SELECT I + 1 FROM N) SELECT COUNT(*) FROM N",
        "timeout": 1,
    })
    .to_string();
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..30 {
        running.spawn(answer(rig.sql("").body(endless.clone())));
    }
    // Two run, sixteen wait, and the others are refused at once. On a slow machine some have already timed out.
    let mut refused = 0;
    for _ in 0..12 {
        let (status, _) = within(running.join_next()).await.unwrap().unwrap();
        assert!([408, 429].contains(&status), "{status}");
        refused += usize::from(status == 429);
    }
    assert_ne!(refused, 0);
    let receipt = channel.append_rows(rows(0..3), 0..).await.unwrap();
    within(receipt.committed()).await.unwrap();
    assert_eq!(rig.get("health").await["status"], "ok");
    assert!(!running.is_empty());
    running.abort_all();
}
