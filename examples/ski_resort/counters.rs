//! How far the streams have come.

use tokio::sync::watch;
use tokio::time::Instant;

/// How far one table's stream has come: the IDs of its last rows, which are counts as well.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counters {
    pub(crate) appended: i64,
    pub(crate) accepted: i64,
    pub(crate) committed: i64,
    /// What was committed before this run.
    pub(crate) begun: i64,
    /// When the oldest row was appended that is not committed yet.
    pub(crate) waiting_since: Option<Instant>,
}

/// Both ends of one table's counters.
pub(crate) type Publisher = watch::Sender<Counters>;
pub(crate) type Observer = watch::Receiver<Counters>;
