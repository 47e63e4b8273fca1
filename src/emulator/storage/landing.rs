//! The seam between the emulator's protocol and where its rows and channels are kept.

use std::fmt;
use std::path::Path;

use super::row_snapshot::RowSnapshot;
use crate::emulator::catalog::cell::Cell;
use crate::emulator::catalog::object_name::ObjectName;
use crate::emulator::catalog::tables::Catalog;

/// What the server remembers of a channel; every field survives a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelRecord {
    /// The pipe it belongs to.
    pub pipe: ObjectName,
    /// The channel's name as it was first opened.
    pub channel: String,
    /// When it was created, in milliseconds since the Unix epoch.
    pub created_on_ms: u64,
    /// Raised by every open; an older holder is stale.
    pub client_sequencer: u64,
    /// The next append's place in the chain since the last open.
    pub row_sequencer: u64,
    /// The last committed token.
    pub offset_token: Option<String>,
    /// Rows parsed since creation.
    pub rows_parsed: u64,
    /// Rows inserted since creation.
    pub rows_inserted: u64,
    /// Rows rejected since creation.
    pub rows_error_count: u64,
    /// The token of the batch that held the last rejected row.
    pub last_error_offset_upper_bound: Option<String>,
    /// What was wrong with the last rejected row.
    pub last_error_message: Option<String>,
    /// When it was rejected, in milliseconds since the Unix epoch.
    pub last_error_timestamp_ms: Option<u64>,
    /// When the channel last took rows, in milliseconds since the Unix epoch: 30 idle days expire it.
    pub last_used_ms: u64,
    /// `SUCCESS`, or the code that says why the channel must be reopened.
    pub status_code: String,
}

/// A batch that was accepted and waits for its commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedBatch {
    /// Its place in the channel's chain since the last open.
    pub row_sequencer: u64,
    /// The token of its first row, if the client sent one.
    pub start_token: Option<String>,
    /// The token that its commit moves the channel to; without one the channel's token stays.
    pub end_token: Option<String>,
    /// When it was accepted, in milliseconds since the Unix epoch.
    pub accepted_at_ms: u64,
    /// The decompressed NDJSON.
    pub body: Vec<u8>,
}

/// A row that was rejected at commit, for the error table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedRow {
    /// What is wrong with it.
    pub message: String,
    /// The row as it was sent.
    pub payload: String,
    /// The start token of the request that held it.
    pub offset_token_lower_bound: Option<String>,
    /// The end token of the request that held it.
    pub offset_token_upper_bound: Option<String>,
}

/// A channel with what it had accepted and not committed when the landing was last open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredChannel {
    /// The channel.
    pub record: ChannelRecord,
    /// Its accepted batches in order.
    pub accepted: Vec<AcceptedBatch>,
}

/// Everything that one commit changes. A landing applies all of it or none.
#[derive(Debug)]
pub struct Commit<'a> {
    /// The channel as it is after the commit.
    pub record: &'a ChannelRecord,
    /// The table the rows go to.
    pub table: &'a ObjectName,
    /// The good rows, a cell for each column in the table's order.
    pub rows: &'a [Vec<Cell>],
    /// The bad rows.
    pub rejected: &'a [RejectedRow],
    /// The last accepted batch that this commit covers, by its row sequencer; it and those before it are done.
    pub through: u64,
}

/// A DDL script that is carried out while the server runs, and what follows from it.
#[derive(Debug)]
pub struct SchemaChange<'a> {
    /// The script.
    pub script: &'a str,
    /// The tables and pipes as it leaves them.
    pub catalog: &'a Catalog,
    /// The tables that lose their rows, those that are made anew among them.
    pub dropped: &'a [ObjectName],
    /// The pipes that forget their channels and what those had accepted.
    pub forgotten: &'a [ObjectName],
}

/// A landing failed: a disk, a database.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct LandingError {
    /// A sentence that names the file or table.
    pub message: String,
    /// What caused it.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Where rows, channels and accepted batches are kept. Every call is one transaction.
pub trait Landing: fmt::Debug + Send {
    /// The channels and accepted batches of an earlier run, in order of pipe and name.
    ///
    /// # Errors
    ///
    /// When what is stored cannot be read.
    fn load(&mut self) -> Result<Vec<StoredChannel>, LandingError>;

    /// Creates or replaces a channel's record. `discard` forgets its accepted batches in the same transaction.
    ///
    /// # Errors
    ///
    /// When it cannot be stored.
    fn put_channel(&mut self, record: &ChannelRecord, discard: bool) -> Result<(), LandingError>;

    /// Forgets a channel and its accepted batches.
    ///
    /// # Errors
    ///
    /// When it cannot be stored.
    fn drop_channel(&mut self, pipe: &ObjectName, channel: &str) -> Result<(), LandingError>;

    /// Keeps an accepted batch together with the channel's record as it is after it.
    ///
    /// # Errors
    ///
    /// When it cannot be stored.
    fn accept(&mut self, record: &ChannelRecord, batch: &AcceptedBatch)
    -> Result<(), LandingError>;

    /// Lands rows, error rows, token, sequencer and counters at once, and forgets the accepted batches they came from.
    ///
    /// # Errors
    ///
    /// When it cannot be stored; then nothing of it is.
    fn commit(&mut self, commit: &Commit<'_>) -> Result<(), LandingError>;

    /// The landed rows of a table, in the order they landed.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    fn rows(&mut self, table: &ObjectName) -> Result<Vec<Vec<Cell>>, LandingError>;

    /// The rejected rows of a table, in the order they were rejected.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    fn error_rows(&mut self, table: &ObjectName) -> Result<Vec<RejectedRow>, LandingError>;

    /// The landed rows of a table as they are now. The server waits for it, so that a landing in memory shares its rows instead of
    /// copying them, as is done by default.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    fn snapshot(&mut self, table: &ObjectName) -> Result<RowSnapshot, LandingError> {
        self.rows(table).map(RowSnapshot::from)
    }

    /// How many rows of a table have landed.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    fn count(&mut self, table: &ObjectName) -> Result<u64, LandingError> {
        Ok(self.rows(table)?.len() as u64)
    }

    /// At most `most` landed rows of a table, after the first `skip`, in the order they landed.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    fn page(
        &mut self,
        table: &ObjectName,
        skip: usize,
        most: usize,
    ) -> Result<Vec<Vec<Cell>>, LandingError> {
        let rows = self.rows(table)?.into_iter();
        Ok(rows.skip(skip).take(most).collect())
    }

    /// How many rows of a table were rejected.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    fn error_count(&mut self, table: &ObjectName) -> Result<u64, LandingError> {
        Ok(self.error_rows(table)?.len() as u64)
    }

    /// At most `most` rejected rows of a table, after the first `skip`, in the order they were rejected.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    fn error_page(
        &mut self,
        table: &ObjectName,
        skip: usize,
        most: usize,
    ) -> Result<Vec<RejectedRow>, LandingError> {
        let rows = self.error_rows(table)?.into_iter();
        Ok(rows.skip(skip).take(most).collect())
    }

    /// Follows a change of the tables and pipes. By default that is refused.
    ///
    /// # Errors
    ///
    /// When it cannot; then nothing is changed.
    fn change(&mut self, change: &SchemaChange<'_>) -> Result<(), LandingError> {
        let _ = change;
        Err(LandingError {
            message: "this landing cannot change its tables while the emulator runs".to_owned(),
            source: None,
        })
    }

    /// Forgets all rows, rejected rows, channels and accepted batches; the tables stay. By default that is refused.
    ///
    /// # Errors
    ///
    /// When it cannot; then nothing is forgotten.
    fn clear(&mut self) -> Result<(), LandingError> {
        Err(LandingError {
            message: "this landing cannot be emptied".to_owned(),
            source: None,
        })
    }

    /// The emulator's data file in SQLite, if that is where everything is kept: others may read it meanwhile.
    fn data_file(&self) -> Option<&Path> {
        None
    }
}
