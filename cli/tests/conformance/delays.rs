//! A conformance run sends what it announces, and finds the same if the service shows everything late.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};
use snowpipe_cli::conformance;
use snowpipe_streaming::transport::{Request, Response, Transport, TransportError};
use snowpipe_streaming_emulator::MemoryTransport;

use tokio::time::Instant;

use crate::Account;

/// How long after the first question for it a thing is there.
const LATE: Duration = Duration::from_secs(40);

/// How long after the first rows of a channel they are taken.
const BUSY: Duration = Duration::from_secs(4);

/// A service that counts what it is sent. If it is late, pipes, channels in statuses, rows and columns can be seen only a while after
/// they were asked for.
#[derive(Debug, Clone)]
struct Service {
    inner: MemoryTransport,
    is_late: bool,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    asked: BTreeMap<String, Instant>,
    requests: u32,
    rows: u32,
}

impl Service {
    fn of(account: &Account, is_late: bool) -> Self {
        Self {
            inner: account.transport(),
            is_late,
            seen: Arc::default(),
        }
    }

    /// Whether something is asked for that cannot be seen yet.
    fn is_early(&self, what: String) -> bool {
        let late = if what.starts_with("rows of") {
            BUSY
        } else {
            LATE
        };
        let mut seen = self.seen.lock().unwrap();
        let first = seen.asked.entry(what).or_insert_with(Instant::now);
        self.is_late && first.elapsed() < late
    }
}

/// The name of a pipe in a path, whatever its case.
fn pipe_of(path: &str) -> String {
    let after = path.split_once("/pipes/").map_or("", |(_, after)| after);
    let name = after.split(['/', ':']).next().unwrap_or_default();
    name.replace("%22", "").to_uppercase()
}

#[async_trait]
impl Transport for Service {
    async fn call(&self, request: Request) -> Result<Response, TransportError> {
        let path = request.uri().path().to_owned();
        let body = String::from_utf8_lossy(request.body()).into_owned();
        {
            let mut seen = self.seen.lock().unwrap();
            seen.requests += 1;
            if path.ends_with("/rows") {
                let rows = body.lines().filter(|line| !line.is_empty()).count();
                seen.rows += u32::try_from(rows).unwrap();
            }
        }
        let is_open = request.method() == "PUT" && path.contains("/channels/");
        if is_open && self.is_early(format!("pipe {}", pipe_of(&path))) {
            let code = json!({ "error_code": "ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED" });
            let mut answer = Response::new(Bytes::from(code.to_string()));
            *answer.status_mut() = http::StatusCode::NOT_FOUND;
            return Ok(answer);
        }
        if path.ends_with("/rows") && self.is_early(format!("rows of {path}")) {
            let mut answer = Response::new(Bytes::from_static(b"\"ERR_SERVICE_UNAVAILABLE\""));
            *answer.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
            return Ok(answer);
        }
        let answer = self.inner.call(request).await?;
        let statement = serde_json::from_str::<Value>(&body).unwrap_or_default();
        let statement = statement["statement"].as_str().unwrap_or_default();
        let mut shown: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
        if path.ends_with(":bulk-channel-status") {
            if answer.status() == 200 && self.is_early(format!("status {}", pipe_of(&path))) {
                shown["channel_statuses"] = json!({});
            }
        } else if let Some(from) = statement.strip_prefix("SELECT COUNT(*) FROM ") {
            let table = from.split(' ').next().unwrap_or_default();
            if table.contains('"') && self.is_early(format!("rows {table}")) {
                shown["data"] = json!([["0"]]);
            }
        } else if statement.starts_with("DESC TABLE") && self.is_early(statement.to_owned()) {
            shown["data"].as_array_mut().unwrap().truncate(1);
            shown["resultSetMetaData"]["numRows"] = json!(1);
        } else {
            return Ok(answer);
        }
        Ok(answer.map(|_| Bytes::from(shown.to_string())))
    }
}

#[tokio::test(start_paused = true)]
async fn each_experiment_sends_what_it_announces() {
    let mut beyond = Vec::new();
    for one in conformance::experiments() {
        let account = Account::with(|e| e);
        let service = Service::of(&account, false);
        let options = account.options().only([one.id]).runs(1);
        let report = account.run(&options.transport(service.clone())).await;
        assert!(report.skipped.is_empty(), "{report}");
        let seen = service.seen.lock().unwrap();
        let (id, requests, rows) = (one.id, seen.requests, seen.rows);
        let of = one.requests + OF_A_RUN;
        if rows > one.rows || requests > of {
            beyond.push(format!(
                "{id}: {rows} rows of {}, {requests} requests of {of}",
                one.rows
            ));
        }
    }
    assert_eq!(beyond, Vec::<String>::new());
}

/// Requests of a run beside those of its experiments: tokens, the host, the schema, the version, names to hide.
const OF_A_RUN: u32 = 15;

#[tokio::test(start_paused = true)]
async fn a_service_that_shows_everything_late_answers_the_same() {
    let account = Account::with(|e| e);
    let service = Service::of(&account, true);
    let options = account.options().runs(1).transport(service);
    let report = account.run(&options).await;
    assert!(report.skipped.is_empty(), "{report}");
    // Two questions are about the delay itself.
    let different = report.findings.iter();
    let different = different.filter(|one| one.is_expected() == Some(false));
    let different: Vec<&str> = different.map(|one| one.what.as_str()).collect();
    let late = ["evolution.when_committed", "visible.when_committed"];
    assert_eq!(different, late, "{report}");
}
