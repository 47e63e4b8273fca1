//! What the sink counts, and what it knows of channels.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::usage;

/// The channel of a pipe that nobody opens.
pub(super) const ELASTIC: &str = "ELASTIC";

/// How many commits are remembered.
const MOST_COMMITS: usize = 10_000;

/// A request with rows or about them, as far as it is counted.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Data {
    /// How many rows its tokens or its files promise.
    pub(super) rows: u64,
    /// Its body as it came.
    pub(super) body_bytes: u64,
    /// How long the rows are uncompressed, as the client says.
    pub(super) uncompressed_bytes: u64,
}

/// Shared by all connections.
#[derive(Debug)]
pub(super) struct State {
    commit_after: Duration,
    socket_bytes: Arc<AtomicU64>,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    data: Data,
    data_requests: u64,
    status_requests: u64,
    other_requests: u64,
    mismatches: u64,
    /// Processor time that was used before counting began.
    cpu_before: f64,
    channels: BTreeMap<String, Channel>,
    commits: VecDeque<(String, String, u64)>,
}

#[derive(Debug, Default)]
struct Channel {
    created_ms: u64,
    committed: Option<String>,
    rows_committed: u64,
    /// Accepted end tokens with their rows and the time in microseconds from which they are committed.
    pending: VecDeque<(String, u64, u64)>,
}

impl State {
    pub(super) fn new(commit_after: Duration) -> Self {
        Self {
            commit_after,
            socket_bytes: Arc::default(),
            counts: Mutex::new(Counts {
                channels: BTreeMap::from([(ELASTIC.to_owned(), Channel::default())]),
                ..Counts::default()
            }),
        }
    }

    pub(super) fn socket_bytes(&self) -> Arc<AtomicU64> {
        self.socket_bytes.clone()
    }

    /// An open makes the channel anew: every run begins with nothing committed.
    pub(super) fn open(&self, channel: &str, token: Option<String>) -> Value {
        let mut counts = self.counts();
        counts.other_requests += 1;
        let opened = Channel {
            created_ms: now_us() / 1000,
            committed: token,
            ..Channel::default()
        };
        let status = opened.status(channel);
        counts.channels.insert(channel.to_owned(), opened);
        status
    }

    pub(super) fn drop_channel(&self, channel: &str) {
        let mut counts = self.counts();
        counts.other_requests += 1;
        counts.channels.remove(channel);
    }

    /// A request that is neither about rows nor about a channel.
    pub(super) fn other(&self) {
        self.counts().other_requests += 1;
    }

    /// A file that was uploaded. Its rows count when they are appended.
    pub(super) fn uploaded(&self, body_bytes: u64) {
        let mut counts = self.counts();
        counts.data_requests += 1;
        counts.data.body_bytes += body_bytes;
    }

    /// A request whose rows are not those that it promises.
    pub(super) fn mismatched(&self) {
        self.counts().mismatches += 1;
    }

    /// Rows that are accepted. Of an elastic channel there is no end token.
    pub(super) fn accepted(&self, channel: &str, end: Option<String>, data: Data) {
        let mut counts = self.counts();
        counts.data_requests += 1;
        counts.data.rows += data.rows;
        counts.data.body_bytes += data.body_bytes;
        counts.data.uncompressed_bytes += data.uncompressed_bytes;
        let Some(end) = end else { return };
        let commit_after = u64::try_from(self.commit_after.as_micros()).unwrap_or(u64::MAX);
        let visible_us = now_us().saturating_add(commit_after);
        if counts.commits.len() == MOST_COMMITS {
            counts.commits.pop_front();
        }
        counts
            .commits
            .push_back((channel.to_owned(), end.clone(), visible_us));
        let channel = counts.channels.entry(channel.to_owned()).or_default();
        channel.pending.push_back((end, data.rows, visible_us));
    }

    /// The statuses of those of the channels that are open.
    pub(super) fn statuses(&self, channels: &[String]) -> BTreeMap<String, Value> {
        let now_us = now_us();
        let mut counts = self.counts();
        counts.status_requests += 1;
        let mut status = |name: &String| {
            let channel = counts.channels.get_mut(name)?;
            channel.commit(now_us);
            Some((name.clone(), channel.status(name)))
        };
        channels.iter().filter_map(&mut status).collect()
    }

    /// What was counted since the last reset.
    pub(super) fn stats(&self) -> Value {
        let counts = self.counts();
        json!({
            "rows": counts.data.rows,
            "data_requests": counts.data_requests,
            "status_requests": counts.status_requests,
            "other_requests": counts.other_requests,
            "body_bytes": counts.data.body_bytes,
            "socket_bytes": self.socket_bytes.load(Ordering::Relaxed),
            "uncompressed_bytes": counts.data.uncompressed_bytes,
            "mismatches": counts.mismatches,
            "cpu_s": usage::cpu_seconds() - counts.cpu_before,
            "commits": counts.commits,
        })
    }

    /// Counts from 0 again. Channels stay open.
    pub(super) fn reset(&self) {
        let mut counts = self.counts();
        let channels = std::mem::take(&mut counts.channels);
        *counts = Counts {
            cpu_before: usage::cpu_seconds(),
            channels,
            ..Counts::default()
        };
        self.socket_bytes.store(0, Ordering::Relaxed);
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Channel {
    fn commit(&mut self, now_us: u64) {
        while self
            .pending
            .front()
            .is_some_and(|(_, _, visible_us)| *visible_us <= now_us)
            && let Some((token, rows, _)) = self.pending.pop_front()
        {
            self.committed = Some(token);
            self.rows_committed += rows;
        }
    }

    fn status(&self, name: &str) -> Value {
        json!({
            "database_name": "DB",
            "schema_name": "PUBLIC",
            "pipe_name": "PIPE",
            "channel_name": name,
            "channel_status_code": "SUCCESS",
            "last_committed_offset_token": self.committed,
            "created_on_ms": self.created_ms,
            "rows_parsed": self.rows_committed,
            "rows_inserted": self.rows_committed,
            "rows_error_count": 0,
            "last_error_offset_upper_bound": null,
            "last_error_message": null,
            "last_error_timestamp": null,
            "last_error_timestamp_ms": null,
            "snowflake_avg_processing_latency_ms": 0,
        })
    }
}

/// Microseconds since the Unix epoch, as the clients' processes have them too.
fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_micros()).unwrap_or(u64::MAX)
}
