//! The progress of a group and its final report.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

use crate::ingest::report::{Finish, Progress};
use crate::types::close_report::UncommittedRange;
use crate::types::error::Error;

/// What happens to a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PartitionState {
    /// Its channel is being opened, and its place in the partition is being found.
    Opening,
    /// Its rows are streamed.
    Streaming,
    /// It failed, and is tried again after a pause.
    Retrying,
    /// It failed in a way that a retry cannot help. It is not streamed until it is assigned again.
    Failed,
    /// It came to its end, and all of it is committed.
    Exhausted,
    /// The group was asked to stop, and it was drained, for at most the drain timeout.
    Stopped,
    /// It was revoked or lost, or its source said so.
    Unowned,
}

impl PartitionState {
    /// A word for labels of metrics and fields of logs, which does not change between versions.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Streaming => "streaming",
            Self::Retrying => "retrying",
            Self::Failed => "failed",
            Self::Exhausted => "exhausted",
            Self::Stopped => "stopped",
            Self::Unowned => "unowned",
        }
    }
}

/// One partition of a group. The counters are those of all its assignments to this program.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct PartitionReport<O> {
    /// The channel.
    pub channel: String,
    /// What happens to it now.
    pub state: PartitionState,
    /// Its last error. It may have been overcome: see the state.
    #[serde(serialize_with = "as_text")]
    pub error: Option<Error>,
    /// How often it was assigned to this program.
    pub assignments: u64,
    /// How often its run ended with an error.
    pub failures: u64,
    /// The offsets of the last assignment. Its counters are those of the last run, and are included in the sums below.
    pub progress: Progress<O>,
    /// Rows appended. Rows that were appended again count again.
    pub rows_appended: u64,
    /// Rows committed that this program appended, as far as it has seen the commits.
    pub rows_committed: u64,
    /// Rows that the server reported as rejected.
    pub rows_rejected: u64,
    /// How often the channel was reopened.
    pub reopens: u64,
    /// The rows that were appended and are not known to be committed after the partition was stopped, oldest first. Its next owner
    /// reads them again. Empty unless the drain timeout was too short.
    pub uncommitted: Vec<UncommittedRange>,
}

/// The sums over all partitions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Totals {
    /// The partitions that this program owns.
    pub owned: u64,
    /// Those of them whose run failed and is tried again.
    pub retrying: u64,
    /// Those of them whose run failed and is not tried again.
    pub failed: u64,
    /// Rows appended. Rows that were appended again count again.
    pub rows_appended: u64,
    /// Rows committed that this program appended, as far as it has seen the commits.
    pub rows_committed: u64,
    /// Rows that the server reported as rejected.
    pub rows_rejected: u64,
    /// Rows that wait for their commit.
    pub rows_in_flight: u64,
    /// How often a channel was reopened.
    pub reopens: u64,
}

/// The report of a group.
#[derive(Debug, Clone, Serialize)]
#[serde(bound(serialize = "O: Serialize"))]
#[non_exhaustive]
pub struct GroupReport<P: Ord + fmt::Display, O> {
    /// Why the group ended.
    pub finish: Finish,
    /// How many partitions were assigned. A partition that was assigned twice counts twice.
    pub assigned: u64,
    /// How often partitions were revoked.
    pub revoked: u64,
    /// How often partitions were lost.
    pub lost: u64,
    /// The sums over all partitions.
    pub totals: Totals,
    /// All partitions that were assigned at any time. Serialized with their names as keys.
    #[serde(serialize_with = "by_name")]
    pub partitions: BTreeMap<P, PartitionReport<O>>,
}

/// The progress of a group, after that of one partition has changed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GroupProgress<'a, P, O> {
    /// The partition.
    pub partition: &'a P,
    /// Its state.
    pub report: &'a PartitionReport<O>,
    /// The sums over all partitions.
    pub totals: Totals,
}

impl<P: Ord + fmt::Display, O> GroupReport<P, O> {
    /// The report of a group that did nothing, for tests of code that handles reports. Set the other fields as needed.
    ///
    /// ```
    /// use snowpipe_streaming::ingest::Finish;
    /// use snowpipe_streaming::ingest::group::{GroupReport, PartitionReport, PartitionState};
    ///
    /// let mut partition = PartitionReport::new("resort:rides:0");
    /// partition.state = PartitionState::Failed;
    /// let mut report: GroupReport<u32, i64> = GroupReport::new(Finish::Stopped);
    /// report.totals.failed = 1;
    /// report.partitions.insert(0, partition);
    /// ```
    pub fn new(finish: Finish) -> Self {
        Self {
            finish,
            assigned: 0,
            revoked: 0,
            lost: 0,
            totals: Totals::default(),
            partitions: BTreeMap::new(),
        }
    }
}

impl<'a, P, O> GroupProgress<'a, P, O> {
    /// The progress of a group whose sums are zero, for tests of observers. Set the other fields as needed.
    pub fn new(partition: &'a P, report: &'a PartitionReport<O>) -> Self {
        Self {
            partition,
            report,
            totals: Totals::default(),
        }
    }
}

impl<O> PartitionReport<O> {
    /// The report of a partition that was never assigned, for tests of code that handles reports. Set the other fields as needed.
    pub fn new(channel: impl Into<String>) -> Self {
        Self {
            channel: channel.into(),
            state: PartitionState::Unowned,
            error: None,
            assignments: 0,
            failures: 0,
            progress: Progress::new(),
            rows_appended: 0,
            rows_committed: 0,
            rows_rejected: 0,
            reopens: 0,
            uncommitted: Vec::new(),
        }
    }

    /// Replaces the progress of the current run, and counts what is new in it. A new run starts at zero.
    pub(super) fn advance(&mut self, progress: Progress<O>) {
        let before = &self.progress;
        self.rows_appended += progress.rows_appended.saturating_sub(before.rows_appended);
        self.rows_committed += progress
            .rows_committed
            .saturating_sub(before.rows_committed);
        self.rows_rejected += progress.rows_rejected.saturating_sub(before.rows_rejected);
        self.reopens += progress.reopens.saturating_sub(before.reopens);
        self.progress = progress;
    }

    /// The run of the partition ended with an error.
    pub(super) fn failed(&mut self, state: PartitionState, error: Error) {
        self.state = state;
        self.error = Some(error);
        self.failures += 1;
        self.progress.rows_in_flight = 0;
        self.progress.waiting_for = None;
    }

    /// A new run of the partition begins. The offsets stay until it has new ones.
    pub(super) fn restart(&mut self) {
        self.progress.rows_appended = 0;
        self.progress.rows_committed = 0;
        self.progress.rows_rejected = 0;
        self.progress.rows_in_flight = 0;
        self.progress.reopens = 0;
        self.progress.waiting_for = None;
    }
}

impl Totals {
    pub(super) fn add<O>(&mut self, partition: &PartitionReport<O>) {
        let is_owned = partition.state != PartitionState::Unowned;
        self.owned += u64::from(is_owned);
        self.retrying += u64::from(partition.state == PartitionState::Retrying);
        self.failed += u64::from(partition.state == PartitionState::Failed);
        self.rows_appended += partition.rows_appended;
        self.rows_committed += partition.rows_committed;
        self.rows_rejected += partition.rows_rejected;
        self.rows_in_flight += partition.progress.rows_in_flight;
        self.reopens += partition.reopens;
    }
}

fn by_name<P: fmt::Display, O: Serialize, S: Serializer>(
    partitions: &BTreeMap<P, PartitionReport<O>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(
        partitions
            .iter()
            .map(|(partition, report)| (partition.to_string(), report)),
    )
}

#[allow(clippy::ref_option, reason = "serde passes the field")]
fn as_text<S: Serializer>(error: &Option<Error>, serializer: S) -> Result<S::Ok, S::Error> {
    match error {
        Some(error) => serializer.collect_str(error),
        None => serializer.serialize_none(),
    }
}
