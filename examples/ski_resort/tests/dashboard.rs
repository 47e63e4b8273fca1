//! The dashboard on its port: who is answered, with what, and how it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::dashboard::{Dashboard, Where};
use crate::live::Board;
use crate::misconfigured::is_misconfigured;

/// A dashboard that is served.
struct Served {
    port: u16,
    board: Board,
    stop: watch::Sender<bool>,
    serving: JoinHandle<anyhow::Result<()>>,
    _places: watch::Sender<Where>,
    _changed: watch::Sender<u64>,
}

impl Served {
    async fn new() -> Self {
        let board = Board::new("max".to_owned());
        let (places, seen_places) = watch::channel(Where::Nowhere);
        let (changed, seen_changed) = watch::channel(0);
        let (stop, stopped) = watch::channel(false);
        let dashboard = Dashboard::bind(Some(0)).await.unwrap();
        Self {
            port: port(&dashboard),
            serving: tokio::spawn(dashboard.serve(
                board.subscribe(),
                seen_places,
                seen_changed,
                stopped,
            )),
            board,
            stop,
            _places: places,
            _changed: changed,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))
            .await
            .unwrap()
    }

    /// The answer to a request, in whose text PORT stands for the port.
    async fn ask(&self, head: &str) -> Answer {
        let mut stream = self.connect().await;
        let head = head
            .replace("PORT", &self.port.to_string())
            .replace('\n', "\r\n");
        let head = format!("{head}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        Answer::read(&String::from_utf8(answer).unwrap())
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\nHost: 127.0.0.1:PORT"))
            .await
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Answer {
    fn read(text: &str) -> Self {
        let (head, body) = text
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("{text:?}"));
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_owned())
        });
        Self {
            status: status.parse().unwrap(),
            headers: headers.collect(),
            body: body.to_owned(),
        }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|why| panic!("{why}: {self:?}"))
    }
}

fn port(dashboard: &Dashboard) -> u16 {
    let url = dashboard.url();
    let port = url
        .strip_prefix("http://127.0.0.1:")
        .unwrap()
        .strip_suffix('/')
        .unwrap();
    port.parse().unwrap()
}

#[tokio::test]
async fn a_port_that_was_asked_for_is_had_or_refused() {
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
async fn the_usual_port_makes_way_for_any() {
    // Somebody else may have it already.
    let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 8214)).await;
    let other = port(&Dashboard::bind(None).await.unwrap());
    assert!(other != 8214 && other != 0);
    drop(held);
}

#[tokio::test]
async fn the_page_and_its_files_are_there_and_guarded() {
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

    // Every file of the page, and whatever these name in turn.
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

/// What stands in double quotes after `prefix`, and is a file's name.
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
        // A name that leads here, another port, nothing, two, nonsense.
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
        // For reading only.
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
async fn other_pages_may_link_to_this_one_and_no_more() {
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

#[tokio::test]
async fn a_query_is_answered_or_refused_in_words() {
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
    // Bytes that are no text are read as well as they can be.
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
async fn a_stream_tells_changes_and_ends_with_the_dashboard() {
    let served = Served::new().await;
    let mut stream = served.connect().await;
    let request = format!(
        "GET /events?view=network HTTP/1.1\r\nHost: localhost:{}\r\n\r\n",
        served.port
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut heard = String::new();
    let mut until = async |wanted: &str| {
        let mut some = [0; 4096];
        while !heard.contains(wanted) {
            let count = stream.read(&mut some).await.unwrap();
            assert!(count > 0, "{wanted} is not in {heard}");
            heard.push_str(std::str::from_utf8(&some[..count]).unwrap());
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
    // The end of a chunked body.
    until("\r\n0\r\n\r\n").await;
    served.serving.await.unwrap().unwrap();
    let again = TcpStream::connect((Ipv4Addr::LOCALHOST, served.port)).await;
    assert!(again.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_says_that_it_is_alive() {
    let served = Served::new().await;
    let mut stream = served.connect().await;
    let request = format!(
        "GET /events?view=pipeline HTTP/1.1\r\nHost: localhost:{}\r\n\r\n",
        served.port
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut heard = String::new();
    let mut some = [0; 4096];
    while !heard.contains("\r\n:\n\n\r\n") {
        let count = stream.read(&mut some).await.unwrap();
        assert!(count > 0, "{heard}");
        heard.push_str(std::str::from_utf8(&some[..count]).unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_come_to_the_point_is_left() {
    let served = Served::new().await;
    for half in ["", "GET / HTTP/1.1\r\nHost: local"] {
        let mut stream = served.connect().await;
        stream.write_all(half.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(!answer.contains("200 OK"), "{answer}");
    }
}

#[tokio::test]
async fn prometheus_can_read_it() {
    let served = Served::new().await;
    served.board.write(|live| {
        live.bytes_sent = 1_000;
        live.tables[2].landed = Some(5_660_000_000);
        live.tables[2].lag_s = 0.25;
        live.requests.push(crate::live::Requests {
            endpoint: "append",
            total: 7,
            mean_ms: 1.5,
            ..Default::default()
        });
    });
    let answer = served.get("/metrics").await;
    assert_eq!(
        answer.headers["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let samples = samples(&answer.body);
    for (name, value) in [
        (r#"phase{phase="starting"}"#, 1.0),
        (r#"phase{phase="running"}"#, 0.0),
        (r#"rows_landed_total{table="LIFT_RIDE"}"#, 5_660_000_000.0),
        (r#"lag_seconds{table="LIFT_RIDE"}"#, 0.25),
        (r#"channel_state{table="SEASON_PASS",state="opening"}"#, 1.0),
        (r#"requests_total{endpoint="append"}"#, 7.0),
        (r#"request_mean_seconds{endpoint="append"}"#, 0.0015),
        ("sent_bytes_total", 1_000.0),
    ] {
        assert_eq!(
            samples.get(&format!("ski_resort_{name}")),
            Some(&value),
            "{name}"
        );
    }
    // Nobody has looked into that table.
    assert!(!samples.contains_key(r#"ski_resort_rows_landed_total{table="SEASON_PASS"}"#));
}

/// Reads the text format 0.0.4 by its rules: a family is introduced once, with its samples right behind it.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name
                .bytes()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_')
    };
    assert!(text.ends_with('\n'));
    let mut samples = BTreeMap::new();
    let mut families = BTreeSet::new();
    let mut family = "";
    let mut helped = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(is_name(name) && !help.is_empty(), "{line}");
            helped = name;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, helped, "{line}");
            assert!(families.insert(name), "{line}");
            assert!(matches!(kind, "gauge" | "counter"), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            family = name;
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = match series.split_once('{') {
                Some((name, labels)) => (name, labels.strip_suffix('}').unwrap()),
                None => (series, ""),
            };
            assert_eq!(name, family, "{line}");
            for label in labels.split(',').filter(|label| !label.is_empty()) {
                let (label, value) = label.split_once('=').unwrap();
                assert!(is_name(label), "{line}");
                let value = value
                    .strip_prefix('"')
                    .and_then(|value| value.strip_suffix('"'));
                assert!(!value.unwrap().contains(['"', '\\']), "{line}");
            }
            let before = samples.insert(series.to_owned(), value.parse().unwrap());
            assert_eq!(before, None, "{line}");
        }
    }
    samples
}
