//! The requests that the dashboard answers: those of this machine's page, within its limits.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::dashboard_served::Served;

#[tokio::test]
async fn only_this_machine_s_own_page_is_answered() {
    let served = Served::new().await;
    for (head, status) in [
        ("GET / HTTP/1.1\nHost: 127.0.0.1:PORT", 200),
        ("GET / HTTP/1.1\nHost: localhost:PORT", 200),
        ("GET / HTTP/1.1\nHost: LOCALHOST:PORT", 200),
        ("GET / HTTP/1.1\nHost: [::1]:PORT", 200),
        ("HEAD / HTTP/1.1\nHost: localhost:PORT", 200),
        (
            "GET http://localhost:PORT/ HTTP/1.1\nHost: localhost:PORT",
            200,
        ),
        // Another name for this machine, another port, no host, two hosts, an invalid host.
        ("GET / HTTP/1.1\nHost: rebound.example:PORT", 421),
        ("GET / HTTP/1.1\nHost: 127.0.0.1.example:PORT", 421),
        ("GET / HTTP/1.1\nHost: localhost.:PORT", 421),
        ("GET / HTTP/1.1\nHost: 192.0.2.1:PORT", 421),
        ("GET / HTTP/1.1\nHost: 127.0.0.2:PORT", 421),
        ("GET / HTTP/1.1\nHost: localhost:1", 421),
        ("GET / HTTP/1.1\nHost: localhost", 421),
        ("GET / HTTP/1.1\nHost: me@localhost:PORT", 421),
        ("GET / HTTP/1.1\nHost:", 421),
        (
            "GET / HTTP/1.1\nHost: localhost:PORT\nHost: localhost:PORT",
            421,
        ),
        ("GET / HTTP/1.1\nAccept: */*", 421),
        ("GET / HTTP/1.0\nAccept: */*", 421),
        (
            "GET http://rebound.example/ HTTP/1.1\nHost: localhost:PORT",
            421,
        ),
        (
            "GET /data?view=pipeline HTTP/1.1\nHost: rebound.example:PORT",
            421,
        ),
        ("GET /metrics HTTP/1.1\nHost: rebound.example:PORT", 421),
        // Read-only.
        (
            "POST / HTTP/1.1\nHost: localhost:PORT\nContent-Length: 0",
            405,
        ),
        (
            "PUT /data HTTP/1.1\nHost: localhost:PORT\nContent-Length: 0",
            405,
        ),
        ("DELETE /data HTTP/1.1\nHost: localhost:PORT", 405),
        (
            "OPTIONS /data HTTP/1.1\nHost: localhost:PORT\nOrigin: http://rebound.example",
            405,
        ),
    ] {
        let answer = served.ask(head).await;
        assert_eq!(answer.status, status, "{head}");
        assert!(
            !answer.headers.contains_key("access-control-allow-origin"),
            "{head}"
        );
        assert!(
            answer.headers.contains_key("content-security-policy"),
            "{head}"
        );
        let allow = answer.headers.get("allow").map(String::as_str);
        assert_eq!(allow, (status == 405).then_some("GET, HEAD"), "{head}");
    }
}

#[tokio::test]
async fn other_pages_can_link_to_this_one_and_nothing_else() {
    let served = Served::new().await;
    for (path, from, status) in [
        ("/", "Sec-Fetch-Site: cross-site", 200),
        ("/data?view=pipeline", "Sec-Fetch-Site: same-origin", 200),
        ("/data?view=pipeline", "Sec-Fetch-Site: none", 200),
        ("/data?view=pipeline", "Sec-Fetch-Site: cross-site", 403),
        ("/data?view=pipeline", "Sec-Fetch-Site: same-site", 403),
        ("/events?view=pipeline", "Sec-Fetch-Site: cross-site", 403),
        ("/metrics", "Sec-Fetch-Site: cross-site", 403),
        ("/data?view=pipeline", "Origin: http://localhost:PORT", 200),
        ("/data?view=pipeline", "Origin: http://localhost:1", 403),
        (
            "/events?view=pipeline",
            "Origin: http://rebound.example",
            403,
        ),
        ("/metrics", "Origin: null", 403),
    ] {
        let head = format!("GET {path} HTTP/1.1\nHost: localhost:PORT\n{from}");
        let answer = served.ask(&head).await;
        assert_eq!(answer.status, status, "{head}");
        let headers = answer.headers;
        assert!(!headers.contains_key("access-control-allow-origin"));
        assert!(headers.contains_key("content-security-policy"));
    }
}

#[tokio::test(start_paused = true)]
async fn slow_and_large_requests_are_disconnected() {
    let served = Served::new().await;
    for half in ["", "GET / HTTP/1.1\r\nHost: local"] {
        let mut stream = served.connect().await;
        stream.write_all(half.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(!answer.contains("200 OK"), "{answer}");
    }
}
