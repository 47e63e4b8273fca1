//! The progress of the streams.

use snowpipe_streaming::ingest::Progress;
use tokio::sync::watch;
use tokio::time::Instant;

/// The progress of one table's stream: the IDs of its last rows, which are also counts.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counters {
    pub(crate) appended: i64,
    pub(crate) accepted: i64,
    pub(crate) committed: i64,
    /// The last row that was committed before this run.
    pub(crate) resumed_after: i64,
    /// When the oldest uncommitted row was appended.
    pub(crate) waiting_since: Option<Instant>,
    /// How often the channel was reopened.
    pub(crate) reopens: u64,
}

impl From<&Progress<i64>> for Counters {
    fn from(progress: &Progress<i64>) -> Self {
        Self {
            appended: progress.appended.unwrap_or(0),
            accepted: progress.accepted.unwrap_or(0),
            committed: progress.released.unwrap_or(0),
            resumed_after: progress.resumed_after.unwrap_or(0),
            waiting_since: progress
                .waiting_for
                .and_then(|waited| Instant::now().checked_sub(waited)),
            reopens: progress.reopens,
        }
    }
}

/// Both ends of one table's counters.
pub(crate) type Publisher = watch::Sender<Counters>;
pub(crate) type Observer = watch::Receiver<Counters>;
