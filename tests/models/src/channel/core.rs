//! A channel's state for the models: counters in place of batches.

#[path = "../../../../src/channel/core/progress.rs"]
pub(crate) mod progress;

use tokio::time::Instant;

use self::progress::{End, Progress};
use crate::base::metrics::CounterSnapshot;
use crate::channel::polling::timer::PollInterest;
use crate::types::error::Error;
use crate::types::offset::OffsetToken;
use crate::types::uncommitted_rows::UncommittedRows;

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) appended: u64,
    /// The rows of a full batch.
    pub(crate) batch_rows: u64,
    pub(crate) progress: Progress,
    pub(crate) interest: PollInterest,
}

impl Core {
    pub(crate) fn new() -> Self {
        Self {
            appended: 0,
            batch_rows: 1,
            progress: Progress::default(),
            interest: PollInterest::Nothing,
        }
    }

    /// The models have no tokens.
    pub(crate) fn committed_token(&self) -> Option<OffsetToken> {
        None
    }

    pub(crate) fn end(&mut self, _now: Instant, error: Error, _expected: bool) {
        let sent = self.progress.accepted;
        self.progress.end.get_or_insert(End {
            error,
            sent,
            settled: true,
            is_sealing: false,
        });
    }

    /// The models give up no rows.
    pub(crate) fn take_uncommitted_rows(&mut self) -> Option<UncommittedRows> {
        Some(UncommittedRows::default())
    }

    pub(super) fn progress(&self) -> Progress {
        self.progress.clone()
    }

    pub(super) fn poll_interest(&self) -> PollInterest {
        self.interest
    }

    pub(super) fn counters(&self) -> CounterSnapshot {
        CounterSnapshot
    }

    /// One batch is full with so many rows, and a row has a length of one.
    pub(crate) fn is_behind(&self, len: usize) -> bool {
        self.appended - self.progress.accepted + len as u64 > self.batch_rows
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.progress.end.is_some()
    }

    pub(super) fn ledger_watermark(&self) -> Option<OffsetToken> {
        None
    }
}
