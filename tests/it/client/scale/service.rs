//! A service with limits: it answers after a delay, refuses more than a channel or a table may send with 429, and records each
//! admitted request.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use snowpipe_streaming::transport::{Request, Response, Transport, TransportError};
use tokio::time::Instant;

use crate::support::answer;

/// Uncompressed bytes a second on one channel.
pub const CHANNEL_BYTES: f64 = 20e6;
/// Requests a second on one channel.
pub const CHANNEL_REQUESTS: f64 = 10.0;
/// Uncompressed bytes a second into one table.
pub const TABLE_BYTES: f64 = 20e9;
/// Bytes of one request on the wire.
pub const REQUEST_BYTES: usize = 4 << 20;

/// The network between a client and the service.
#[derive(Debug, Clone, Copy)]
pub struct Network {
    /// The latency of answers.
    pub delay: Duration,
    /// Answers one out of this many appends with 429 although it is within the limits.
    pub throttles_every: Option<usize>,
    /// Bytes a second of all uploads, which share them equally.
    pub uplink: Option<f64>,
}

/// A request that was admitted.
#[derive(Debug, Clone, Copy)]
pub struct Admitted {
    pub at: Instant,
    pub bytes: f64,
}

/// The requests that the service has received.
#[derive(Debug, Default)]
pub struct Seen {
    /// The admitted requests of each channel.
    pub admitted: BTreeMap<String, Vec<Admitted>>,
    /// Appends, admitted or not.
    pub appends: usize,
    /// Requests refused with 429 because a limit was exceeded.
    pub over_limit: usize,
    /// Requests refused with 429 although they were within the limits.
    pub injected: usize,
    /// Compressed bytes of all admitted requests.
    pub wire_bytes: usize,
    channels: BTreeMap<String, Channel>,
    table: Leak,
}

/// Accepts requests within the limits, and commits them at once. Clones share their state.
#[derive(Debug, Clone)]
pub struct Service {
    network: Network,
    uploads: Arc<AtomicUsize>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Channel {
    bytes: Leak,
    requests: Leak,
    committed: Option<String>,
}

/// A leaky bucket of the size of one second's limit. A request may overfill it, and no other is admitted until that has leaked.
#[derive(Debug, Default)]
struct Leak {
    level: f64,
    at: Option<Instant>,
}

impl Leak {
    fn admits(&mut self, now: Instant, rate: f64) -> bool {
        let since = self.at.map_or(0.0, |at| (now - at).as_secs_f64());
        self.level = (self.level - since * rate).max(0.0);
        self.at = Some(now);
        // The client rounds differently.
        self.level.floor() <= rate
    }
}

impl Service {
    pub fn new(network: Network) -> Self {
        Self {
            network,
            uploads: Arc::default(),
            seen: Arc::default(),
        }
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the body has passed the uplink. A client that hangs up earlier has used bandwidth for nothing.
    async fn upload(&self, request: &Request) {
        const STEP: Duration = Duration::from_millis(100);
        let Some(rate) = self.network.uplink else {
            return;
        };
        let _upload = Upload::start(&self.uploads);
        let mut left = bytes(request.body().len());
        while left > 0.0 {
            tokio::time::sleep(STEP).await;
            let uploads = self.uploads.load(Ordering::Relaxed);
            left -= rate * STEP.as_secs_f64() / bytes(uploads);
        }
    }

    fn append(&self, request: &Request) -> Response {
        let mut seen = self.seen();
        let now = Instant::now();
        seen.appends += 1;
        let every = self.network.throttles_every;
        if every.is_some_and(|every| seen.appends.is_multiple_of(every)) {
            seen.injected += 1;
            return too_much();
        }
        let length = request.headers()["x-snowflake-uncompressed-content-length"].to_str();
        let bytes: f64 = length.unwrap().parse().unwrap();
        if request.body().len() > REQUEST_BYTES {
            return answer(413, &json!({}));
        }
        let name = channel_name(request, 1);
        let Seen {
            admitted,
            channels,
            table,
            wire_bytes,
            over_limit,
            ..
        } = &mut *seen;
        let channel = channels.get_mut(&name).unwrap();
        if !(channel.bytes.admits(now, CHANNEL_BYTES)
            && channel.requests.admits(now, CHANNEL_REQUESTS)
            && table.admits(now, TABLE_BYTES))
        {
            *over_limit += 1;
            return too_much();
        }
        channel.bytes.level += bytes;
        channel.requests.level += 1.0;
        table.level += bytes;
        *wire_bytes += request.body().len();
        let end = request.uri().query().unwrap_or_default().split('&');
        channel.committed = end
            .filter_map(|pair| pair.strip_prefix("endOffsetToken="))
            .map(str::to_owned)
            .next();
        admitted
            .entry(name)
            .or_default()
            .push(Admitted { at: now, bytes });
        answer(200, &json!({ "next_continuation_token": "next" }))
    }

    fn open(&self, request: &Request) -> Response {
        let name = channel_name(request, 0);
        let mut seen = self.seen();
        let channel = seen.channels.entry(name).or_default();
        let status = json!({ "channel_status_code": "SUCCESS", "last_committed_offset_token": channel.committed });
        drop(seen);
        answer(
            200,
            &json!({ "next_continuation_token": "first", "channel_status": status }),
        )
    }

    fn statuses(&self, request: &Request) -> Response {
        let asked: Value = serde_json::from_slice(request.body()).unwrap();
        let names = asked["channel_names"].as_array().unwrap();
        let seen = self.seen();
        let statuses: BTreeMap<_, _> = names
            .iter()
            .filter_map(|name| seen.channels.get_key_value(name.as_str()?))
            .map(|(name, channel)| {
                let status = json!({ "channel_status_code": "SUCCESS", "last_committed_offset_token": channel.committed });
                (name, status)
            })
            .collect();
        answer(200, &json!({ "channel_statuses": statuses }))
    }
}

/// An upload under way.
struct Upload<'a>(&'a AtomicUsize);

impl<'a> Upload<'a> {
    fn start(uploads: &'a AtomicUsize) -> Self {
        uploads.fetch_add(1, Ordering::Relaxed);
        Self(uploads)
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts below 2^52")]
pub fn bytes(count: usize) -> f64 {
    count as f64
}

/// The name of the channel, which is the part of the path with this number from its end.
fn channel_name(request: &Request, part: usize) -> String {
    let part = request.uri().path().rsplit('/').nth(part);
    part.unwrap().replace("%3A", ":")
}

fn too_much() -> Response {
    answer(
        429,
        &json!({ "code": "390701", "message": "Request rate exceeds max. Try later." }),
    )
}

#[async_trait::async_trait]
impl Transport for Service {
    async fn call(&self, request: Request) -> Result<Response, TransportError> {
        let path = request.uri().path();
        let answer = if path.ends_with("/rows") {
            self.upload(&request).await;
            self.append(&request)
        } else if path.ends_with(":bulk-channel-status") {
            self.statuses(&request)
        } else if path.ends_with("/hostname") {
            Response::new("127.0.0.1".into())
        } else if path.ends_with("/token") {
            Response::new("token".into())
        } else {
            self.open(&request)
        };
        tokio::time::sleep(self.network.delay).await;
        Ok(answer)
    }
}
