//! The pages of the SQLite table: what [`Keyset`] needs to copy it exactly once.
//!
//! The offset of a row is its integer primary key.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use rusqlite::{Connection, ErrorCode, params};
use serde::Serialize;
use snowpipe_connector_support::data_file::open_read_only;
use snowpipe_connector_support::keyset::{Keyset, Page, Pages};
use snowpipe_streaming::ingest::Gaps;
use tokio::task::spawn_blocking;
use tracing::info;

const READ: &str = "
    SELECT ROW_INDEX, USER_ID, EMAIL, PHONE, DATE_OF_BIRTH FROM PEOPLE_100K
    WHERE ROW_INDEX >= ? ORDER BY ROW_INDEX LIMIT ?";

/// The copied columns of a row. The field names are the target's columns; case does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct CopiedRow {
    pub(crate) customer_id: String,
    pub(crate) email: Option<String>,
    pub(crate) phone: Option<String>,
    pub(crate) date_of_birth: Option<String>,
}

/// The table of people as a source.
pub(crate) type People = Keyset<PeoplePages>;

/// The table of people.
#[derive(Debug)]
pub(crate) struct PeoplePages {
    connection: Arc<Mutex<Connection>>,
    /// Tracks missing keys; none before the first read.
    gaps: Option<Gaps<i64>>,
}

/// The channel's committed offset is higher than the last key of the table.
#[derive(Debug, thiserror::Error)]
#[error(
    "channel {channel} is committed through row {committed}, but the source ends at {last:?}: the channel was used for \
     another table; choose another channel with --channel"
)]
struct OtherTable {
    channel: String,
    committed: i64,
    last: Option<i64>,
}

/// Opens the table for reading, and the file `rejects` for the rejected rows of a target.
///
/// # Errors
/// If one of the files cannot be opened.
pub(crate) fn open(path: &Path, rejects: &Path, target: String) -> Result<People> {
    let connection = open_read_only(path)
        .with_context(|| format!("cannot open the source {}", path.display()))?;
    let pages = PeoplePages {
        connection: Arc::new(Mutex::new(connection)),
        gaps: None,
    };
    Keyset::new(pages, rejects, target)
}

impl PeoplePages {
    /// How many keys were missing between the rows read so far.
    pub(crate) fn missing_keys(&self) -> u64 {
        self.gaps.as_ref().map_or(0, Gaps::missing)
    }

    /// Runs a query on a blocking thread.
    async fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let connection = self.connection.clone();
        let result = spawn_blocking(move || {
            query(&connection.lock().unwrap_or_else(PoisonError::into_inner))
        });
        result.await?.context("cannot read the source")
    }
}

impl Pages for PeoplePages {
    type Offset = i64;
    type Row = CopiedRow;

    async fn page(&mut self, after: Option<&i64>, max: usize) -> Result<Page<i64, CopiedRow>> {
        let Some(first) = after.map_or(Some(i64::MIN), |last| last.checked_add(1)) else {
            return Ok(Page {
                rows: Vec::new(),
                is_end: true,
            });
        };
        let rows = self.query(move |table| read(table, first, max)).await?;
        let start = || after.map_or_else(Gaps::new, |last| Gaps::after(*last));
        let gaps = self.gaps.get_or_insert_with(start);
        for (row_index, _) in &rows {
            if let Some(missing) = gaps.pass(*row_index) {
                info!(?missing, "the source has no rows with these keys");
            }
        }
        let is_end = rows.len() < max;
        Ok(Page { rows, is_end })
    }

    async fn check(&mut self, channel: &str, committed: &i64) -> Result<()> {
        let last: Option<i64> = self
            .query(|table| {
                let last = "SELECT max(ROW_INDEX) FROM PEOPLE_100K";
                table.query_row(last, [], |row| row.get(0))
            })
            .await?;
        if last >= Some(*committed) {
            return Ok(());
        }
        Err(anyhow::Error::new(OtherTable {
            channel: channel.to_owned(),
            committed: *committed,
            last,
        }))
    }

    /// A busy database is queried again. Every other error needs a person.
    fn is_temporary(&self, error: &anyhow::Error) -> bool {
        let code = error
            .downcast_ref::<rusqlite::Error>()
            .and_then(rusqlite::Error::sqlite_error_code);
        matches!(
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
