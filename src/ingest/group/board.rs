//! Where the tasks of the partitions write their progress, and the group reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::report::{PartitionReport, PartitionState, Totals};
use crate::types::error::Error;

/// The state of all partitions that were ever assigned.
pub(super) struct Board<P, O> {
    entries: Mutex<Entries<P, O>>,
    changed: Notify,
}

struct Entries<P, O> {
    partitions: BTreeMap<P, Entry<O>>,
    changed: BTreeSet<P>,
}

struct Entry<O> {
    generation: u64,
    report: PartitionReport<O>,
}

/// One assignment of a partition. It writes nothing any more once there is a newer one.
pub(super) struct Cell<P, O> {
    board: Arc<Board<P, O>>,
    partition: P,
    generation: u64,
}

impl<P: Ord + Clone, O> Board<P, O> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            entries: Mutex::new(Entries {
                partitions: BTreeMap::new(),
                changed: BTreeSet::new(),
            }),
            changed: Notify::new(),
        })
    }

    /// The partition is assigned, for the generation given.
    pub(super) fn assign(
        self: &Arc<Self>,
        partition: &P,
        generation: u64,
        channel: &str,
    ) -> Cell<P, O> {
        let mut entries = self.entries();
        let entry = entries.partitions.entry(partition.clone());
        let entry = entry.or_insert_with(|| Entry {
            generation,
            report: PartitionReport::new(channel),
        });
        entry.generation = generation;
        entry.report.assignments += 1;
        entry.report.state = PartitionState::Opening;
        drop(entries);
        Cell {
            board: Arc::clone(self),
            partition: partition.clone(),
            generation,
        }
    }

    /// The partition is no longer this program's. What its task still writes is ignored.
    pub(super) fn unassign(&self, partition: &P) {
        let mut entries = self.entries();
        if let Some(entry) = entries.partitions.get_mut(partition) {
            entry.generation += 1;
            entry.report.state = PartitionState::Unowned;
            entry.report.restart();
            entries.changed.insert(partition.clone());
        }
        drop(entries);
        self.changed.notify_one();
    }

    /// The task of the partition panicked, so it reported nothing itself.
    pub(super) fn fail(&self, partition: &P, error: Error) {
        let mut entries = self.entries();
        if let Some(entry) = entries.partitions.get_mut(partition) {
            entry.report.failed(PartitionState::Failed, error);
            entries.changed.insert(partition.clone());
        }
        drop(entries);
        self.changed.notify_one();
    }

    /// Resolves when a partition has changed. Cancel safe.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The partitions that have changed since the last call, and the sums over all.
    pub(super) fn changes(&self) -> (Vec<(P, PartitionReport<O>)>, Totals)
    where
        O: Clone,
    {
        let mut entries = self.entries();
        let changed = std::mem::take(&mut entries.changed);
        let totals = totals(entries.partitions.values());
        let report = |partition| {
            let entry = entries.partitions.get(&partition)?;
            Some((partition, entry.report.clone()))
        };
        (changed.into_iter().filter_map(report).collect(), totals)
    }

    /// The reports of all partitions, and their sums.
    pub(super) fn reports(&self) -> (BTreeMap<P, PartitionReport<O>>, Totals)
    where
        O: Clone,
    {
        let entries = self.entries();
        let reports = entries.partitions.iter();
        let reports = reports.map(|(partition, entry)| (partition.clone(), entry.report.clone()));
        (reports.collect(), totals(entries.partitions.values()))
    }

    fn entries(&self) -> MutexGuard<'_, Entries<P, O>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: Ord + Clone, O> Cell<P, O> {
    /// The offset up to which the partition is committed, if its channel has a committed token, as far as its runs have seen.
    pub(super) fn committed(&self) -> Option<O>
    where
        O: Clone,
    {
        let entries = self.board.entries();
        let entry = entries.partitions.get(&self.partition)?;
        let report = &entry.report;
        let has_token = report.rows_committed > 0 || report.progress.resumed_after.is_some();
        (has_token && entry.generation == self.generation)
            .then(|| report.progress.committed.clone())
            .flatten()
    }

    /// Changes the report of the partition, unless it was assigned again or unassigned meanwhile.
    pub(super) fn update(&self, change: impl FnOnce(&mut PartitionReport<O>)) {
        let mut entries = self.board.entries();
        let Some(entry) = entries.partitions.get_mut(&self.partition) else {
            return;
        };
        if entry.generation == self.generation {
            change(&mut entry.report);
            entries.changed.insert(self.partition.clone());
            drop(entries);
            self.board.changed.notify_one();
        }
    }
}

fn totals<'a, O: 'a>(entries: impl Iterator<Item = &'a Entry<O>>) -> Totals {
    let mut totals = Totals::default();
    entries.for_each(|entry| totals.add(&entry.report));
    totals
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(board: &Board<&'static str, u64>) -> u64 {
        let (reports, _) = board.reports();
        reports["a"].rows_appended
    }

    #[test]
    fn skipped_records_alone_leave_no_committed_token() {
        let cell = Board::new().assign(&"a", 1, "g:a");
        cell.update(|report| report.progress.committed = Some(60));
        assert_eq!(cell.committed(), None);
        cell.update(|report| report.rows_committed = 50);
        assert_eq!(cell.committed(), Some(60));
    }

    #[test]
    fn reports_of_an_earlier_assignment_are_ignored() {
        let board = Board::new();
        let first = board.assign(&"a", 1, "g:a");
        first.update(|report| report.rows_appended = 1);
        assert_eq!(rows(&board), 1);
        board.unassign(&"a");
        first.update(|report| report.rows_appended = 2);
        assert_eq!(rows(&board), 1);
        let second = board.assign(&"a", 2, "g:a");
        first.update(|report| report.rows_appended = 3);
        assert_eq!(rows(&board), 1);
        second.update(|report| report.rows_appended = 4);
        assert_eq!(rows(&board), 4);
    }
}
