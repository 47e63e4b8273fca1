//! The storage in a SQLite file, which others can open while the emulator runs.
//!
//! Each Snowflake table is a SQLite table with the same name and the same column names; rejected rows are in
//! `<TABLE>__ERRORS`. Two tables of one name in different schemas have their full names. The emulator's own
//! tables start with `_snowpipe_`.
//!
//! | Snowflake | SQLite |
//! |---|---|
//! | VARCHAR, DATE, TIME, TIMESTAMP | text that sorts |
//! | NUMBER of scale 0 | an integer, or text beyond 64 bits |
//! | NUMBER(p,s), p ≤ 15 | a number |
//! | NUMBER(p,s), p > 15 | text, exact to the last digit |
//! | VARIANT, OBJECT, ARRAY | JSON text; a VARIANT null is the text `null` |
//! | FLOAT, BOOLEAN, BINARY | real, 0 or 1, blob |

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, Row, Transaction, TransactionBehavior, params, params_from_iter};

use super::data_file_lock;
use super::data_file_tables::{Kept, create_table};
use super::interface::{Storage, StorageError};
use super::records::{
    AcceptedBatch, ChannelRecord, Commit, RejectedRow, SchemaChange, StoredChannel,
};
use super::sqlite_cells::{Bound, read_cell};
use super::sqlite_file::{Ddl, SqliteFile, failure};
use crate::answers::Answers;
use crate::catalog::cell::Cell;
use crate::catalog::object_name::ObjectName;
use crate::catalog::row_error::RowError;
use crate::catalog::tables::{Catalog, folded};
use crate::sql::names::quoted;

/// Above every row sequencer there is.
const ALL: u64 = i64::MAX as u64;

/// Rows, channels and accepted batches in a file, which a SQLite client can read while the emulator runs. What was accepted
/// survives a power cut.
#[derive(Debug)]
pub struct DataFile {
    file: SqliteFile,
}

impl DataFile {
    /// Opens or creates the data file at `path`. One process may have it open; others can read it.
    ///
    /// # Errors
    ///
    /// When another process has it open, it is not a data file of the emulator, or `ddl` cannot be carried out on it.
    pub fn open(path: &Path, ddl: &Ddl) -> Result<Self, StorageError> {
        Self::open_with_answers(path, ddl, &Answers::default())
    }

    /// The same with answers to what Snowflake does not document of `CREATE PIPE`.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    pub fn open_with_answers(
        path: &Path,
        ddl: &Ddl,
        answers: &Answers,
    ) -> Result<Self, StorageError> {
        let file = SqliteFile::open(path, ddl, answers)?;
        Ok(Self { file })
    }

    /// Deletes the data file at `path`, with the files that SQLite keeps beside it. Does nothing if there is none.
    ///
    /// # Errors
    ///
    /// When a process has it open, or it cannot be deleted.
    pub fn delete(path: &Path) -> Result<(), StorageError> {
        data_file_lock::delete(path)
    }

    /// The file's tables and pipes.
    pub fn catalog(&self) -> &Catalog {
        &self.file.catalog
    }

    /// The public keys that earlier runs kept here: user and PEM.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn keys(&self) -> Result<Vec<(String, String)>, StorageError> {
        self.file.keys()
    }

    /// Keeps a user's public key, so that the owner of its private half can log in after a restart as well.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn remember_key(&self, user: &str, public_key_pem: &str) -> Result<(), StorageError> {
        self.file.remember_key(user, public_key_pem)
    }

    fn write<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StorageError> {
        let connection = &mut self.file.connection;
        in_transaction(connection, work)
            .map_err(|why| failure(&self.file.path, "cannot be written", why))
    }

    fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StorageError> {
        work(&self.file.connection).map_err(|why| failure(&self.file.path, "cannot be read", why))
    }
}

fn in_transaction<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = work(&transaction)?;
    transaction.commit()?;
    Ok(done)
}

impl Storage for DataFile {
    fn load(&mut self) -> Result<Vec<StoredChannel>, StorageError> {
        self.read(|connection| {
            let mut statement = connection.prepare(
                "SELECT * FROM _snowpipe_channels
                 ORDER BY database_name, schema_name, pipe_name, channel_name",
            )?;
            let records = statement
                .query_map([], channel_record)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let mut stored = Vec::with_capacity(records.len());
            for record in records {
                let accepted = accepted(connection, &record)?;
                stored.push(StoredChannel { record, accepted });
            }
            Ok(stored)
        })
    }

    fn put_channel(&mut self, record: &ChannelRecord, discard: bool) -> Result<(), StorageError> {
        self.write(|transaction| {
            put(transaction, record)?;
            if discard {
                forget_accepted(transaction, &record.pipe, &record.channel, ALL)?;
            }
            Ok(())
        })
    }

    fn drop_channel(&mut self, pipe: &ObjectName, channel: &str) -> Result<(), StorageError> {
        self.write(|transaction| {
            forget_accepted(transaction, pipe, channel, ALL)?;
            transaction.execute(
                "DELETE FROM _snowpipe_channels
                 WHERE database_name = ? AND schema_name = ? AND pipe_name = ? AND channel_name = ?",
                params![pipe.database, pipe.schema, pipe.name, channel],
            )?;
            Ok(())
        })
    }

    fn accept(
        &mut self,
        record: &ChannelRecord,
        batch: &AcceptedBatch,
    ) -> Result<(), StorageError> {
        self.write(|transaction| {
            put(transaction, record)?;
            let mut insert = transaction.prepare_cached(
                "INSERT INTO _snowpipe_accepted VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?;
            insert.execute(params![
                record.pipe.database,
                record.pipe.schema,
                record.pipe.name,
                record.channel,
                batch.row_sequencer,
                batch.start_token,
                batch.end_token,
                batch.accepted_at_ms,
                batch.body,
            ])?;
            Ok(())
        })
    }

    fn commit(&mut self, commit: &Commit<'_>) -> Result<(), StorageError> {
        let SqliteFile {
            connection,
            catalog,
            kept,
            path,
            ..
        } = &mut self.file;
        let created = in_transaction(connection, |transaction| {
            let mut created = BTreeMap::new();
            let key = folded(commit.table);
            if !kept.contains_key(&key)
                && let Some(table) = catalog.table(commit.table)
            {
                create_table(transaction, &mut created, commit.table, table)?;
            }
            if let Some(place) = kept.get(&key).or_else(|| created.get(&key)) {
                insert_rows(transaction, place, commit)?;
            }
            put(transaction, commit.record)?;
            let record = commit.record;
            forget_accepted(transaction, &record.pipe, &record.channel, commit.through)?;
            Ok(created)
        })
        .map_err(|why| failure(path, "cannot be written", why))?;
        kept.extend(created);
        Ok(())
    }

    fn numbers(&mut self) -> Result<BTreeMap<String, i64>, StorageError> {
        self.read(|connection| {
            let mut statement = connection.prepare("SELECT name, next FROM _snowpipe_sequences")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        })
    }

    fn keep_numbers(&mut self, numbers: &BTreeMap<String, i64>) -> Result<(), StorageError> {
        self.write(|transaction| {
            let mut statement = transaction
                .prepare_cached("INSERT OR REPLACE INTO _snowpipe_sequences VALUES (?, ?)")?;
            for (name, next) in numbers {
                statement.execute(params![name, next])?;
            }
            Ok(())
        })
    }

    fn rows(&mut self, table: &ObjectName) -> Result<Vec<Vec<Cell>>, StorageError> {
        self.page(table, 0, usize::MAX)
    }

    fn count(&mut self, table: &ObjectName) -> Result<u64, StorageError> {
        let Some(place) = self.file.kept.get(&folded(table)) else {
            return Ok(0);
        };
        self.read(|connection| {
            let query = format!("SELECT count(*) FROM {}", quoted(&place.table));
            connection.query_row(&query, [], |row| row.get(0))
        })
    }

    fn page(
        &mut self,
        table: &ObjectName,
        skip: usize,
        most: usize,
    ) -> Result<Vec<Vec<Cell>>, StorageError> {
        let Some(place) = self.file.kept.get(&folded(table)) else {
            return Ok(Vec::new());
        };
        self.read(|connection| {
            let query = format!(
                "SELECT * FROM {} ORDER BY _rowid_ LIMIT ? OFFSET ?",
                quoted(&place.table)
            );
            let mut statement = connection.prepare(&query)?;
            let rows = statement.query_map([within(most), within(skip)], |row| {
                let cells = place.columns.iter().enumerate();
                cells
                    .map(|(position, column)| read_cell(row, position, column.data_type))
                    .collect()
            })?;
            rows.collect()
        })
    }

    fn error_rows(&mut self, table: &ObjectName) -> Result<Vec<RejectedRow>, StorageError> {
        self.error_page(table, 0, usize::MAX)
    }

    fn error_count(&mut self, table: &ObjectName) -> Result<u64, StorageError> {
        let Some(place) = self.file.kept.get(&folded(table)) else {
            return Ok(0);
        };
        self.read(|connection| {
            let query = format!("SELECT count(*) FROM {}", quoted(&place.errors()));
            connection.query_row(&query, [], |row| row.get(0))
        })
    }

    fn error_page(
        &mut self,
        table: &ObjectName,
        skip: usize,
        most: usize,
    ) -> Result<Vec<RejectedRow>, StorageError> {
        let Some(place) = self.file.kept.get(&folded(table)) else {
            return Ok(Vec::new());
        };
        self.read(|connection| {
            let query = format!(
                "SELECT MESSAGE, PAYLOAD, OFFSET_TOKEN_LOWER_BOUND, OFFSET_TOKEN_UPPER_BOUND, CODE, SQL_STATE, COLUMN_NAME,
                   REJECTED_AT_MS, IS_BASE64, PIPE_NAME, CHANNEL_NAME
                 FROM {} ORDER BY _rowid_ LIMIT ? OFFSET ?",
                quoted(&place.errors())
            );
            let mut statement = connection.prepare(&query)?;
            let rows = statement.query_map([within(most), within(skip)], |row| {
                Ok(RejectedRow {
                    error: RowError {
                        column: row.get(6)?,
                        ..RowError::new(
                            row.get::<_, String>(4)?,
                            row.get::<_, String>(5)?,
                            row.get::<_, String>(0)?,
                        )
                    },
                    rejected_at_ms: row.get(7)?,
                    is_base64: row.get(8)?,
                    pipe: row.get(9)?,
                    channel: row.get(10)?,
                    payload: row.get(1)?,
                    offset_token_lower_bound: row.get(2)?,
                    offset_token_upper_bound: row.get(3)?,
                })
            })?;
            rows.collect()
        })
    }

    fn change(&mut self, change: &SchemaChange<'_>) -> Result<(), StorageError> {
        self.file.change(change)
    }

    fn clear(&mut self, database: Option<&str>) -> Result<(), StorageError> {
        self.file.clear(database)
    }

    fn data_file(&self) -> Option<&Path> {
        Some(&self.file.path)
    }
}

/// A number of rows as SQLite counts them.
fn within(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn insert_rows(
    transaction: &Transaction<'_>,
    place: &Kept,
    commit: &Commit<'_>,
) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare_cached(&place.insert)?;
    for row in commit.rows {
        insert.execute(params_from_iter(row.iter().map(Bound)))?;
    }
    let mut insert = transaction.prepare_cached(&format!(
        "INSERT INTO {} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        quoted(&place.errors())
    ))?;
    for row in commit.rejected {
        insert.execute(params![
            row.pipe,
            row.channel,
            row.error.message,
            row.payload,
            row.offset_token_lower_bound,
            row.offset_token_upper_bound,
            row.error.code,
            row.error.sql_state,
            row.error.column,
            row.rejected_at_ms,
            row.is_base64,
        ])?;
    }
    Ok(())
}

fn put(transaction: &Transaction<'_>, record: &ChannelRecord) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT OR REPLACE INTO _snowpipe_channels
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    statement.execute(params![
        record.pipe.database,
        record.pipe.schema,
        record.pipe.name,
        record.channel,
        record.created_on_ms,
        record.client_sequencer,
        record.row_sequencer,
        record.offset_token,
        record.rows_parsed,
        record.rows_inserted,
        record.rows_error_count,
        record.last_error_offset_upper_bound,
        record.last_error_message,
        record.last_error_timestamp_ms,
        record.last_used_ms,
        record.status_code,
    ])?;
    Ok(())
}

fn channel_record(row: &Row<'_>) -> rusqlite::Result<ChannelRecord> {
    Ok(ChannelRecord {
        pipe: ObjectName {
            database: row.get("database_name")?,
            schema: row.get("schema_name")?,
            name: row.get("pipe_name")?,
        },
        channel: row.get("channel_name")?,
        created_on_ms: row.get("created_on_ms")?,
        client_sequencer: row.get("client_sequencer")?,
        row_sequencer: row.get("row_sequencer")?,
        offset_token: row.get("offset_token")?,
        rows_parsed: row.get("rows_parsed")?,
        rows_inserted: row.get("rows_inserted")?,
        rows_error_count: row.get("rows_error_count")?,
        last_error_offset_upper_bound: row.get("last_error_offset_upper_bound")?,
        last_error_message: row.get("last_error_message")?,
        last_error_timestamp_ms: row.get("last_error_timestamp_ms")?,
        last_used_ms: row.get("last_used_ms")?,
        status_code: row.get("status_code")?,
    })
}

fn accepted(
    connection: &Connection,
    record: &ChannelRecord,
) -> rusqlite::Result<Vec<AcceptedBatch>> {
    let mut statement = connection.prepare_cached(
        "SELECT row_sequencer, start_token, end_token, accepted_at_ms, body FROM _snowpipe_accepted
         WHERE database_name = ? AND schema_name = ? AND pipe_name = ? AND channel_name = ?
         ORDER BY row_sequencer",
    )?;
    let pipe = &record.pipe;
    let rows = statement.query_map(
        params![pipe.database, pipe.schema, pipe.name, record.channel],
        |row| {
            Ok(AcceptedBatch {
                row_sequencer: row.get(0)?,
                start_token: row.get(1)?,
                end_token: row.get(2)?,
                accepted_at_ms: row.get(3)?,
                body: row.get(4)?,
            })
        },
    )?;
    rows.collect()
}

/// Forgets a channel's accepted batches up to and including `through`.
fn forget_accepted(
    transaction: &Transaction<'_>,
    pipe: &ObjectName,
    channel: &str,
    through: u64,
) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "DELETE FROM _snowpipe_accepted
         WHERE database_name = ? AND schema_name = ? AND pipe_name = ? AND channel_name = ?
         AND row_sequencer <= ?",
    )?;
    statement.execute(params![
        pipe.database,
        pipe.schema,
        pipe.name,
        channel,
        through
    ])?;
    Ok(())
}

#[cfg(test)]
#[path = "data_file_tests.rs"]
mod tests;
