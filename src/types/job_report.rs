//! The report of a job: how many of its rows were sent, skipped, committed and rejected.

use serde::Serialize;

/// What became of the rows of one call of [`send_once`](crate::StreamingIngestClient::send_once).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct JobReport {
    /// The rows that the call was given.
    pub given: u64,
    /// The rows that an earlier call for the same run has committed. This call has not sent them again.
    pub skipped: u64,
    /// The rows that this call has appended.
    pub sent: u64,
    /// The rows of this call that are committed, rejected ones included.
    pub committed: u64,
    /// The rows of the run that the server has rejected, in this call or in an earlier one.
    pub rejected: u64,
}
