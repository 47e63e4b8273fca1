//! The progress of a run and its final report.

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
    /// The run was asked to stop.
    Stopped,
}

/// The report of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report<O> {
    /// Why the run ended.
    pub finish: Finish,
    /// The offset after which the run started to read. `None`: from the beginning.
    pub resumed_after: Option<O>,
    /// Rows appended. Rows that were appended again after a reopen count again.
    pub rows_appended: u64,
    /// Rows committed that this run appended, rejected ones included.
    pub rows_committed: u64,
    /// Rows that the server reported as rejected since this run began.
    pub rows_rejected: u64,
    /// How often a channel was reopened.
    pub reopens: u64,
    /// The offset up to which everything is committed and released.
    pub released: Option<O>,
    /// The rows that were appended and are not known to be committed, by channel, oldest first. The next run finds out which
    /// are committed, and sends the others again. Empty unless the run was stopped and its drain timeout was too short.
    pub uncommitted: BTreeMap<String, Vec<UncommittedRange>>,
}

/// The progress of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Progress<O> {
    /// The offset after which the run started to read.
    pub resumed_after: Option<O>,
    /// The offset up to which everything was read and appended.
    pub appended: Option<O>,
    /// The offset up to which everything is accepted.
    pub accepted: Option<O>,
    /// The offset up to which everything is committed.
    pub committed: Option<O>,
    /// The offset up to which everything is released.
    pub released: Option<O>,
    /// Rows appended. Rows that were appended again after a reopen count again.
    pub rows_appended: u64,
    /// Rows committed that this run appended.
    pub rows_committed: u64,
    /// Rows that wait for their commit.
    pub rows_in_flight: u64,
    /// Rows that the server reported as rejected since this run began.
    pub rows_rejected: u64,
    /// How often a channel was reopened.
    pub reopens: u64,
    /// How long ago the oldest uncommitted rows were appended.
    pub waiting_for: Option<Duration>,
}

impl<O> Report<O> {
    /// The report of a run that did nothing, for tests of code that handles reports. Set the other fields as needed.
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
    /// The progress of a run that has done nothing, for tests of observers. Set the other fields as needed.
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
