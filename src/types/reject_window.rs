//! Where the server rejected rows, as far as its counter tells.

use super::error::{Error, ErrorKind};
use super::offset::OffsetToken;

/// Rows among which the server rejected some. Their good neighbours are in the table: **never send the range again**.
///
/// The server counts rejected rows per channel and does not say which they are, so a window is as narrow as two polls of
/// the status allow. [`Channel::error_table_sql`](crate::Channel::error_table_sql) gives the query that names the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RejectWindow {
    /// How many rows were rejected.
    pub count: u64,
    /// The last token committed before the window: rejected rows come after it. `None` if nothing was committed yet.
    pub after: Option<OffsetToken>,
    /// The last token that can hold a rejected row.
    pub through: Option<OffsetToken>,
    /// What the server said of the last rejected row.
    pub message: Option<String>,
    /// The server's own upper bound for the last rejected row.
    pub bound: Option<OffsetToken>,
    /// Rows appended since open, before the window and through its end.
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// The server's counter after it: no two windows of a channel share one.
    pub(crate) total: u64,
}

impl RejectWindow {
    /// `count` rejected rows after the one token and through the other: for tests of what handles rejects, which set the
    /// other fields.
    pub fn new(count: u64, after: Option<OffsetToken>, through: Option<OffsetToken>) -> Self {
        Self {
            count,
            after,
            through,
            message: None,
            bound: None,
            from: 0,
            to: count,
            total: count,
        }
    }

    pub(crate) fn to_error(&self, committed: Option<OffsetToken>) -> Error {
        let rows = if self.count == 1 { "row" } else { "rows" };
        let after = self
            .after
            .as_ref()
            .map(|t| format!(" after the offset {t:?}"));
        let through = self.through.as_ref().map(|t| format!(" through {t:?}"));
        let text = format!(
            "the server rejected {} {rows}{}{}{}{}; the other rows are committed: do not send the range again, look at the error table",
            self.count,
            after.unwrap_or_default(),
            through.unwrap_or_default(),
            self.message.as_ref().map_or("", |_| ": "),
            self.message.as_deref().unwrap_or_default(),
        );
        Error::new(ErrorKind::RowsRejected, text)
            .with_committed_token(committed)
            .with_rejects(self.clone())
    }
}
