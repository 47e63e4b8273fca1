//! What a run tells: while it goes on, and at its end.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::types::close_report::UncommittedRange;

/// Why a run ended without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Finish {
    /// The source came to its end, and all of it is committed and released.
    Exhausted,
    /// It was told to stop.
    Stopped,
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report<O> {
    /// Why it ended.
    pub finish: Finish,
    /// Where it resumed: it read what comes after this offset; `None`: from the beginning.
    pub resumed_after: Option<O>,
    /// Rows appended. Those that were appended again after a reopen count again.
    pub rows_appended: u64,
    /// Rows committed that this run appended, rejected ones included.
    pub rows_committed: u64,
    /// Rows of which the server said, since this run began, that it rejected them.
    pub rows_rejected: u64,
    /// How often a channel was opened again.
    pub reopens: u64,
    /// Everything up to here is committed, and the source knows it.
    pub released: Option<O>,
    /// What was appended and is not known to be committed, by channel, oldest first. The next run finds out, and sends
    /// again what is not. Empty unless the run was stopped and its drain timeout was too short.
    pub uncommitted: BTreeMap<String, Vec<UncommittedRange>>,
}

/// How far a run has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Progress<O> {
    /// Where the run resumed.
    pub resumed_after: Option<O>,
    /// Everything up to here was read and, as far as there are rows, appended.
    pub appended: Option<O>,
    /// Everything up to here is accepted.
    pub accepted: Option<O>,
    /// Everything up to here is committed.
    pub committed: Option<O>,
    /// Everything up to here is released.
    pub released: Option<O>,
    /// Rows appended, again those that were appended again.
    pub rows_appended: u64,
    /// Rows committed that this run appended.
    pub rows_committed: u64,
    /// Rows that wait for their commit.
    pub rows_in_flight: u64,
    /// Rows of which the server said that it rejected them.
    pub rows_rejected: u64,
    /// How often a channel was opened again.
    pub reopens: u64,
    /// How long ago the oldest rows were appended that are not committed.
    pub waiting_for: Option<Duration>,
}

impl<O> Report<O> {
    /// The report of a run that did nothing: for tests of what handles reports, which set the other fields.
    pub fn new(finish: Finish) -> Self {
        Self {
            finish,
            resumed_after: None,
            rows_appended: 0,
            rows_committed: 0,
            rows_rejected: 0,
            reopens: 0,
            released: None,
            uncommitted: BTreeMap::new(),
        }
    }
}

impl<O> Progress<O> {
    /// The progress of a run that has done nothing: for tests of observers, which set the other fields.
    pub fn new() -> Self {
        Self {
            resumed_after: None,
            appended: None,
            accepted: None,
            committed: None,
            released: None,
            rows_appended: 0,
            rows_committed: 0,
            rows_in_flight: 0,
            rows_rejected: 0,
            reopens: 0,
            waiting_for: None,
        }
    }
}

impl<O> Default for Progress<O> {
    fn default() -> Self {
        Self::new()
    }
}
