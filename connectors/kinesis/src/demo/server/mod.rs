//! A stream in this process that speaks the protocol of Kinesis: shards that are split and merged, iterators that expire, and
//! the limits of a shard.

mod calls;
mod shards;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use fastrand::Rng;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use self::shards::Shards;

const SERVICE: &str = "Kinesis_20131202.";
const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

/// What goes wrong.
#[derive(Debug, Clone)]
pub struct Faults {
    /// The share of calls that are answered with an error, or of records that are not put.
    pub rate: f64,
    /// The seed of the choice.
    pub seed: u64,
}

/// A server that ends when this value is dropped.
pub struct Server {
    url: String,
    state: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    shards: Mutex<Shards>,
    faults: Option<Mutex<Chance>>,
}

/// Which calls fail.
struct Chance {
    rng: Rng,
    rate: f64,
    /// How many more calls of an action fail.
    bursts: BTreeMap<String, u8>,
}

/// Failures in a row that the SDK, which tries three times, reports to its caller, even if two shards share them.
const BURST: u8 = 6;

/// An error of the service: its type, its message, and the status of the answer.
struct Refusal(&'static str, String, StatusCode);

impl Refusal {
    fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self(kind, message.into(), StatusCode::BAD_REQUEST)
    }

    fn failure() -> Self {
        Self(
            "InternalFailure",
            "the server failed".to_owned(),
            StatusCode::INTERNAL_SERVER_ERROR,
        )
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self::new("InvalidArgumentException", message)
    }
}

impl Server {
    /// A stream of this name with open shards.
    ///
    /// # Errors
    /// If the server cannot listen.
    pub async fn start(
        stream: &str,
        shards: usize,
        iterator_life: Duration,
        faults: Option<Faults>,
    ) -> Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .await
            .context("the stream cannot listen")?;
        let url = format!("http://{}", listener.local_addr()?);
        let faults = faults.map(|faults| {
            Mutex::new(Chance {
                rng: Rng::with_seed(faults.seed),
                rate: faults.rate,
                bursts: BTreeMap::new(),
            })
        });
        let state = Arc::new(Shared {
            shards: Mutex::new(Shards::new(stream, shards, iterator_life)),
            faults,
        });
        let router = Router::new()
            .route("/", post(handle))
            .with_state(Arc::clone(&state));
        let task = tokio::spawn(async move {
            // It ends with the task.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { url, state, task })
    }

    /// What leads the AWS SDK here.
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("AWS_ENDPOINT_URL_KINESIS", &*self.url),
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
            ("AWS_REGION", "us-east-1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How many calls were refused because of the limits of a shard.
    pub fn throttled(&self) -> u64 {
        self.state.shards().throttled
    }

    /// How many calls were refused because of the age of an iterator.
    pub fn expired(&self) -> u64 {
        self.state.shards().expired
    }

    /// From now on nothing goes wrong any more.
    pub fn end_faults(&self) {
        if let Some(faults) = &self.state.faults {
            let mut faults = faults.lock().unwrap_or_else(PoisonError::into_inner);
            faults.rate = 0.0;
            faults.bursts.clear();
        }
    }

    /// From now on, so many answers without records follow each new iterator, although there are some.
    pub fn answer_without_records_first(&self, count: usize) {
        self.state.shards().hollow = count;
    }

    /// From now on, records are kept this long.
    pub fn set_retention_hours(&self, hours: u32) {
        self.state.shards().retention_hours = hours;
    }

    /// The next puts are done, and answered with an error.
    pub fn put_without_answer(&self, calls: usize) {
        self.state.shards().silent_puts = calls;
    }

    /// How many records all shards have.
    pub fn records(&self) -> usize {
        let shards = self.state.shards();
        shards.all.iter().map(|shard| shard.records.len()).sum()
    }

    /// Splits a shard in the middle.
    ///
    /// # Errors
    /// If it is closed.
    pub fn split(&self, index: usize) -> Result<()> {
        let mut shards = self.state.shards();
        let shard = shards.all.get(index).context("there is no such shard")?;
        let (id, at) = (shard.id.clone(), shard.begin / 2 + shard.end / 2);
        shards
            .split(&id, at)
            .map_err(|refusal| anyhow::anyhow!(refusal.1))
    }

    /// Deletes the oldest records of a shard together with the next put, so that no reader comes in between.
    pub fn trim_after_put(&self, shard: &str, count: usize) {
        self.state.shards().trim_after_put = Some((shard.to_owned(), count));
    }

    /// Deletes the oldest records of a shard, as the retention does.
    pub fn trim(&self, shard: &str, count: usize) {
        self.state.shards().trim(shard, count);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn shards(&self) -> MutexGuard<'_, Shards> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What goes wrong with this call, if something does.
    fn fault(&self, action: &str) -> Option<Refusal> {
        let mut faults = self
            .faults
            .as_ref()?
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Chance { rng, rate, bursts } = &mut *faults;
        let left = bursts.remove(action).unwrap_or(0);
        if left > 1 {
            bursts.insert(action.to_owned(), left - 1);
        }
        if left > 0 {
            return Some(Refusal::failure());
        }
        if rng.f64() >= *rate {
            return None;
        }
        Some(match (action, rng.u8(0..4)) {
            // Without an answer the caller cannot know whether records were put.
            ("PutRecords" | "SplitShard" | "MergeShards", _) => return None,
            ("GetRecords", 0) => Refusal::new("ExpiredIteratorException", "Iterator expired."),
            (_, 1) => Refusal::new("LimitExceededException", "Rate exceeded"),
            ("GetRecords" | "GetShardIterator", 2) => {
                bursts.insert(action.to_owned(), BURST - 1);
                Refusal::failure()
            }
            _ => Refusal::failure(),
        })
    }

    /// Whether a record is not put although there is room.
    fn drops_record(&self) -> bool {
        self.faults.as_ref().is_some_and(|faults| {
            let mut faults = faults.lock().unwrap_or_else(PoisonError::into_inner);
            let Chance { rng, rate, .. } = &mut *faults;
            rng.f64() < *rate
        })
    }
}

async fn handle(State(state): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers
        .get("x-amz-target")
        .and_then(|value| value.to_str().ok());
    let action = target
        .and_then(|target| target.strip_prefix(SERVICE))
        .unwrap_or_default();
    let answer = match (state.fault(action), serde_json::from_slice::<Value>(&body)) {
        (Some(refusal), _) => Err(refusal),
        (None, Ok(request)) => calls::answer(&state, action, &request),
        (None, Err(error)) => Err(Refusal::new("SerializationException", error.to_string())),
    };
    let (status, body) = match answer {
        Ok(body) => (StatusCode::OK, body),
        Err(Refusal(kind, message, status)) => {
            (status, json!({ "__type": kind, "message": message }))
        }
    };
    (
        status,
        [(header::CONTENT_TYPE, CONTENT_TYPE)],
        body.to_string(),
    )
        .into_response()
}
