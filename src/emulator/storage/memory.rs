//! A landing in memory: what it holds outlives the emulator as long as a handle to it does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::landing::{
    AcceptedBatch, ChannelRecord, Commit, Landing, LandingError, RejectedRow, SchemaChange,
    StoredChannel,
};
use super::row_snapshot::RowSnapshot;
use crate::emulator::catalog::cell::Cell;
use crate::emulator::catalog::object_name::ObjectName;
use crate::emulator::catalog::tables::folded;

/// Keeps rows, channels and accepted batches in memory. Clones share them, so that an emulator built on a clone finds
/// what an earlier one left, as after a restart.
#[derive(Debug, Clone, Default)]
pub struct MemoryLanding(Arc<Mutex<Stored>>);

#[derive(Debug, Default)]
struct Stored {
    channels: BTreeMap<(ObjectName, String), StoredChannel>,
    rows: BTreeMap<ObjectName, RowSnapshot>,
    rejected: BTreeMap<ObjectName, Vec<RejectedRow>>,
}

impl MemoryLanding {
    /// An empty landing.
    pub fn new() -> Self {
        Self::default()
    }

    fn stored(&self) -> MutexGuard<'_, Stored> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stored {
    /// The channel's slot with its record replaced.
    fn put(&mut self, record: &ChannelRecord) -> &mut StoredChannel {
        let key = (record.pipe.clone(), record.channel.clone());
        let slot = self.channels.entry(key).or_insert_with(|| StoredChannel {
            record: record.clone(),
            accepted: Vec::new(),
        });
        slot.record = record.clone();
        slot
    }
}

/// Whether a name is among `names`, whatever its case.
fn contains(names: &[ObjectName], name: &ObjectName) -> bool {
    names.iter().any(|other| folded(other) == folded(name))
}

impl Landing for MemoryLanding {
    fn load(&mut self) -> Result<Vec<StoredChannel>, LandingError> {
        Ok(self.stored().channels.values().cloned().collect())
    }

    fn put_channel(&mut self, record: &ChannelRecord, discard: bool) -> Result<(), LandingError> {
        let mut stored = self.stored();
        let slot = stored.put(record);
        if discard {
            slot.accepted.clear();
        }
        Ok(())
    }

    fn drop_channel(&mut self, pipe: &ObjectName, channel: &str) -> Result<(), LandingError> {
        let key = (pipe.clone(), channel.to_owned());
        self.stored().channels.remove(&key);
        Ok(())
    }

    fn accept(
        &mut self,
        record: &ChannelRecord,
        batch: &AcceptedBatch,
    ) -> Result<(), LandingError> {
        self.stored().put(record).accepted.push(batch.clone());
        Ok(())
    }

    fn commit(&mut self, commit: &Commit<'_>) -> Result<(), LandingError> {
        let mut stored = self.stored();
        let slot = stored.put(commit.record);
        slot.accepted
            .retain(|batch| batch.row_sequencer > commit.through);
        stored
            .rows
            .entry(commit.table.clone())
            .or_default()
            .extend(commit.rows);
        stored
            .rejected
            .entry(commit.table.clone())
            .or_default()
            .extend_from_slice(commit.rejected);
        Ok(())
    }

    fn rows(&mut self, table: &ObjectName) -> Result<Vec<Vec<Cell>>, LandingError> {
        self.page(table, 0, usize::MAX)
    }

    fn snapshot(&mut self, table: &ObjectName) -> Result<RowSnapshot, LandingError> {
        Ok(self.stored().rows.get(table).cloned().unwrap_or_default())
    }

    fn count(&mut self, table: &ObjectName) -> Result<u64, LandingError> {
        Ok(self.stored().rows.get(table).map_or(0, RowSnapshot::count) as u64)
    }

    fn page(
        &mut self,
        table: &ObjectName,
        skip: usize,
        most: usize,
    ) -> Result<Vec<Vec<Cell>>, LandingError> {
        let stored = self.stored();
        let rows = stored.rows.get(table);
        Ok(rows.map_or_else(Vec::new, |rows| rows.page(skip, most)))
    }

    fn error_count(&mut self, table: &ObjectName) -> Result<u64, LandingError> {
        Ok(self.stored().rejected.get(table).map_or(0, Vec::len) as u64)
    }

    fn error_page(
        &mut self,
        table: &ObjectName,
        skip: usize,
        most: usize,
    ) -> Result<Vec<RejectedRow>, LandingError> {
        let stored = self.stored();
        let rows = stored.rejected.get(table).into_iter().flatten();
        Ok(rows.skip(skip).take(most).cloned().collect())
    }

    fn change(&mut self, change: &SchemaChange<'_>) -> Result<(), LandingError> {
        let mut stored = self.stored();
        let is_kept = |name: &ObjectName| !contains(change.dropped, name);
        stored.rows.retain(|table, _| is_kept(table));
        stored.rejected.retain(|table, _| is_kept(table));
        stored
            .channels
            .retain(|(pipe, _), _| !contains(change.forgotten, pipe));
        Ok(())
    }

    fn clear(&mut self) -> Result<(), LandingError> {
        *self.stored() = Stored::default();
        Ok(())
    }

    fn error_rows(&mut self, table: &ObjectName) -> Result<Vec<RejectedRow>, LandingError> {
        Ok(self
            .stored()
            .rejected
            .get(table)
            .cloned()
            .unwrap_or_default())
    }
}
