//! The window of offsets in which the server rejected rows.

use serde::Serialize;

use super::error::{Error, ErrorKind};
use super::offset::OffsetToken;

/// A range of rows of which the server rejected some. The other rows are in the table: **never send the range again**.
///
/// The server counts rejected rows per channel and does not name them. A window therefore covers the rows between two status
/// calls. [`Channel::error_table_sql`](crate::Channel::error_table_sql) returns the query for the rows themselves, and
/// [`Channel::event_table_sql`](crate::Channel::event_table_sql) one for what the account's event table says about them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RejectWindow {
    /// The number of rejected rows.
    pub count: u64,
    /// The last token committed before the window; rejected rows come after it. `None` if nothing was committed before, or if
    /// rows from before the channel's open may be among the rejected ones: a service may count them some seconds late.
    pub after: Option<OffsetToken>,
    /// The last token at which a row may be rejected.
    pub through: Option<OffsetToken>,
    /// The server's message about the last rejected row.
    pub message: Option<String>,
    /// The server's own upper bound for the last rejected row.
    pub bound: Option<OffsetToken>,
    /// The positions of the window: rows appended before it, and through its end.
    #[serde(skip)]
    pub(crate) from: u64,
    #[serde(skip)]
    pub(crate) to: u64,
    /// The server's counter after the window, which identifies the window in its channel.
    #[serde(skip)]
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
            "the server rejected {} {rows}{}{}{}{}; the other rows are committed: do not send the range again, examine the error table",
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
