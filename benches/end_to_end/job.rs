//! The input and the outcome of a client process, each one line of JSON.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::rows::Form;

/// If rows are appended one by one, one append out of this many is timed. The official SDK's script does the same.
pub(crate) const SINGLE_ROWS_A_LAP: u64 = 16;

/// One run of a client.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) task: Task,
    pub(crate) url: String,
    pub(crate) profile: PathBuf,
    /// The file with the root certificate of the server.
    pub(crate) ca: PathBuf,
    /// The file of rows.
    pub(crate) pool: PathBuf,
    /// The prefix of the names of the run's channels. Unique among the runs on a sink.
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) config: Config,
    /// Lone flushes after the stream.
    pub(crate) flushes: u32,
}

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Config {
    pub(crate) rows: u64,
    /// Rows of one append; one row is appended alone.
    pub(crate) batch: usize,
    pub(crate) channels: usize,
    /// The latency of the server's answers.
    pub(crate) delay_ms: u64,
    /// Rows per second of each channel; 0 for as many as the client accepts.
    pub(crate) rate: u64,
    pub(crate) form: Form,
    pub(crate) paced: bool,
    pub(crate) http2: bool,
}

impl Config {
    /// How many appends of a run are timed.
    pub(crate) fn timed_appends(&self) -> u64 {
        match self.batch {
            1 => self.rows / SINGLE_ROWS_A_LAP,
            batch => self.rows / batch as u64,
        }
    }
}

/// What a client process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Task {
    /// Streams the rows as fast as it can.
    Stream,
    /// Streams 2,000 rows a second.
    Steady,
    /// Appends until there is no more memory, to a server that does not answer.
    Stalled { memory_budget: usize },
    /// Sends one batch, and then does nothing.
    Idle { seconds: u64 },
    /// Opens the channels concurrently, and streams the rows to them in turn.
    Many,
}

/// The outcome of a run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Rows of the measured span: from the first append until all is accepted.
    pub(crate) rows: u64,
    /// All rows of each channel, those of the lone flushes included.
    pub(crate) channels: BTreeMap<String, u64>,
    pub(crate) wall_s: f64,
    /// User and system time of the process in the span.
    pub(crate) cpu_s: f64,
    /// Resident before the first append, with the pool.
    pub(crate) rss_before: u64,
    pub(crate) rss_peak: u64,
    pub(crate) append_p50_us: f64,
    pub(crate) append_p99_us: f64,
    pub(crate) append_max_us: f64,
    /// When the caller learned that a token is committed.
    pub(crate) known: Vec<Stamp>,
    #[serde(default)]
    pub(crate) metrics: Metrics,
    /// The time for opening the channels.
    #[serde(default)]
    pub(crate) open_s: f64,
    /// The memory that the open channels added.
    #[serde(default)]
    pub(crate) rss_of_channels: u64,
}

/// A channel, a token, and a time in microseconds of the Unix epoch.
pub(crate) type Stamp = (String, String, u64);

/// The client's counters for the run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Metrics {
    /// By endpoint.
    pub(crate) requests: BTreeMap<String, u64>,
    pub(crate) bytes_accepted: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) memory_in_use: u64,
    pub(crate) memory_budget: u64,
}
