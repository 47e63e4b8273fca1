//! Where rows are kept among which the server rejected some, with the number of rejects that they account for: both in one
//! transaction, so that after a crash neither is there without the other, and the next run is told what this one was not.
//! Several targets can share the file: a channel is told apart from those of the same name in other targets.

use std::path::Path;

use anyhow::{Context, Result};
use rusqlite::{Connection, OptionalExtension as _, params};
use snowpipe_streaming::ingest::Rejected;

use crate::source::CopiedRow;

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

/// A SQLite file of rejects, and the target whose rejects these are.
#[derive(Debug)]
pub(crate) struct Rejects {
    connection: Connection,
    target: String,
}

impl Rejects {
    /// Opens the file, and makes it if it is not there.
    ///
    /// # Errors
    /// When it cannot be written, or is something else.
    pub(crate) fn open(path: &Path, target: String) -> Result<Self> {
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

    /// Keeps rows, and how many rejects are accounted for by them and those before them. The same rows again change nothing.
    ///
    /// # Errors
    /// When the file cannot be written. Then nothing of this is kept.
    pub(crate) fn keep(
        &mut self,
        rejected: &Rejected<i64>,
        rows: &[(i64, CopiedRow)],
    ) -> Result<()> {
        let transaction = self.connection.transaction()?;
        for (row_index, row) in rows {
            transaction.execute(
                KEEP,
                params![
                    self.target,
                    rejected.channel,
                    row_index,
                    serde_json::to_string(row)?,
                    rejected.count,
                    rejected.message
                ],
            )?;
        }
        // Until the last piece of many rows this is the old number, so a crash amid them has all of them told again.
        transaction.execute(
            COUNT,
            params![self.target, rejected.channel, rejected.total],
        )?;
        transaction.commit()?;
        Ok(())
    }

    /// How many rejects of a channel are accounted for.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn seen(&self, channel: &str) -> Result<u64> {
        let of_channel = [self.target.as_str(), channel];
        let seen = self
            .connection
            .query_row(SEEN, of_channel, |row| row.get(0));
        Ok(seen.optional()?.unwrap_or(0))
    }
}
