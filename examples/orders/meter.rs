//! The progress of a stream.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the rows of one stream that are committed. Rows are numbered from 1, so their offsets are counts.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// How many rows were committed when the stream started.
    resumed_after: OnceLock<u64>,
    committed: AtomicU64,
}

impl Meter {
    /// Sets the number of committed rows. The first call sets where the stream starts.
    pub(crate) fn set(&self, committed: u64) {
        self.resumed_after.get_or_init(|| committed);
        self.committed.store(committed, Ordering::Relaxed);
    }

    /// How many rows are committed.
    pub(crate) fn committed(&self) -> u64 {
        self.committed.load(Ordering::Relaxed)
    }

    /// How many rows were committed since the stream started.
    pub(crate) fn new_rows(&self) -> u64 {
        let before = self.resumed_after.get().copied().unwrap_or(0);
        self.committed().saturating_sub(before)
    }
}
