//! A channel's state for the models: counters in place of batches.

use tokio::time::Instant;

use super::progress::{End, Progress};
use crate::error::Error;
use crate::metrics::Marks;
use crate::offset::OffsetToken;
use crate::poller::Want;

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) appended: u64,
    pub(crate) progress: Progress,
    pub(crate) want: Want,
}

impl Core {
    pub(crate) fn new() -> Self {
        Self {
            appended: 0,
            progress: Progress::default(),
            want: Want::Nothing,
        }
    }

    pub(crate) fn end(&mut self, _now: Instant, error: Error, _expected: bool) {
        let sent = self.progress.accepted;
        self.progress.end.get_or_insert(End {
            error,
            sent,
            settled: true,
        });
    }

    pub(super) fn progress(&self) -> Progress {
        self.progress.clone()
    }

    pub(super) fn want(&self) -> Want {
        self.want
    }

    pub(super) fn marks(&self) -> Marks {
        Marks
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.progress.end.is_some()
    }

    pub(super) fn ledger_watermark(&self) -> Option<OffsetToken> {
        None
    }
}
