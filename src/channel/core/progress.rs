//! The published state of a channel, which receipts and waits read: watermarks, rejects, and the end.

use std::sync::Arc;

use crate::types::error::{Error, ErrorKind, Result};
use crate::types::offset::OffsetToken;
use crate::types::reject_window::RejectWindow;

/// The published state. One value, replaced as a whole.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Progress {
    pub(crate) accepted: u64,
    pub(crate) committed: u64,
    pub(crate) committed_token: Option<OffsetToken>,
    pub(crate) rejects: Arc<Vec<RejectWindow>>,
    /// Whether rows that were committed before the open are not counted yet.
    pub(crate) waits_for_earlier_rows: bool,
    /// Whether the handle was closed or dropped.
    pub(crate) is_closing: bool,
    pub(crate) end: Option<End>,
}

/// Why a channel accepts no more rows.
#[derive(Debug, Clone)]
pub(crate) struct End {
    pub(crate) error: Error,
    /// Rows through here may have reached the server.
    pub(crate) sent: u64,
    /// Whether it is final which rows are committed. Until then the status is still polled.
    pub(crate) settled: bool,
    /// Whether rows that were given up are still being compressed.
    pub(crate) is_sealing: bool,
}

impl PartialEq for End {
    fn eq(&self, other: &Self) -> bool {
        (self.sent, self.settled, self.is_sealing) == (other.sent, other.settled, other.is_sealing)
    }
}

/// The error of an append to a channel that was closed or dropped.
pub(crate) fn closed() -> Error {
    Error::new(
        ErrorKind::ChannelClosed,
        "the channel is closed; open it again to append",
    )
}

impl Progress {
    /// The error with which appends are refused, once the channel is being closed or accepts no more rows.
    pub(crate) fn refusal(&self) -> Option<Error> {
        if self.is_closing {
            return Some(closed());
        }
        self.end.as_ref().map(|end| end.error.clone())
    }

    /// Whether the rows after `from` through `position` are accepted, or `None` if that is still open.
    pub(crate) fn accepted_outcome(&self, from: u64, position: u64) -> Option<Result<()>> {
        if self.accepted.max(self.committed) >= position {
            return Some(Ok(()));
        }
        self.outcome_at_end(from, position)
    }

    /// Whether the rows after `from` through `position` are committed, or `None` if that is still open.
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

    /// Ambiguous if any of the rows was sent: an append may span several requests, and the first ones may be in the table.
    fn outcome_at_end(&self, from: u64, position: u64) -> Option<Result<()>> {
        let end = self.end.as_ref().filter(|e| e.settled)?;
        let error = end
            .error
            .clone()
            .with_committed_token(self.committed_token.clone());
        let before_first = from.min(position.saturating_sub(1));
        Some(Err(error.with_ambiguous(before_first < end.sent)))
    }

    /// Whether all rows that were given up can be taken.
    pub(crate) fn has_given_up(&self) -> bool {
        self.end.as_ref().is_some_and(|end| !end.is_sealing)
    }

    /// The channel's error, once nothing can change any more.
    pub(crate) fn final_error(&self) -> Option<Error> {
        let end = self.end.as_ref().filter(|e| e.settled)?;
        Some(
            end.error
                .clone()
                .with_committed_token(self.committed_token.clone()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What receipts see of a channel that was invalidated.
    fn ended(accepted: u64, committed: u64, sent: u64, settled: bool) -> Progress {
        let error = Error::new(ErrorKind::Unreachable, "no");
        Progress {
            accepted,
            committed,
            committed_token: Some(7.into()),
            end: Some(End {
                error,
                sent,
                settled,
                is_sealing: false,
            }),
            ..Progress::default()
        }
    }

    #[test]
    fn a_call_is_in_doubt_if_its_first_row_was_sent() {
        let progress = ended(0, 0, 5, true);
        for (from, position, in_doubt) in [(0, 5, true), (4, 9, true), (5, 9, false), (6, 9, false)]
        {
            let outcomes = [
                progress.accepted_outcome(from, position),
                progress.committed_outcome(from, position),
            ];
            for outcome in outcomes {
                let error = outcome.unwrap().unwrap_err();
                assert_eq!(error.is_ambiguous(), in_doubt, "{from} to {position}");
                assert_eq!(error.committed_token(), Some(&7.into()));
            }
        }
        // An empty range stands for everything up to it: the last row decides.
        let error = progress.committed_outcome(5, 5).unwrap().unwrap_err();
        assert!(error.is_ambiguous());
        let error = progress.committed_outcome(6, 6).unwrap().unwrap_err();
        assert!(!error.is_ambiguous());
    }

    #[test]
    fn committed_rows_are_accepted_even_without_an_answer() {
        for settled in [false, true] {
            let progress = ended(0, 3, 5, settled);
            progress.accepted_outcome(0, 3).unwrap().unwrap();
            progress.committed_outcome(0, 3).unwrap().unwrap();
        }
    }

    #[test]
    fn an_end_decides_nothing_until_it_is_settled() {
        let progress = ended(2, 0, 5, false);
        assert!(progress.committed_outcome(0, 2).is_none());
        assert!(progress.accepted_outcome(2, 4).is_none());
        assert!(progress.final_error().is_none());
        let settled = ended(2, 0, 5, true);
        assert_ne!(progress, settled, "the change has to wake waiting tasks");
        let error = settled.final_error().unwrap();
        assert_eq!(error.committed_token(), Some(&7.into()));
    }
}
