//! A SQLite file for batches in which the server rejected rows, and for the number of rejected rows that were handled. Both
//! are written in one transaction, so after a crash the next run handles exactly the rejected rows that this run did not.
//! Several targets can share the file: channels are identified by target and name.

use std::path::Path;

use anyhow::{Context, Result};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::Serialize;
use snowpipe_streaming::ingest::{Offset, Rejected};

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS REJECTS (
        TARGET TEXT,
        CHANNEL TEXT,
        ROW_INDEX INTEGER,
        COPIED_ROW TEXT NOT NULL,
        REJECTED_AROUND_IT INTEGER NOT NULL,
        LAST_MESSAGE TEXT,
        PRIMARY KEY (TARGET, CHANNEL, ROW_INDEX)
    );
    CREATE TABLE IF NOT EXISTS SEEN (
        TARGET TEXT,
        CHANNEL TEXT,
        TOTAL INTEGER NOT NULL,
        PRIMARY KEY (TARGET, CHANNEL)
    )";

const KEEP: &str = "
    INSERT OR REPLACE INTO REJECTS (TARGET, CHANNEL, ROW_INDEX, COPIED_ROW, REJECTED_AROUND_IT, LAST_MESSAGE)
    VALUES (?, ?, ?, ?, ?, ?)";
const COUNT: &str = "INSERT OR REPLACE INTO SEEN (TARGET, CHANNEL, TOTAL) VALUES (?, ?, ?)";
const SEEN: &str = "SELECT TOTAL FROM SEEN WHERE TARGET = ? AND CHANNEL = ?";

/// The file, and the target whose rejected rows are written to it.
#[derive(Debug)]
pub struct Rejects {
    connection: Connection,
    target: String,
}

impl Rejects {
    /// Opens the file; creates it if it is missing.
    ///
    /// # Errors
    /// If the file cannot be written or is not of this kind.
    pub fn open(path: &Path, target: String) -> Result<Self> {
        let open = || -> rusqlite::Result<Connection> {
            let connection = Connection::open(path)?;
            connection.execute_batch(TABLES)?;
            for statement in [KEEP, COUNT, SEEN] {
                connection.prepare(statement)?;
            }
            Ok(connection)
        };
        let connection = open().with_context(|| {
            format!(
                "cannot keep rejected rows in {}: name a new file with --rejects",
                path.display()
            )
        })?;
        Ok(Self { connection, target })
    }

    /// Writes the rows of a batch, and the number of rejected rows handled so far. Writing the same rows again changes nothing.
    ///
    /// # Errors
    /// If the file cannot be written. Then nothing is written.
    pub fn keep<O: Offset, R: Serialize>(
        &mut self,
        rejected: &Rejected<O>,
        rows: &[(O, R)],
    ) -> Result<()> {
        let transaction = self.connection.transaction()?;
        for (offset, row) in rows {
            transaction.execute(
                KEEP,
                params![
                    self.target,
                    rejected.channel,
                    // The column makes a number of it, if it is one.
                    offset.to_string(),
                    serde_json::to_string(row)?,
                    rejected.count,
                    rejected.message
                ],
            )?;
        }
        // For all but the last part of a large batch this is the old number, so after a crash the whole batch is handled again.
        transaction.execute(
            COUNT,
            params![self.target, rejected.channel, rejected.total],
        )?;
        transaction.commit()?;
        Ok(())
    }

    /// How many rejected rows of a channel have been handled.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn seen(&self, channel: &str) -> Result<u64> {
        let of_channel = [self.target.as_str(), channel];
        let seen = self
            .connection
            .query_row(SEEN, of_channel, |row| row.get(0));
        Ok(seen.optional()?.unwrap_or(0))
    }
}
