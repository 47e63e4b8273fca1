//! The storage in memory. Its content outlives the emulator as long as a handle to it exists.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::interface::{Storage, StorageError};
use super::records::{
    AcceptedBatch, ChannelRecord, Commit, RejectedRow, SchemaChange, StoredChannel,
};
use super::row_snapshot::RowSnapshot;
use crate::catalog::cell::Cell;
use crate::catalog::object_name::ObjectName;
use crate::catalog::tables::{folded, folded_part};

/// Rows, channels and accepted batches in memory. Clones share them: an emulator that is built with a clone continues where the
/// earlier one ended, as after a restart.
#[derive(Debug, Clone, Default)]
pub struct MemoryStorage(Arc<Mutex<Stored>>);

#[derive(Debug, Default)]
struct Stored {
    channels: BTreeMap<(ObjectName, String), StoredChannel>,
    rows: BTreeMap<ObjectName, RowSnapshot>,
    rejected: BTreeMap<ObjectName, Vec<RejectedRow>>,
    numbers: BTreeMap<String, i64>,
}

impl MemoryStorage {
    /// An empty storage.
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

impl Storage for MemoryStorage {
    fn load(&mut self) -> Result<Vec<StoredChannel>, StorageError> {
        Ok(self.stored().channels.values().cloned().collect())
    }

    fn put_channel(&mut self, record: &ChannelRecord, discard: bool) -> Result<(), StorageError> {
        let mut stored = self.stored();
        let slot = stored.put(record);
        if discard {
            slot.accepted.clear();
        }
        Ok(())
    }

    fn drop_channel(&mut self, pipe: &ObjectName, channel: &str) -> Result<(), StorageError> {
        let key = (pipe.clone(), channel.to_owned());
        self.stored().channels.remove(&key);
        Ok(())
    }

    fn accept(
        &mut self,
        record: &ChannelRecord,
        batch: &AcceptedBatch,
    ) -> Result<(), StorageError> {
        self.stored().put(record).accepted.push(batch.clone());
        Ok(())
    }

    fn commit(&mut self, commit: &Commit<'_>) -> Result<(), StorageError> {
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

    fn numbers(&mut self) -> Result<BTreeMap<String, i64>, StorageError> {
        Ok(self.stored().numbers.clone())
    }

    fn keep_numbers(&mut self, numbers: &BTreeMap<String, i64>) -> Result<(), StorageError> {
        self.stored().numbers.extend(numbers.clone());
        Ok(())
    }

    fn rows(&mut self, table: &ObjectName) -> Result<Vec<Vec<Cell>>, StorageError> {
        self.page(table, 0, usize::MAX)
    }

    fn snapshot(&mut self, table: &ObjectName) -> Result<RowSnapshot, StorageError> {
        Ok(self.stored().rows.get(table).cloned().unwrap_or_default())
    }

    fn count(&mut self, table: &ObjectName) -> Result<u64, StorageError> {
        Ok(self.stored().rows.get(table).map_or(0, RowSnapshot::count) as u64)
    }

    fn page(
        &mut self,
        table: &ObjectName,
        skip: usize,
        most: usize,
    ) -> Result<Vec<Vec<Cell>>, StorageError> {
        let stored = self.stored();
        let rows = stored.rows.get(table);
        Ok(rows.map_or_else(Vec::new, |rows| rows.page(skip, most)))
    }

    fn error_count(&mut self, table: &ObjectName) -> Result<u64, StorageError> {
        Ok(self.stored().rejected.get(table).map_or(0, Vec::len) as u64)
    }

    fn error_page(
        &mut self,
        table: &ObjectName,
        skip: usize,
        most: usize,
    ) -> Result<Vec<RejectedRow>, StorageError> {
        let stored = self.stored();
        let rows = stored.rejected.get(table).into_iter().flatten();
        Ok(rows.skip(skip).take(most).cloned().collect())
    }

    fn change(&mut self, change: &SchemaChange<'_>) -> Result<(), StorageError> {
        let mut stored = self.stored();
        let is_kept = |name: &ObjectName| !contains(change.dropped, name);
        stored
            .rows
            .retain(|table, _| is_kept(table) && !contains(change.truncated, table));
        stored
            .rejected
            .retain(|table, _| is_kept(table) && !contains(change.errors_truncated, table));
        stored
            .channels
            .retain(|(pipe, _), _| !contains(change.forgotten, pipe));
        for name in change.altered {
            let Some(table) = change.catalog.table(name) else {
                continue;
            };
            let mut rows = stored.rows.iter_mut();
            if let Some((_, rows)) = rows.find(|(kept, _)| folded(kept) == folded(name)) {
                *rows = rows.with_columns(&table.columns);
            }
        }
        for (name, rows) in change.inserted {
            stored.rows.entry(name.clone()).or_default().extend(rows);
        }
        Ok(())
    }

    fn clear(&mut self, database: Option<&str>) -> Result<(), StorageError> {
        let mut stored = self.stored();
        let Some(database) = database else {
            *stored = Stored::default();
            return Ok(());
        };
        let is_kept = |name: &ObjectName| folded_part(&name.database) != database;
        stored.rows.retain(|table, _| is_kept(table));
        stored.rejected.retain(|table, _| is_kept(table));
        stored.channels.retain(|(pipe, _), _| is_kept(pipe));
        Ok(())
    }

    fn error_rows(&mut self, table: &ObjectName) -> Result<Vec<RejectedRow>, StorageError> {
        Ok(self
            .stored()
            .rejected
            .get(table)
            .cloned()
            .unwrap_or_default())
    }
}
