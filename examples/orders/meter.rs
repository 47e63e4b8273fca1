//! How far a stream has come.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the rows of one stream that are committed. Rows are numbered from 1, so their offsets are counts.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    begun: OnceLock<u64>,
    committed: AtomicU64,
}

impl Meter {
    /// So many rows are committed. The first call says where the stream begins.
    pub(crate) fn set(&self, committed: u64) {
        self.begun.get_or_init(|| committed);
        self.committed.store(committed, Ordering::Relaxed);
    }

    /// How many rows are committed.
    pub(crate) fn committed(&self) -> u64 {
        self.committed.load(Ordering::Relaxed)
    }

    /// How many of them were committed since the stream began.
    pub(crate) fn news(&self) -> u64 {
        let begun = self.begun.get().copied().unwrap_or(0);
        self.committed().saturating_sub(begun)
    }
}
