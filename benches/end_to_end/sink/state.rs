//! The counters and the channels of the sink. Rows are accepted only in the order of their numbers, without a gap and without a
//! repetition.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::files::{Files, Fragment, Upload};
use super::judge::Span;
use crate::usage;

/// How many commits are kept.
const MOST_COMMITS: usize = 10_000;

/// How many messages about faults are kept. All faults are counted.
const MOST_FAULTS: usize = 10;

/// Shared by all connections.
#[derive(Debug)]
pub(crate) struct State {
    commit_after: Duration,
    socket_bytes: Arc<AtomicU64>,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// The bytes of the bodies of data requests.
    body_bytes: u64,
    data_requests: u64,
    status_requests: u64,
    other_requests: u64,
    /// Rows that were read and are the expected ones, and how many of them are the same JSON in other bytes.
    rows_read: u64,
    rewritten: u64,
    fault_count: u64,
    faults: Vec<String>,
    files: Files,
    /// The processor time that was used before the last reset.
    cpu_before: f64,
    channels: BTreeMap<String, Channel>,
    commits: VecDeque<(String, String, u64)>,
}

#[derive(Debug, Default)]
struct Channel {
    created_ms: u64,
    /// The number of the next row, which is how many rows were accepted.
    next: u64,
    committed: Option<String>,
    rows_committed: u64,
    /// Accepted end tokens with their rows and the time in microseconds from which they are committed.
    pending: VecDeque<(String, u64, u64)>,
}

impl State {
    pub(crate) fn new(commit_after: Duration) -> Self {
        Self {
            commit_after,
            socket_bytes: Arc::default(),
            counts: Mutex::default(),
        }
    }

    pub(crate) fn socket_bytes(&self) -> Arc<AtomicU64> {
        self.socket_bytes.clone()
    }

    /// Opens a channel, with nothing committed: every run starts anew.
    pub(crate) fn open(&self, channel: &str) -> Value {
        let mut counts = self.counts();
        counts.other_requests += 1;
        let opened = Channel {
            created_ms: now_us() / 1000,
            ..Channel::default()
        };
        let status = opened.status(channel);
        counts.channels.insert(channel.to_owned(), opened);
        status
    }

    pub(crate) fn drop_channel(&self, channel: &str) {
        let mut counts = self.counts();
        counts.other_requests += 1;
        counts.channels.remove(channel);
    }

    /// Counts a request that is about neither rows nor a channel.
    pub(crate) fn other(&self) {
        self.counts().other_requests += 1;
    }

    /// Counts a request with rows, with a file, or about files.
    pub(crate) fn data_request(&self, body_bytes: u64) {
        let mut counts = self.counts();
        counts.data_requests += 1;
        counts.body_bytes += body_bytes;
    }

    /// Stores an uploaded file. Its rows count when they are appended.
    pub(crate) fn put_file(&self, path: String, upload: Upload) {
        self.counts().files.put(path, upload);
    }

    /// The file that an append names.
    pub(crate) fn take_file(&self, fragment: &Fragment) -> Result<Upload, String> {
        self.counts().files.take(fragment)
    }

    /// Counts a fault.
    pub(crate) fn fault(&self, why: &str) {
        let mut counts = self.counts();
        counts.fault_count += 1;
        if counts.faults.len() < MOST_FAULTS {
            counts.faults.push(why.to_owned());
        }
    }

    /// Counts rows that were read, and how many of them are the same JSON in other bytes.
    pub(crate) fn has_read(&self, rows: u64, rewritten: u64) {
        let mut counts = self.counts();
        counts.rows_read += rows;
        counts.rewritten += rewritten;
    }

    /// Accepts the rows of one request, if they continue those of the channel.
    pub(crate) fn accept(&self, name: &str, span: Span) -> Result<(), String> {
        let mut counts = self.counts();
        let counts = &mut *counts;
        let channel = counts.channels.get_mut(name);
        let channel = channel.ok_or_else(|| format!("channel {name} is not open"))?;
        if span.first != channel.next {
            return Err(format!(
                "{span} came where channel {name} goes on with row {}",
                channel.next
            ));
        }
        channel.next = span.last + 1;
        let commit_after = u64::try_from(self.commit_after.as_micros()).unwrap_or(u64::MAX);
        let visible_us = now_us().saturating_add(commit_after);
        let end = span.last.to_string();
        channel
            .pending
            .push_back((end.clone(), span.rows(), visible_us));
        if counts.commits.len() == MOST_COMMITS {
            counts.commits.pop_front();
        }
        counts.commits.push_back((name.to_owned(), end, visible_us));
        Ok(())
    }

    /// The statuses of these channels, as far as they are open.
    pub(crate) fn statuses(&self, channels: &[String]) -> BTreeMap<String, Value> {
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

    /// The counters since the last reset, as JSON.
    pub(crate) fn stats(&self) -> Value {
        let counts = self.counts();
        let channels = counts.channels.iter();
        let channels: BTreeMap<_, _> = channels
            .map(|(name, channel)| (name, channel.next))
            .collect();
        json!({
            "channels": channels,
            "rows_read": counts.rows_read,
            "rewritten": counts.rewritten,
            "fault_count": counts.fault_count,
            "faults": counts.faults,
            "data_requests": counts.data_requests,
            "status_requests": counts.status_requests,
            "other_requests": counts.other_requests,
            "body_bytes": counts.body_bytes,
            "socket_bytes": self.socket_bytes.load(Ordering::Relaxed),
            "cpu_s": usage::cpu_seconds() - counts.cpu_before,
            "commits": counts.commits,
        })
    }

    /// Resets the counters and removes all channels and files.
    pub(crate) fn reset(&self) {
        *self.counts() = Counts {
            cpu_before: usage::cpu_seconds(),
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

/// Microseconds since the Unix epoch, which the clients' processes measure as well.
fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_micros()).unwrap_or(u64::MAX)
}
