//! Channels: one ordered writer each.

mod status;

pub use self::status::ChannelStatus;
use crate::offset::OffsetToken;

/// Rows among which the server rejected some.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RejectWindow {
    /// How many rows were rejected.
    pub count: u64,
    /// Everything up to and including this token was committed before the window; `None` if nothing was.
    pub after: Option<OffsetToken>,
    /// The last token that can hold a rejected row.
    pub through: Option<OffsetToken>,
    /// What the server said of the last rejected row.
    pub message: Option<String>,
    /// The server's own upper bound for the last rejected row.
    pub bound: Option<OffsetToken>,
}

/// What a close leaves behind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CloseReport {}
