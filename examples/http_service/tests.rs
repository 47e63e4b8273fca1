//! The service on a port, with many clients at once.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, ORIGIN, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use snowpipe_streaming::{ClientBuilder, CloseReport, StreamingIngestClient};
use snowpipe_streaming_emulator::{Emulator, Endpoint, Fault};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use crate::{emulator, local, service};

const NDJSON: &str = "application/x-ndjson";

/// A service on the emulator.
struct Running {
    emulator: Emulator,
    client: StreamingIngestClient,
    url: String,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<anyhow::Result<CloseReport>>,
}

impl Running {
    async fn new(configure: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Self {
        let emulator = emulator().unwrap();
        let client = local(&emulator).unwrap();
        let client = configure(client).build().await.unwrap();
        let channel = client.open_untracked_channel("rides").await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let stopped = async { stopped.await.unwrap() };
        Self {
            emulator,
            client,
            url: format!("http://{address}/rides"),
            stop,
            serving: tokio::spawn(service::serve(listener, channel.into_sender(), stopped)),
        }
    }

    /// Stops the service, and counts how often each row is in the table.
    async fn stop(self) -> BTreeMap<u64, usize> {
        self.stop.send(()).unwrap();
        let report = self.serving.await.unwrap().unwrap();
        assert!(report.is_clean(), "{report:?}");
        self.client.close().await.unwrap();
        let mut landed = BTreeMap::new();
        for row in self.emulator.rows("RESORT.PUBLIC.LIFT_RIDE").unwrap() {
            *landed.entry(row["ID"].as_u64().unwrap()).or_default() += 1;
        }
        landed
    }
}

/// A client with its own connections.
fn http() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

fn ride(id: u64) -> Value {
    json!({ "ID": id, "LIFT": "Elkhorn" })
}

fn lines(ids: impl Iterator<Item = u64>) -> String {
    let lines: Vec<_> = ids.map(|id| ride(id).to_string()).collect();
    lines.join("\n")
}

async fn post(http: &Client, url: &str, body: String, kind: &str) -> Response {
    let request = http.post(url).header(CONTENT_TYPE, kind).body(body);
    request.send().await.unwrap()
}

fn once(ids: impl Iterator<Item = u64>) -> BTreeMap<u64, usize> {
    ids.map(|id| (id, 1)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_many_connections_is_in_the_table_once() {
    const CONNECTIONS: u64 = 40;
    const ROWS: u64 = 100;
    let service = Running::new(|client| client).await;
    // What the server loses, the client sends again.
    let faults = service.emulator.faults();
    faults.push(Fault::ApplyThenLose.on(Endpoint::Append));
    let reopen = Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".to_owned());
    faults.push(reopen.on(Endpoint::Append).after(1));
    let mut connections = JoinSet::new();
    for first in (0..CONNECTIONS).map(|n| n * ROWS) {
        let url = service.url.clone();
        connections.spawn(async move {
            let (http, last) = (http(), first + ROWS - 1);
            for id in first..first + 50 {
                let answer = post(&http, &url, ride(id).to_string(), "application/json").await;
                assert_eq!(answer.status(), StatusCode::ACCEPTED);
            }
            let many = lines(first + 50..last);
            let answer = post(&http, &url, many, NDJSON).await;
            assert_eq!(answer.status(), StatusCode::ACCEPTED);
            let url = format!("{url}?wait=commit");
            let answer = post(&http, &url, ride(last).to_string(), "application/json").await;
            assert_eq!(answer.status(), StatusCode::OK);
            last
        });
    }
    while let Some(last) = connections.join_next().await {
        let last = last.unwrap();
        let rows = service.emulator.rows("RESORT.PUBLIC.LIFT_RIDE").unwrap();
        assert!(rows.iter().any(|row| row["ID"] == last), "{last}");
    }
    assert_eq!(service.stop().await, once(0..CONNECTIONS * ROWS));
}

#[tokio::test]
async fn a_bad_request_appends_nothing() {
    let service = Running::new(|client| client).await;
    let (http, url) = (http(), &service.url);
    for (body, kind) in [
        ("{ \"ID\": ".to_owned(), "application/json"),
        ("[1]".to_owned(), "application/json"),
        (format!("{}7\n", lines(0..3)), NDJSON),
    ] {
        let answer = post(&http, url, body, kind).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        assert_ne!(answer.text().await.unwrap(), "");
    }
    let answer = post(&http, url, lines(0..10_000), NDJSON).await;
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let rejected = format!("{url}?wait=commit");
    let answer = post(&http, &rejected, "{}".to_owned(), "application/json").await;
    assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let answer = post(&http, &rejected, lines(7..9), NDJSON).await;
    assert_eq!(answer.status(), StatusCode::OK);
    service.stop.send(()).unwrap();
    let report = service.serving.await.unwrap().unwrap();
    assert_eq!(report.rows_committed, 3);
    let rows = service.emulator.rows("RESORT.PUBLIC.LIFT_RIDE").unwrap();
    assert_eq!(rows, [ride(7), ride(8)]);
}

#[tokio::test]
async fn a_web_page_appends_nothing() {
    let service = Running::new(|client| client).await;
    let (http, url) = (http(), &service.url);
    // A page can send these without asking the service first.
    for kind in [
        "text/plain;charset=UTF-8",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ] {
        let answer = post(&http, url, ride(1).to_string(), kind).await;
        assert_eq!(answer.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let bare = http.post(url).body(ride(1).to_string()).send().await;
    let status = bare.unwrap().status();
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    for origin in ["https://page.example", "null"] {
        let request = http.post(url).header(CONTENT_TYPE, "application/json");
        let request = request.header(ORIGIN, origin).body(ride(1).to_string());
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    }
    let named = "application/json; charset=utf-8";
    let answer = post(&http, url, ride(2).to_string(), named).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    assert_eq!(service.stop().await, once(2..3));
}

#[tokio::test]
async fn a_service_without_memory_asks_its_clients_to_come_back() {
    let short = Duration::from_millis(50);
    let service =
        Running::new(|client| client.memory_budget(256 << 10).append_timeout(short)).await;
    let faults = service.emulator.faults();
    faults.push(Fault::Refuse.on(Endpoint::Append).always());
    let (http, url) = (http(), &service.url);
    let mut accepted = 0;
    let refused = loop {
        let many = lines(accepted..accepted + 500);
        let answer = post(&http, url, many, NDJSON).await;
        if answer.status() != StatusCode::ACCEPTED {
            break answer;
        }
        accepted += 500;
    };
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()[RETRY_AFTER], "1");
    assert!(accepted > 0);
    faults.clear();
    assert_eq!(service.stop().await, once(0..accepted));
}
