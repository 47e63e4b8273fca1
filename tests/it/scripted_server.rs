//! A scripted server on real HTTP: it returns prepared answers and keeps requests as they were on the wire.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;
use snowpipe_streaming::transport::HttpTransport;
use snowpipe_streaming::{ClientBuilder, Error, Pacing, PipePath, Profile, StreamingIngestClient};
use tokio::sync::watch;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

/// The timeout of a test. No test takes that long.
const HUNG: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call {
    Hostname,
    Token,
    /// For an OAuth access token.
    Authorize,
    Open,
    Append,
    Status,
    Drop,
}

/// A received request.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) call: Call,
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The value of a query parameter as it was sent, encoded.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }

    /// The request id and the retry count.
    pub(crate) fn attempt(&self) -> (&str, &str) {
        (
            self.query("requestId").unwrap(),
            self.query("retryCount").unwrap(),
        )
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The NDJSON of an append.
    pub(crate) fn rows(&self) -> String {
        String::from_utf8(zstd::decode_all(self.body.as_slice()).unwrap()).unwrap()
    }

    fn channel(&self) -> Option<String> {
        let path = self.target.split('?').next()?;
        let name = path.split("/channels/").nth(1)?.split('/').next()?;
        let name = percent_encoding::percent_decode_str(name);
        Some(name.decode_utf8().unwrap().into_owned())
    }
}

#[derive(Default)]
struct Acts {
    next: BTreeMap<Call, VecDeque<ResponseTemplate>>,
    always: BTreeMap<Call, ResponseTemplate>,
    seen: Vec<Seen>,
    committed: BTreeMap<String, String>,
    withholds: bool,
    appends: u32,
}

struct Script {
    acts: Mutex<Acts>,
    count: watch::Sender<usize>,
}

/// The server. Without a script it accepts logins, opens channels, accepts rows and commits them at once.
pub(crate) struct Stage {
    server: MockServer,
    script: Arc<Script>,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let server = MockServer::start().await;
        let script = Arc::new(Script {
            acts: Mutex::default(),
            count: watch::Sender::new(0),
        });
        Mock::given(any())
            .respond_with(Player(Arc::clone(&script)))
            .mount(&server)
            .await;
        Self { server, script }
    }

    pub(crate) fn url(&self) -> String {
        self.server.uri()
    }

    /// Adds an answer to this endpoint, which is used once.
    pub(crate) fn answer(&self, call: Call, answer: ResponseTemplate) {
        let mut acts = self.script.acts.lock().unwrap();
        acts.next.entry(call).or_default().push_back(answer);
    }

    /// Sets the answer to all further requests to this endpoint.
    pub(crate) fn always(&self, call: Call, answer: ResponseTemplate) {
        self.script.acts.lock().unwrap().always.insert(call, answer);
    }

    /// Sets the committed token in statuses, until an append is accepted.
    pub(crate) fn commit(&self, channel: &str, token: &str) {
        let mut acts = self.script.acts.lock().unwrap();
        acts.committed.insert(channel.to_owned(), token.to_owned());
    }

    /// Stops committing accepted rows.
    pub(crate) fn withhold_commits(&self) {
        self.script.acts.lock().unwrap().withholds = true;
    }

    pub(crate) fn all(&self) -> Vec<Seen> {
        self.script.acts.lock().unwrap().seen.clone()
    }

    pub(crate) fn seen(&self, call: Call) -> Vec<Seen> {
        let mut seen = self.all();
        seen.retain(|s| s.call == call);
        seen
    }

    pub(crate) fn count(&self, call: Call) -> usize {
        self.seen(call).len()
    }

    /// Waits until an endpoint was called this many times.
    pub(crate) async fn called(&self, call: Call, times: usize) {
        let mut count = self.script.count.subscribe();
        let enough = count.wait_for(|_| self.count(call) >= times);
        within(async { enough.await.map(drop).unwrap() }).await;
    }

    pub(crate) fn profile(&self) -> Profile {
        Profile::new("MYORG-MYACCT")
            .with_user("INGEST")
            .with_url(self.url())
            .with_private_key_file("tests/fixtures/keys/rsa_p8.pem")
    }

    pub(crate) fn builder(&self) -> ClientBuilder {
        builder(self.profile())
    }

    pub(crate) async fn client(&self) -> StreamingIngestClient {
        self.builder().build().await.unwrap()
    }
}

/// A client with short delays.
pub(crate) fn builder(profile: Profile) -> ClientBuilder {
    let pipe = PipePath::new("DB", "PUBLIC", "RIDES_PIPE").unwrap();
    // Reading the operating system's trust store takes longer than most tests.
    let transport = HttpTransport::builder().no_proxy().only_these_roots();
    StreamingIngestClient::builder(profile, pipe)
        .transport(transport.build().unwrap())
        .pacing(Pacing::Off)
        .max_client_lag(Duration::from_millis(10))
        .attempt_timeout(Duration::from_secs(10))
        .settle_timeout(Duration::from_millis(100))
        .close_timeout(Duration::from_secs(10))
}

/// The output of `future`. The test fails if it takes too long.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(HUNG, future).await.expect("it hangs")
}

/// All text of an error: its message, its debug form and its causes.
pub(crate) fn everything(error: &Error) -> String {
    let mut text = format!("{error}\n{error:?}\n{error:#?}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        write!(text, "\n{error}\n{error:?}").unwrap();
        cause = error.source();
    }
    text
}

/// Text that hardly compresses.
pub(crate) fn noise(seed: u64, len: usize) -> String {
    let mut rng = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| rng.alphanumeric())
        .take(len)
        .collect()
}

pub(crate) fn json(status: u16, body: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_raw(body, "application/json")
}

pub(crate) fn text(status: u16, body: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_raw(body, "text/plain")
}

pub(crate) fn html(status: u16) -> ResponseTemplate {
    let page = "<!doctype html><html><body><h1>Bad Gateway</h1></body></html>";
    ResponseTemplate::new(status).set_body_raw(page, "text/html")
}

pub(crate) fn empty(status: u16) -> ResponseTemplate {
    ResponseTemplate::new(status)
}

/// An error in the documented form.
pub(crate) fn refusal(status: u16, code: &str) -> ResponseTemplate {
    json(
        status,
        &format!(r#"{{"code":"{code}","message":"the server's words"}}"#),
    )
}

/// A channel's entry in a status answer.
pub(crate) fn status_of(committed: Option<&str>, code: &str, errors: u32) -> String {
    // Each row has a token, the first one 0. Rows with other tokens are not counted.
    let rows = committed.map_or(Some(0), |token| Some(token.parse::<u64>().ok()? + 1));
    let rows = rows.map_or("null".to_owned(), |rows| rows.to_string());
    let committed = committed.map_or("null".to_owned(), |token| format!("\"{token}\""));
    format!(
        r#"{{"database_name":"DB","schema_name":"PUBLIC","pipe_name":"RIDES_PIPE","channel_status_code":"{code}","last_committed_offset_token":{committed},"created_on_ms":1768658400000,"rows_inserted":{rows},"rows_parsed":{rows},"rows_error_count":{errors},"last_error_offset_upper_bound":null,"last_error_message":null,"last_error_timestamp":null,"snowflake_avg_processing_latency_ms":120}}"#
    )
}

pub(crate) fn opened(committed: Option<&str>, code: &str) -> ResponseTemplate {
    let status = status_of(committed, code, 0);
    json(
        200,
        &format!(r#"{{"next_continuation_token":"0_1","channel_status":{status}}}"#),
    )
}

pub(crate) fn statuses(entries: &[(&str, String)]) -> ResponseTemplate {
    let entries: Vec<_> = entries
        .iter()
        .map(|(name, entry)| format!("\"{name}\":{entry}"))
        .collect();
    json(
        200,
        &format!(r#"{{"channel_statuses":{{{}}}}}"#, entries.join(",")),
    )
}

struct Player(Arc<Script>);

impl Respond for Player {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let seen = Seen {
            call: call_of(request),
            method: request.method.to_string(),
            target: request.url[url::Position::BeforePath..].to_owned(),
            headers: request.headers.clone(),
            body: request.body.clone(),
        };
        let mut acts = self.0.acts.lock().unwrap();
        let scripted = acts
            .next
            .get_mut(&seen.call)
            .and_then(VecDeque::pop_front)
            .or_else(|| acts.always.get(&seen.call).cloned());
        let answer = scripted.unwrap_or_else(|| plain_answer(&mut acts, &seen));
        acts.seen.push(seen);
        drop(acts);
        self.0.count.send_modify(|count| *count += 1);
        answer
    }
}

fn call_of(request: &Request) -> Call {
    let path = request.url.path();
    match request.method.as_str() {
        "GET" if path == "/v2/streaming/hostname" => Call::Hostname,
        "POST" if path == "/oauth/token" => Call::Token,
        "POST" if path == "/oauth/token-request" || path == "/oauth2/token" => Call::Authorize,
        "POST" if path.ends_with("/rows") => Call::Append,
        "POST" if path.ends_with(":bulk-channel-status") => Call::Status,
        "PUT" => Call::Open,
        "DELETE" => Call::Drop,
        method => panic!("an unknown endpoint: {method} {path}"),
    }
}

fn plain_answer(acts: &mut Acts, seen: &Seen) -> ResponseTemplate {
    let channel = seen.channel().unwrap_or_default();
    match seen.call {
        Call::Hostname => text(200, "127.0.0.1"),
        Call::Token => {
            let tokens = acts.seen.iter().filter(|s| s.call == Call::Token).count();
            text(200, &format!("scoped-{}", tokens + 1))
        }
        Call::Authorize => json(
            200,
            r#"{"access_token":"access-1","token_type":"Bearer","expires_in":600}"#,
        ),
        Call::Open => opened(acts.committed.get(&channel).map(String::as_str), "SUCCESS"),
        Call::Append => {
            acts.appends += 1;
            if !acts.withholds {
                let end = seen.query("endOffsetToken").unwrap().to_owned();
                acts.committed.insert(channel, end);
            }
            let next = acts.appends + 1;
            json(200, &format!(r#"{{"next_continuation_token":"0_{next}"}}"#))
        }
        Call::Status => {
            let asked: Value = serde_json::from_slice(&seen.body).unwrap();
            let names = asked["channel_names"].as_array().unwrap();
            let entries: Vec<_> = names
                .iter()
                .map(|name| {
                    let name = name.as_str().unwrap();
                    let committed = acts.committed.get(name).map(String::as_str);
                    (name, status_of(committed, "SUCCESS", 0))
                })
                .collect();
            statuses(&entries)
        }
        Call::Drop => json(200, "{}"),
    }
}
