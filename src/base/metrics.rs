//! The metrics of a client: atomic counters, and a snapshot of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;

use crate::types::pipe::PipePath;

/// A snapshot of a client's counters since it was built, and of the memory it holds.
///
/// Export it regularly with your other metrics; [`to_prometheus`](Self::to_prometheus) formats it for Prometheus. Rows and
/// bytes are sums over all channels of the client, closed ones included.
///
/// ```
/// # use snowpipe_streaming::StreamingIngestClient;
/// fn page(client: &StreamingIngestClient) -> String {
///     client.metrics().to_prometheus()
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// The account's name.
    pub account: String,
    /// The client's pipe.
    pub pipe: PipePath,
    /// Rows appended.
    pub rows_appended: u64,
    /// Rows accepted by the server. A row that is sent again after a reopen counts again.
    pub rows_accepted: u64,
    /// Committed rows of named channels, rejected ones included.
    pub rows_committed: u64,
    /// Rejected rows of named channels.
    pub rows_rejected: u64,
    /// Bytes of accepted rows as NDJSON, which is close to what Snowflake bills.
    pub bytes_accepted: u64,
    /// Bytes of compressed rows sent, retries included.
    pub bytes_sent: u64,
    /// Requests by endpoint. Endpoints that were never called are missing.
    pub requests: BTreeMap<&'static str, RequestMetrics>,
    /// Open channels, without elastic ones.
    pub channels: u64,
    /// The number of invalidations of channels.
    pub channels_invalidated: u64,
    /// The number of automatic reopens, which happen with [`Recovery::Replay`](crate::Recovery::Replay).
    pub channels_reopened: u64,
    /// Bytes of rows in memory.
    pub memory_in_use: u64,
    /// The limit of `memory_in_use`.
    pub memory_budget: u64,
}

/// The requests to one endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestMetrics {
    /// Requests, each attempt counted.
    pub total: u64,
    /// Attempts that repeated an earlier one.
    pub retries: u64,
    /// Attempts without a complete answer: no connection, a broken connection, a timeout.
    pub unanswered: u64,
    /// Attempts answered with 429.
    pub throttled: u64,
    /// Attempts answered with another 4xx.
    pub refused: u64,
    /// Attempts answered with 5xx.
    pub failed: u64,
    /// The total duration of all attempts.
    pub duration: Duration,
}

/// An endpoint of the service in metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Hostname,
    Token,
    Open,
    Append,
    Status,
    Drop,
    Statement,
}

impl Endpoint {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Hostname, "hostname"),
        (Self::Token, "token"),
        (Self::Open, "open"),
        (Self::Append, "append"),
        (Self::Status, "status"),
        (Self::Drop, "drop"),
        (Self::Statement, "statement"),
    ];
}

/// The counters behind [`Metrics`]. They are independent, so a snapshot may contain a part of what happens while it is taken.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    rows_appended: AtomicU64,
    rows_accepted: AtomicU64,
    rows_committed: AtomicU64,
    rows_rejected: AtomicU64,
    bytes_accepted: AtomicU64,
    bytes_sent: AtomicU64,
    channels_invalidated: AtomicU64,
    channels_reopened: AtomicU64,
    hostname: Requests,
    token: Requests,
    open: Requests,
    append: Requests,
    status: Requests,
    drop: Requests,
    statement: Requests,
}

#[derive(Debug, Default)]
struct Requests {
    total: AtomicU64,
    retries: AtomicU64,
    unanswered: AtomicU64,
    throttled: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    micros: AtomicU64,
}

/// The counters of a channel at one time. [`Counters::moved`] adds the difference of two snapshots.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CounterSnapshot {
    pub(crate) accepted: u64,
    pub(crate) committed: u64,
    pub(crate) rejected: u64,
    pub(crate) epoch: u64,
    pub(crate) is_invalidated: bool,
}

impl Counters {
    /// Adds the progress of a channel between two snapshots.
    pub(crate) fn moved(&self, from: CounterSnapshot, to: CounterSnapshot) {
        add(
            &self.rows_accepted,
            to.accepted.saturating_sub(from.accepted),
        );
        add(
            &self.rows_committed,
            to.committed.saturating_sub(from.committed),
        );
        add(
            &self.rows_rejected,
            to.rejected.saturating_sub(from.rejected),
        );
        add(&self.channels_reopened, to.epoch.saturating_sub(from.epoch));
        let ended = to.is_invalidated && !from.is_invalidated;
        add(&self.channels_invalidated, u64::from(ended));
    }

    /// Counts appended rows.
    pub(crate) fn appended(&self, rows: u64) {
        add(&self.rows_appended, rows);
    }

    /// Counts the accepted rows of an elastic channel.
    pub(crate) fn accepted(&self, rows: u64) {
        add(&self.rows_accepted, rows);
    }

    /// Counts accepted bytes, uncompressed.
    pub(crate) fn bytes_accepted(&self, bytes: usize) {
        add(&self.bytes_accepted, bytes as u64);
    }

    /// Counts sent bytes, compressed.
    pub(crate) fn bytes_sent(&self, bytes: usize) {
        add(&self.bytes_sent, bytes as u64);
    }

    /// Counts a completed call, with its status or without an answer.
    pub(crate) fn called(
        &self,
        endpoint: Endpoint,
        retry_count: u32,
        status: Option<StatusCode>,
        elapsed: Duration,
    ) {
        let requests = self.requests(endpoint);
        add(&requests.total, 1);
        add(&requests.retries, u64::from(retry_count > 0));
        add(
            &requests.micros,
            u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
        );
        match status {
            None => add(&requests.unanswered, 1),
            Some(StatusCode::TOO_MANY_REQUESTS) => add(&requests.throttled, 1),
            Some(status) if status.is_client_error() => add(&requests.refused, 1),
            Some(status) if status.is_server_error() => add(&requests.failed, 1),
            Some(_) => {}
        }
    }

    pub(crate) fn snapshot(
        &self,
        account: &str,
        pipe: &PipePath,
        channels: usize,
        memory_in_use: usize,
        memory_budget: usize,
    ) -> Metrics {
        let requests = Endpoint::ALL
            .into_iter()
            .map(|(endpoint, name)| (name, self.requests(endpoint).snapshot()))
            .filter(|(_, requests)| requests.total > 0)
            .collect();
        Metrics {
            account: account.to_owned(),
            pipe: pipe.clone(),
            rows_appended: get(&self.rows_appended),
            rows_accepted: get(&self.rows_accepted),
            rows_committed: get(&self.rows_committed),
            rows_rejected: get(&self.rows_rejected),
            bytes_accepted: get(&self.bytes_accepted),
            bytes_sent: get(&self.bytes_sent),
            requests,
            channels: channels as u64,
            channels_invalidated: get(&self.channels_invalidated),
            channels_reopened: get(&self.channels_reopened),
            memory_in_use: memory_in_use as u64,
            memory_budget: memory_budget as u64,
        }
    }

    fn requests(&self, endpoint: Endpoint) -> &Requests {
        match endpoint {
            Endpoint::Hostname => &self.hostname,
            Endpoint::Token => &self.token,
            Endpoint::Open => &self.open,
            Endpoint::Append => &self.append,
            Endpoint::Status => &self.status,
            Endpoint::Drop => &self.drop,
            Endpoint::Statement => &self.statement,
        }
    }
}

impl Requests {
    fn snapshot(&self) -> RequestMetrics {
        RequestMetrics {
            total: get(&self.total),
            retries: get(&self.retries),
            unanswered: get(&self.unanswered),
            throttled: get(&self.throttled),
            refused: get(&self.refused),
            failed: get(&self.failed),
            duration: Duration::from_micros(get(&self.micros)),
        }
    }
}

fn add(counter: &AtomicU64, more: u64) {
    if more > 0 {
        counter.fetch_add(more, Ordering::Relaxed);
    }
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
