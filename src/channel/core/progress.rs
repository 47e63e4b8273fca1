//! What receipts see of a channel: its watermarks, its rejects and its end.

use std::sync::Arc;

use crate::types::error::{Error, Result};
use crate::types::offset::OffsetToken;
use crate::types::reject_window::RejectWindow;

/// What receipts see. One value, replaced as a whole.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Progress {
    pub(crate) accepted: u64,
    pub(crate) committed: u64,
    pub(crate) committed_token: Option<OffsetToken>,
    pub(crate) rejects: Arc<Vec<RejectWindow>>,
    pub(crate) end: Option<End>,
}

/// Why a channel takes no more rows.
#[derive(Debug, Clone)]
pub(crate) struct End {
    pub(crate) error: Error,
    /// Rows through here may have reached the server.
    pub(crate) sent: u64,
    /// Whether the last word on what is committed was heard.
    pub(crate) settled: bool,
}

impl PartialEq for End {
    fn eq(&self, other: &Self) -> bool {
        (self.sent, self.settled) == (other.sent, other.settled)
    }
}

impl Progress {
    /// For the rows after `from` through `position`.
    pub(crate) fn accepted_outcome(&self, from: u64, position: u64) -> Option<Result<()>> {
        if self.accepted >= position || self.committed >= position {
            return Some(Ok(()));
        }
        self.outcome_at_end(from, position)
    }

    /// For the rows after `from` through `position`.
    pub(crate) fn committed_outcome(&self, from: u64, position: u64) -> Option<Result<()>> {
        if self.committed >= position {
            let inside = self
                .rejects
                .iter()
                .find(|w| w.from < position && from < w.to);
            return Some(inside.map_or(Ok(()), |w| Err(w.to_error(self.committed_token.clone()))));
        }
        self.outcome_at_end(from, position)
    }

    /// Ambiguous if any of the rows was sent: their call may have been cut, and its first rows be in the table.
    fn outcome_at_end(&self, from: u64, position: u64) -> Option<Result<()>> {
        let end = self.end.as_ref().filter(|e| e.settled)?;
        let error = end
            .error
            .clone()
            .with_committed_token(self.committed_token.clone());
        let before_first = from.min(position.saturating_sub(1));
        Some(Err(error.with_ambiguous(before_first < end.sent)))
    }

    /// The error after which nothing will change any more.
    pub(crate) fn final_error(&self) -> Option<Error> {
        let end = self.end.as_ref().filter(|e| e.settled)?;
        Some(
            end.error
                .clone()
                .with_committed_token(self.committed_token.clone()),
        )
    }
}
