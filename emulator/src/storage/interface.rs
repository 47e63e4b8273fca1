//! The interface of a storage. Each call is one transaction.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::records::{
    AcceptedBatch, ChannelRecord, Commit, RejectedRow, SchemaChange, StoredChannel,
};
use super::row_snapshot::RowSnapshot;
use crate::catalog::cell::Cell;
use crate::catalog::object_name::ObjectName;

/// A failure of the storage: a disk, a database.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StorageError {
    /// A sentence that names the file or the table.
    pub(crate) message: String,
    #[source]
    pub(crate) source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Stores rows, channels and accepted batches. Each call is one transaction: if it fails, nothing is changed.
pub(crate) trait Storage: fmt::Debug + Send {
    /// The channels and accepted batches of an earlier run, ordered by pipe and name.
    fn load(&mut self) -> Result<Vec<StoredChannel>, StorageError>;

    /// Creates or replaces a channel's record. `discard` deletes its accepted batches in the same transaction.
    fn put_channel(&mut self, record: &ChannelRecord, discard: bool) -> Result<(), StorageError>;

    /// Deletes a channel and its accepted batches.
    fn drop_channel(&mut self, pipe: &ObjectName, channel: &str) -> Result<(), StorageError>;

    /// Stores an accepted batch and the channel's record after it.
    fn accept(&mut self, record: &ChannelRecord, batch: &AcceptedBatch)
    -> Result<(), StorageError>;

    /// Stores rows, rejected rows and the channel's record, and deletes the accepted batches that the commit covers.
    fn commit(&mut self, commit: &Commit<'_>) -> Result<(), StorageError>;

    /// The next numbers of sequences, by name, as they were kept last. The default keeps none.
    fn numbers(&mut self) -> Result<BTreeMap<String, i64>, StorageError> {
        Ok(BTreeMap::new())
    }

    /// Keeps the next numbers of sequences, before rows with the numbers until then are stored.
    fn keep_numbers(&mut self, numbers: &BTreeMap<String, i64>) -> Result<(), StorageError> {
        let _ = numbers;
        Ok(())
    }

    /// The rows of a table, in the order in which they landed.
    fn rows(&mut self, table: &ObjectName) -> Result<Vec<Vec<Cell>>, StorageError>;

    /// The rejected rows of a table, in the order in which they were rejected.
    fn error_rows(&mut self, table: &ObjectName) -> Result<Vec<RejectedRow>, StorageError>;

    /// The rows of a table at this moment. The server waits for this call, so the storage in memory shares its rows. The default
    /// copies them.
    fn snapshot(&mut self, table: &ObjectName) -> Result<RowSnapshot, StorageError> {
        self.rows(table).map(RowSnapshot::from)
    }

    /// The number of rows of a table.
    fn count(&mut self, table: &ObjectName) -> Result<u64, StorageError> {
        Ok(self.rows(table)?.len() as u64)
    }

    /// At most `most` rows of a table after the first `skip`, in the order in which they landed.
    fn page(
        &mut self,
        table: &ObjectName,
        skip: usize,
        most: usize,
    ) -> Result<Vec<Vec<Cell>>, StorageError> {
        let rows = self.rows(table)?.into_iter();
        Ok(rows.skip(skip).take(most).collect())
    }

    /// The number of rejected rows of a table.
    fn error_count(&mut self, table: &ObjectName) -> Result<u64, StorageError> {
        Ok(self.error_rows(table)?.len() as u64)
    }

    /// At most `most` rejected rows of a table after the first `skip`, in the order in which they were rejected.
    fn error_page(
        &mut self,
        table: &ObjectName,
        skip: usize,
        most: usize,
    ) -> Result<Vec<RejectedRow>, StorageError> {
        let rows = self.error_rows(table)?.into_iter();
        Ok(rows.skip(skip).take(most).collect())
    }

    /// Follows a change of the tables and pipes. The default refuses.
    fn change(&mut self, change: &SchemaChange<'_>) -> Result<(), StorageError> {
        let _ = change;
        Err(StorageError {
            message: "this storage cannot change its tables while the emulator runs".to_owned(),
            source: None,
        })
    }

    /// Deletes all rows, rejected rows, channels and accepted batches, or those of a database, whose name is in upper case. Keeps the
    /// tables. The default refuses.
    fn clear(&mut self, database: Option<&str>) -> Result<(), StorageError> {
        let _ = database;
        Err(StorageError {
            message: "this storage cannot be emptied".to_owned(),
            source: None,
        })
    }

    /// The data file, if everything is stored in one. Others may read it meanwhile.
    fn data_file(&self) -> Option<&Path> {
        None
    }
}
