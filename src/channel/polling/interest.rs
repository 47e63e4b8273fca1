//! What a channel and the poller exchange: why the channel's status is wanted, and how late a commit was found.

use std::time::Duration;

use tokio::time::Instant;

/// The interval at which an idle channel is polled to notice its invalidation.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(30);

/// Why, and until when, a channel is to be included in a status call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PollInterest {
    /// No call is needed.
    Nothing,
    /// By this time, to notice an invalidation.
    Heartbeat(Instant),
    /// At this time, whatever the other channels need.
    At(Instant),
    /// To learn that rows are committed.
    Commit {
        /// When the rows were accepted.
        accepted: Instant,
        /// When the last poll was sent. It may be from before the accept.
        asked: Instant,
        /// Whether the rows followed a pause. Then a caller may be waiting for exactly these rows, and polls for them are
        /// worth more than polls for a steady stream.
        is_lone: bool,
    },
}

/// How long after their accept rows were found to be committed: the poll after `missed` did not show it, the next one,
/// after `seen`, did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CommitSample {
    pub(crate) missed: Duration,
    pub(crate) seen: Duration,
}
