//! The report of a close: counts, and what is not committed, by state.

use std::fmt;

use serde::Serialize;

use super::offset::OffsetToken;
use super::reject_window::RejectWindow;

/// The state of rows that are not committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RowState {
    /// In memory. The rows are not in the table.
    Appended,
    /// Compressed and never sent. The rows are not in the table.
    Sealed,
    /// Sent and not answered. The rows may be in the table.
    Sent,
    /// Buffered by the server. The rows may be in the table, now or later.
    Accepted,
}

/// Consecutive rows in the same state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct UncommittedRange {
    /// The state of the rows.
    pub state: RowState,
    /// The number of rows.
    pub rows: u64,
    /// The token of the first row; `None` on an untracked channel.
    pub first: Option<OffsetToken>,
    /// The token of the last row; `None` on an untracked channel.
    pub last: Option<OffsetToken>,
}

impl UncommittedRange {
    pub(crate) fn new(
        state: RowState,
        rows: u64,
        first: Option<OffsetToken>,
        last: Option<OffsetToken>,
    ) -> Self {
        Self {
            state,
            rows,
            first,
            last,
        }
    }
}

impl fmt::Display for UncommittedRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            RowState::Appended => "appended",
            RowState::Sealed => "sealed",
            RowState::Sent => "sent",
            RowState::Accepted => "accepted",
        };
        write!(f, "{} {state}", self.rows)?;
        if let (Some(first), Some(last)) = (&self.first, &self.last) {
            write!(f, " ({first:?} through {last:?})")?;
        }
        Ok(())
    }
}

/// A summary of a channel from its open to its close.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct CloseReport {
    /// The last committed token: resume after it.
    pub committed_token: Option<OffsetToken>,
    /// Rows appended since the open.
    pub rows_appended: u64,
    /// Rows committed since the open, rejected ones included.
    pub rows_committed: u64,
    /// Rows that are not committed, oldest first. Empty after a successful close.
    pub uncommitted: Vec<UncommittedRange>,
    /// The windows in which the server rejected rows, oldest first.
    pub rejects: Vec<RejectWindow>,
}

impl CloseReport {
    /// Whether every row is in the table: all committed, none rejected.
    pub fn is_clean(&self) -> bool {
        self.uncommitted.is_empty() && self.rejects.is_empty()
    }

    /// The number of rows the server rejected.
    pub fn rows_rejected(&self) -> u64 {
        self.rejects.iter().map(|w| w.count).sum()
    }

    /// The uncommitted rows as text.
    pub(crate) fn at_risk(&self) -> String {
        let parts: Vec<_> = self.uncommitted.iter().map(ToString::to_string).collect();
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn serde_shows_what_the_caller_sees() {
        let lost = UncommittedRange::new(RowState::Sent, 2, Some(8.into()), Some(9.into()));
        let report = CloseReport {
            committed_token: Some(7.into()),
            rows_appended: 10,
            rows_committed: 8,
            uncommitted: vec![lost],
            rejects: vec![RejectWindow::new(1, None, Some(7.into()))],
        };
        let expected = json!({
            "committed_token": "7",
            "rows_appended": 10,
            "rows_committed": 8,
            "uncommitted": [{ "state": "sent", "rows": 2, "first": "8", "last": "9" }],
            "rejects": [
                { "count": 1, "after": null, "through": "7", "message": null, "bound": null },
            ],
        });
        assert_eq!(serde_json::to_value(&report).unwrap(), expected);
    }
}
