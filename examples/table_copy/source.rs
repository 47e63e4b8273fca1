//! The table as a source of rows. This is all that `ingest::run` needs to copy it exactly once.
//!
//! The offset of a row is its integer primary key, so the table is read by key and never by page number: what was read
//! once is found again at once, however large the table is. Rows that are changed, deleted, or inserted below the highest
//! key after that was read go unnoticed.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use rusqlite::{Connection, ErrorCode, OpenFlags, params};
use serde::Serialize;
use snowpipe_streaming::ingest::{Batch, Gaps, Rejected, Source};
use tokio::task::spawn_blocking;
use tracing::info;

use crate::rejects::Rejects;

const READ: &str = "
    SELECT ROW_INDEX, USER_ID, EMAIL, PHONE, DATE_OF_BIRTH FROM PEOPLE_100K
    WHERE ROW_INDEX >= ? ORDER BY ROW_INDEX LIMIT ?";

/// What is copied of a row. Its keys are the target's columns, in any case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct CopiedRow {
    pub(crate) customer_id: String,
    pub(crate) email: Option<String>,
    pub(crate) phone: Option<String>,
    pub(crate) date_of_birth: Option<String>,
}

/// The table of people.
#[derive(Debug)]
pub(crate) struct People {
    connection: Arc<Mutex<Connection>>,
    rejects: Arc<Mutex<Rejects>>,
    /// What is missing among the keys that were read; none before the first reading.
    gaps: Option<Gaps<i64>>,
}

/// The channel has gone further than the table.
#[derive(Debug, thiserror::Error)]
#[error(
    "channel {channel} is committed through row {committed} and the source ends at {last:?}: it was fed from another \
     table; choose another channel with --channel"
)]
struct Foreign {
    channel: String,
    committed: i64,
    last: Option<i64>,
}

impl People {
    /// Opens the table for reading, and the file where rows are kept among which the server rejected some, those of a target.
    ///
    /// # Errors
    /// When there is no such table, or the other file cannot be used.
    pub(crate) fn open(path: &Path, rejects: &Path, target: String) -> Result<Self> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .with_context(|| format!("cannot open the source {}", path.display()))?;
        Ok(Self {
            connection: Arc::new(Mutex::new(connection)),
            rejects: Arc::new(Mutex::new(Rejects::open(rejects, target)?)),
            gaps: None,
        })
    }

    /// How many keys were missing between the rows that were read.
    pub(crate) fn missing_keys(&self) -> u64 {
        self.gaps.as_ref().map_or(0, Gaps::missing)
    }

    /// Asks the database on a thread that may wait for the disk.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let connection = self.connection.clone();
        let answer = spawn_blocking(move || {
            question(&connection.lock().unwrap_or_else(PoisonError::into_inner))
        });
        answer.await?.context("the source cannot be read")
    }
}

impl Source for People {
    type Offset = i64;
    type Row = CopiedRow;
    type Error = anyhow::Error;

    async fn read_after(
        &mut self,
        after: Option<&i64>,
        max: usize,
    ) -> Result<Batch<i64, CopiedRow>> {
        let Some(first) = after.map_or(Some(i64::MIN), |last| last.checked_add(1)) else {
            return Ok(Batch::end());
        };
        let rows = self.ask(move |table| read(table, first, max)).await?;
        let begin = || after.map_or_else(Gaps::new, |last| Gaps::after(*last));
        let gaps = self.gaps.get_or_insert_with(begin);
        for (row_index, _) in &rows {
            if let Some(missing) = gaps.pass(*row_index) {
                info!(?missing, "the source has no rows with these keys");
            }
        }
        let is_end = rows.len() < max;
        Ok(Batch {
            is_end,
            ..Batch::new(rows)
        })
    }

    async fn dead_letter(
        &mut self,
        rejected: &Rejected<i64>,
        rows: Vec<(i64, CopiedRow)>,
    ) -> Result<()> {
        let (rejects, rejected) = (self.rejects.clone(), rejected.clone());
        let keep = move || {
            let mut rejects = rejects.lock().unwrap_or_else(PoisonError::into_inner);
            rejects.keep(&rejected, &rows)
        };
        spawn_blocking(keep).await?
    }

    async fn rejects_seen(&mut self, channel: &str) -> Result<Option<u64>> {
        let (rejects, channel) = (self.rejects.clone(), channel.to_owned());
        let seen = move || {
            let rejects = rejects.lock().unwrap_or_else(PoisonError::into_inner);
            rejects.seen(&channel)
        };
        spawn_blocking(seen).await?.map(Some)
    }

    async fn check(&mut self, channel: &str, committed: Option<&i64>) -> Result<()> {
        let Some(&committed) = committed else {
            return Ok(());
        };
        let last: Option<i64> = self
            .ask(|table| {
                let last = "SELECT max(ROW_INDEX) FROM PEOPLE_100K";
                table.query_row(last, [], |row| row.get(0))
            })
            .await?;
        if last >= Some(committed) {
            return Ok(());
        }
        Err(anyhow::Error::new(Foreign {
            channel: channel.to_owned(),
            committed,
            last,
        }))
    }

    /// A database that is busy is asked again. Nothing else passes without help.
    fn is_fatal(&self, error: &anyhow::Error) -> bool {
        let code = error
            .downcast_ref::<rusqlite::Error>()
            .and_then(rusqlite::Error::sqlite_error_code);
        !matches!(
            code,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
        )
    }
}

fn read(table: &Connection, first: i64, max: usize) -> rusqlite::Result<Vec<(i64, CopiedRow)>> {
    let mut select = table.prepare_cached(READ)?;
    let rows = select.query_map(params![first, max], |row| {
        let customer = CopiedRow {
            customer_id: row.get(1)?,
            email: row.get(2)?,
            phone: row.get(3)?,
            date_of_birth: row.get(4)?,
        };
        Ok((row.get(0)?, customer))
    })?;
    rows.collect()
}
