//! A client on an emulator in memory, under a paused clock.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use snowpipe_streaming::sql::SqlClient;
use snowpipe_streaming::time::TokioClock;
use snowpipe_streaming::transport::{Request, Response, Transport, TransportError};
use snowpipe_streaming::{
    Channel, ClientBuilder, Error, ErrorKind, InvalidationCause, PipePath, Profile,
    StreamingIngestClient,
};
use snowpipe_streaming_emulator::{Emulator, EmulatorBuilder, Endpoint, MemoryTransport};

pub const TABLE: &str = "DB.PUBLIC.RIDES_PIPE";

/// An emulator, and clients of it.
pub struct World {
    pub emulator: Emulator,
    clock: Arc<TokioClock>,
}

impl World {
    pub fn new() -> Self {
        Self::with(|e| e)
    }

    pub fn with(configure: impl FnOnce(EmulatorBuilder) -> EmulatorBuilder) -> Self {
        let builder = Emulator::builder()
            .commit_delay(Duration::from_millis(500))
            .seed(1);
        let emulator = configure(builder).build().unwrap();
        let epoch = SystemTime::UNIX_EPOCH + Duration::from_secs(1_768_658_400);
        Self {
            emulator,
            clock: Arc::new(TokioClock::starting_at(epoch)),
        }
    }

    pub fn builder(&self) -> ClientBuilder {
        self.builder_for(PipePath::new("DB", "PUBLIC", "RIDES_PIPE").unwrap())
    }

    pub fn builder_for(&self, pipe: PipePath) -> ClientBuilder {
        StreamingIngestClient::builder(self.profile(), pipe)
            .transport(self.transport())
            .time_source(*self.clock)
            .seed(7)
            .offload_threshold(usize::MAX)
    }

    /// A client for statements.
    pub fn sql(&self) -> SqlClient {
        let builder = SqlClient::builder(self.profile()).transport(self.transport());
        builder.time_source(*self.clock).build().unwrap()
    }

    pub fn profile(&self) -> Profile {
        Profile::from_json(&self.emulator.profile_json("http://127.0.0.1:8080")).unwrap()
    }

    pub fn transport(&self) -> MemoryTransport {
        MemoryTransport::new(self.emulator.clone(), self.clock.clone())
    }

    /// A client whose requests `intercept` receives first, and may answer instead of the server.
    pub fn intercepted(
        &self,
        intercept: impl Fn(&Request) -> Option<Response> + Send + Sync + 'static,
    ) -> ClientBuilder {
        self.builder().transport(Interceptor {
            inner: self.transport(),
            intercept: Box::new(intercept),
        })
    }

    pub async fn client(&self) -> StreamingIngestClient {
        self.builder().build().await.unwrap()
    }

    /// A client with the channel `c`. The channel lives as long as the client.
    pub async fn channel(&self) -> (StreamingIngestClient, Channel) {
        let client = self.client().await;
        let channel = client.open_channel("c").await.unwrap();
        (client, channel)
    }

    /// The values of `N` of the landed rows, in order. Checks that the other columns are as `row` or `noisy_row` made them.
    pub fn landed(&self) -> Vec<i64> {
        let numbered = |landed: &Value| {
            let n = number(landed);
            let is_intact = *landed == row(n) || *landed == noisy_row(n);
            assert!(is_intact, "row {n} landed with other contents");
            n
        };
        self.landed_rows().iter().map(numbered).collect()
    }

    /// The rows that landed, in order.
    pub fn landed_rows(&self) -> Vec<Value> {
        let mut rows = self.emulator.rows(TABLE).unwrap();
        for row in &mut rows {
            if let Some(content) = row.get_mut("ROW") {
                *row = content.take();
            }
        }
        rows
    }

    /// How many requests of an endpoint there were.
    pub fn requests(&self, endpoint: Endpoint) -> usize {
        self.emulator
            .log()
            .iter()
            .filter(|r| r.endpoint == endpoint)
            .count()
    }
}

type Intercept = dyn Fn(&Request) -> Option<Response> + Send + Sync;

/// A transport that may answer requests in place of the emulator.
struct Interceptor {
    inner: MemoryTransport,
    intercept: Box<Intercept>,
}

impl fmt::Debug for Interceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Interceptor")
    }
}

#[async_trait::async_trait]
impl Transport for Interceptor {
    async fn call(&self, request: Request) -> Result<Response, TransportError> {
        match (self.intercept)(&request) {
            Some(response) => Ok(response),
            None => self.inner.call(request).await,
        }
    }
}

/// An answer with a JSON body.
pub fn answer(status: u16, body: &Value) -> Response {
    http::Response::builder()
        .status(status)
        .body(body.to_string().into())
        .unwrap()
}

fn number(row: &Value) -> i64 {
    row.get("N").and_then(Value::as_i64).unwrap()
}

/// Why the channel was invalidated.
pub fn cause(error: &Error) -> InvalidationCause {
    match error.kind() {
        ErrorKind::Invalidated(cause) => cause,
        other => panic!("{other:?}: {error}"),
    }
}

/// A row with a unique text, so that a row with another row's bytes is found.
pub fn row(n: i64) -> Value {
    json!({ "N": n, "LIFT": format!("Elkhorn {n}") })
}

pub fn rows(range: std::ops::Range<i64>) -> Vec<Value> {
    range.map(row).collect()
}

/// Rows as lines of JSON.
pub fn ndjson(rows: &[Value]) -> String {
    let mut lines = String::new();
    for row in rows {
        lines.push_str(&row.to_string());
        lines.push('\n');
    }
    lines
}

/// Rows of about 150 bytes that hardly compress.
pub fn noisy(range: std::ops::Range<i64>) -> impl Iterator<Item = Value> {
    range.map(noisy_row)
}

fn noisy_row(n: i64) -> Value {
    let mut rng = fastrand::Rng::with_seed(n.unsigned_abs());
    let noise: String = std::iter::repeat_with(|| rng.alphanumeric())
        .take(128)
        .collect();
    json!({ "N": n, "NOISE": noise })
}
