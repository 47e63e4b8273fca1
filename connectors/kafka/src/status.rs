//! What the program knows about its partitions, for the terminal, the metrics and the exit code.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use snowpipe_streaming::ingest::group::{GroupProgress, PartitionState};

use crate::owner::Partition;

/// The state of all partitions that this member has had.
#[derive(Debug, Default)]
pub(crate) struct Status {
    partitions: Mutex<BTreeMap<Partition, PartitionStatus>>,
}

/// One partition. The counters are those of this member.
#[derive(Debug, Clone)]
pub(crate) struct PartitionStatus {
    pub(crate) state: PartitionState,
    /// The last error. It may have been overcome.
    pub(crate) error: Option<String>,
    /// The offset after the last record of the log.
    pub(crate) end: Option<i64>,
    /// The offset up to which everything is in the table, or was skipped.
    pub(crate) committed: Option<i64>,
    pub(crate) rows_committed: u64,
    pub(crate) rows_in_flight: u64,
    pub(crate) rows_rejected: u64,
    pub(crate) reopens: u64,
    pub(crate) skipped_tombstones: u64,
    pub(crate) undecodable: u64,
    /// Offsets that were deleted before they were read.
    pub(crate) missing: u64,
}

impl PartitionStatus {
    fn new() -> Self {
        Self {
            state: PartitionState::Unowned,
            error: None,
            end: None,
            committed: None,
            rows_committed: 0,
            rows_in_flight: 0,
            rows_rejected: 0,
            reopens: 0,
            skipped_tombstones: 0,
            undecodable: 0,
            missing: 0,
        }
    }

    pub(crate) fn is_owned(&self) -> bool {
        self.state != PartitionState::Unowned
    }

    /// How many offsets lie between the committed one and the end of the log, if both are known.
    pub(crate) fn lag(&self) -> Option<i64> {
        let (end, committed) = (self.end?, self.committed?);
        Some((end - committed - 1).max(0))
    }
}

impl Status {
    /// Changes what is known of a partition.
    pub(crate) fn update(&self, partition: &Partition, change: impl FnOnce(&mut PartitionStatus)) {
        let mut partitions = self.locked();
        if let Some(status) = partitions.get_mut(partition) {
            change(status);
        } else {
            let mut status = PartitionStatus::new();
            change(&mut status);
            partitions.insert(partition.clone(), status);
        }
    }

    /// The log of a partition ends at this offset.
    pub(crate) fn ends_at(&self, partition: &Partition, end: i64) {
        self.update(partition, |status| status.end = Some(end));
    }

    /// Takes over what the group reports. Returns whether the state of the partition has changed.
    pub(crate) fn observe(&self, progress: &GroupProgress<'_, Partition, i64>) -> bool {
        let report = progress.report;
        let mut has_changed = false;
        self.update(progress.partition, |status| {
            has_changed = status.state != report.state;
            status.state = report.state;
            status.error = report.error.as_ref().map(ToString::to_string);
            status.rows_committed = report.rows_committed;
            status.rows_rejected = report.rows_rejected;
            status.rows_in_flight = report.progress.rows_in_flight;
            status.reopens = report.reopens;
            status.committed = report.progress.committed.or(report.progress.resumed_after);
            if !status.is_owned() {
                // From now on they are another member's.
                (status.end, status.committed) = (None, None);
            }
        });
        has_changed
    }

    pub(crate) fn partitions(&self) -> BTreeMap<Partition, PartitionStatus> {
        self.locked().clone()
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<Partition, PartitionStatus>> {
        self.partitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
