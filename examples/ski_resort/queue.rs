//! The durable queue between the generator and the streamer: one SQLite file that both open.
//!
//! A row's ID is its offset token. AUTOINCREMENT never reuses an ID, not even after the row is deleted, and the IDs of a table
//! have no gaps. So the highest issued ID is also the number of generated rows.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior, params};
use tokio::sync::Mutex;

use crate::cli::Until;
use crate::misconfigured::Misconfigured;
use crate::place::{check_database, is_wrong_file, something_else};
use crate::rows::Row;
use crate::table::Table;

/// The flag that names the file.
const FLAG: &str = "--queue";
/// How long SQLite waits for another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// The retries where SQLite does not wait itself, and the first and the longest pause between them.
const BUSY_RETRIES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

// auto_vacuum returns the pages of deleted rows to the file system, journal_size_limit those of a write-ahead log that grew
// because of a slow reader. With synchronous=FULL a row is on disk before it is streamed, so the server never has a row that
// the queue lost in a power failure.
const SETTINGS: &str = "
    PRAGMA auto_vacuum = FULL;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA journal_size_limit = 16777216;
";

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS RESORT_TICKET (ID INTEGER PRIMARY KEY AUTOINCREMENT, DATA TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS SEASON_PASS (ID INTEGER PRIMARY KEY AUTOINCREMENT, DATA TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS LIFT_RIDE (ID INTEGER PRIMARY KEY AUTOINCREMENT, DATA TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS DEAD_LETTER (
        TABLE_NAME TEXT NOT NULL,
        ROW_ID INTEGER NOT NULL,
        DATA TEXT NOT NULL,
        REASON TEXT NOT NULL,
        PRIMARY KEY (TABLE_NAME, ROW_ID)
    );
    CREATE TABLE IF NOT EXISTS META (NAME TEXT PRIMARY KEY, VALUE TEXT NOT NULL);
    INSERT OR IGNORE INTO META VALUES ('queue_id', lower(hex(randomblob(8))));
";

/// A lock for writes to the queue. SQLite allows one writer at a time, and another process may block it for a long time. All
/// other writers wait here, so that they do not each occupy one of the few blocking threads. Clones share the lock.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turn(Arc<Mutex<()>>);

impl Turn {
    /// Runs a write on a blocking thread, after all earlier ones.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let turn = self.0.clone().lock_owned().await;
        let work = move || {
            // Held until the write is done, even if its caller was cancelled.
            let _turn = turn;
            work()
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.context("the queue's task was stopped")?
    }
}

/// A connection to a queue. Each task opens its own.
#[derive(Debug)]
pub(crate) struct Queue {
    connection: Connection,
    path: PathBuf,
    id: String,
}

/// The progress of a queue's generator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) seed: u64,
    pub(crate) start: Timestamp,
    /// The first step whose rows are not in the queue yet.
    pub(crate) next_step: u64,
    /// Whether the generator reached its end and was not only stopped.
    pub(crate) ended: bool,
}

/// The IDs of a table that are in the queue: above `released`, up to `issued`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// The highest issued ID, which is the number of generated rows; 0 before the first.
    pub(crate) issued: i64,
    /// The highest deleted ID; 0 before the first.
    pub(crate) released: i64,
}

impl Queue {
    /// Opens a queue; creates it if it is missing.
    ///
    /// # Errors
    /// [`Misconfigured`] if the file cannot be created, or holds other data.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)
                .with_context(|| format!("cannot create {}", directory.display()))?;
        }
        check_database(path, FLAG)?;
        let open = || {
            let mut connection = Connection::open(path)?;
            connection.busy_timeout(BUSY_TIMEOUT)?;
            if holds_other_data(&connection)? {
                return Ok(None);
            }
            connection.execute_batch(SETTINGS)?;
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute_batch(SCHEMA)?;
            let id = transaction.query_row(
                "SELECT VALUE FROM META WHERE NAME = 'queue_id'",
                [],
                |row| row.get(0),
            )?;
            transaction.commit()?;
            Ok(Some((connection, id)))
        };
        match retry_while_busy(open) {
            Ok(Some((connection, id))) => Ok(Self {
                connection,
                path: path.to_owned(),
                id,
            }),
            Ok(None) => Err(something_else(path, FLAG)),
            Err(error) if is_wrong_file(&error) => Err(Misconfigured::new(format!(
                "cannot open the queue {}: {error}: give another {FLAG}",
                path.display()
            ))),
            Err(error) => {
                Err(error).with_context(|| format!("cannot open the queue {}", path.display()))
            }
        }
    }

    /// The random id of this queue. Its channels are named after it.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// How many rows of all tables are in the queue.
    pub(crate) fn queued(&self) -> Result<i64> {
        let mut queued = 0;
        for table in Table::ALL {
            queued += self.span(table)?.queued();
        }
        Ok(queued)
    }

    /// Whether the generator reached this end.
    pub(crate) fn is_generated(&self, until: Until) -> Result<bool> {
        let progress = self.progress()?;
        Ok(progress.is_some_and(|progress| match until {
            Until::Step(end) => progress.next_step >= end,
            Until::Wall(_) | Until::Stopped => progress.ended,
        }))
    }

    /// The generator's progress; none if no generator has used the queue.
    pub(crate) fn progress(&self) -> Result<Option<Progress>> {
        let (Some(seed), Some(start)) = (self.meta("seed")?, self.meta("start")?) else {
            return Ok(None);
        };
        let next_step = self.meta("next_step")?.map_or(Ok(0), |step| step.parse());
        Ok(Some(Progress {
            seed: seed.parse()?,
            start: start.parse()?,
            next_step: next_step?,
            ended: self.meta("ended")?.is_some(),
        }))
    }

    /// Assigns the history of `seed` and `start` to a new queue, or checks that the queue has this history. Missing values are
    /// taken from the queue; for a new one they are `default_start` and its date.
    ///
    /// # Errors
    /// [`Misconfigured`] if the queue holds another history.
    pub(crate) fn claim(
        &mut self,
        seed: Option<u64>,
        start: Option<Timestamp>,
        default_start: Timestamp,
    ) -> Result<Progress> {
        if let Some(progress) = self.progress()? {
            let wanted = (
                seed.unwrap_or(progress.seed),
                start.unwrap_or(progress.start),
            );
            if wanted != (progress.seed, progress.start) {
                return Err(Misconfigured::new(format!(
                    "the queue {} was started with --seed {} --start {} and cannot continue with --seed {} --start {}: \
                     give the first two again, or another --queue",
                    self.path.display(),
                    progress.seed,
                    progress.start,
                    wanted.0,
                    wanted.1
                )));
            }
            return Ok(progress);
        }
        let start = start.unwrap_or(default_start);
        let seed = seed.unwrap_or_else(|| date_seed(start));
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        set_meta(&transaction, "seed", &seed.to_string())?;
        set_meta(&transaction, "start", &start.to_string())?;
        transaction.commit()?;
        Ok(Progress {
            seed,
            start,
            next_step: 0,
            ended: false,
        })
    }

    /// The generator's last checkpoint.
    pub(crate) fn checkpoint(&self) -> Result<Option<String>> {
        self.meta("checkpoint")
    }

    /// Appends the rows of some steps and stores `next_step` in the same transaction. Each row gets the next ID of its table.
    pub(crate) fn append(
        &mut self,
        rows: &[Row],
        next_step: u64,
        checkpoint: Option<&str>,
    ) -> Result<()> {
        let connection = &mut self.connection;
        retry_while_busy(|| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for (table, data) in rows {
                let sql = format!("INSERT INTO {} (DATA) VALUES (?1)", table.name());
                transaction.prepare_cached(&sql)?.execute([data])?;
            }
            set_meta(&transaction, "next_step", &next_step.to_string())?;
            transaction.execute("DELETE FROM META WHERE NAME = 'ended'", [])?;
            if let Some(checkpoint) = checkpoint {
                set_meta(&transaction, "checkpoint", checkpoint)?;
            }
            transaction.commit()
        })
        .with_context(|| format!("cannot write to the queue {}", self.path.display()))
    }

    /// Records that the generator has reached its end.
    pub(crate) fn end(&mut self) -> Result<()> {
        retry_while_busy(|| set_meta(&self.connection, "ended", "yes"))
            .with_context(|| format!("cannot write to the queue {}", self.path.display()))
    }

    /// At most `limit` rows with an ID above `after`, in order.
    pub(crate) fn read_after(
        &self,
        table: Table,
        after: i64,
        limit: u32,
    ) -> Result<Vec<(i64, String)>> {
        let sql = format!(
            "SELECT ID, DATA FROM {} WHERE ID > ?1 ORDER BY ID LIMIT ?2",
            table.name()
        );
        retry_while_busy(|| {
            self.connection
                .prepare_cached(&sql)?
                .query_map(params![after, limit], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })
        .with_context(|| format!("cannot read {} from the queue", table.name()))
    }

    /// Deletes the rows up to and including `id`. Returns how many.
    pub(crate) fn delete_through(&mut self, table: Table, id: i64) -> Result<usize> {
        let sql = format!("DELETE FROM {} WHERE ID <= ?1", table.name());
        retry_while_busy(|| self.connection.prepare_cached(&sql)?.execute([id]))
            .with_context(|| format!("cannot delete from {} in the queue", table.name()))
    }

    /// Copies the rows above `after`, up to and including `through`, to the dead letters, and records that `rejects` rejected
    /// rows are accounted for. A second call changes nothing.
    pub(crate) fn dead_letter(
        &mut self,
        table: Table,
        after: i64,
        through: i64,
        reason: &str,
        rejects: u64,
    ) -> Result<usize> {
        let sql = format!(
            "INSERT OR IGNORE INTO DEAD_LETTER (TABLE_NAME, ROW_ID, DATA, REASON)
             SELECT ?1, ID, DATA, ?2 FROM {} WHERE ID > ?3 AND ID <= ?4",
            table.name()
        );
        let connection = &mut self.connection;
        retry_while_busy(|| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let kept = transaction.execute(&sql, params![table.name(), reason, after, through])?;
            set_meta(&transaction, &rejects_of(table), &rejects.to_string())?;
            transaction.commit()?;
            Ok(kept)
        })
        .with_context(|| format!("cannot keep dead letters of {}", table.name()))
    }

    /// How many of the rejected rows are accounted for in the dead letters.
    pub(crate) fn rejects(&self, table: Table) -> Result<u64> {
        let rejects = self.meta(&rejects_of(table))?;
        Ok(rejects.map_or(Ok(0), |count| count.parse())?)
    }

    /// The IDs of a table that are in the queue.
    pub(crate) fn span(&self, table: Table) -> Result<Span> {
        let sql = format!(
            "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = ?1), 0), (SELECT min(ID) FROM {})",
            table.name()
        );
        retry_while_busy(|| {
            self.connection
                .prepare_cached(&sql)?
                .query_row([table.name()], |row| {
                    let issued = row.get(0)?;
                    let lowest: Option<i64> = row.get(1)?;
                    Ok(Span {
                        issued,
                        released: lowest.map_or(issued, |id| id - 1),
                    })
                })
        })
        .with_context(|| format!("cannot count {} in the queue", table.name()))
    }

    fn meta(&self, name: &str) -> Result<Option<String>> {
        retry_while_busy(|| {
            self.connection
                .prepare_cached("SELECT VALUE FROM META WHERE NAME = ?1")?
                .query_row([name], |row| row.get(0))
                .optional()
        })
        .with_context(|| format!("cannot read the queue {}", self.path.display()))
    }
}

fn rejects_of(table: Table) -> String {
    format!("rejects of {}", table.name())
}

impl Span {
    /// How many rows are in the queue.
    pub(crate) fn queued(self) -> i64 {
        self.issued - self.released
    }
}

fn set_meta(connection: &Connection, name: &str, value: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO META VALUES (?1, ?2)")?
        .execute([name, value])?;
    Ok(())
}

/// The date as a number: 20260117 for 17 January 2026.
fn date_seed(start: Timestamp) -> u64 {
    let date = start.to_zoned(jiff::tz::TimeZone::UTC).date();
    let number =
        i64::from(date.year()) * 10_000 + i64::from(date.month()) * 100 + i64::from(date.day());
    number.unsigned_abs()
}

/// Whether the file has tables, but not those of a queue, which are all created at once.
fn holds_other_data(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row(
        "SELECT count(*) > 0 AND count(*) FILTER (WHERE name IN ('DEAD_LETTER', 'META')) < 2 FROM sqlite_schema",
        [],
        |row| row.get(0),
    )
}

/// Retries while another process locks the file. SQLite itself does not wait where waiting could be a deadlock.
fn retry_while_busy<T>(mut action: impl FnMut() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    let mut pause = FIRST_PAUSE;
    for _ in 0..BUSY_RETRIES {
        match action() {
            Err(error) if is_busy(&error) => {
                std::thread::sleep(pause.mul_f64(0.8 + 0.4 * fastrand::f64()));
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            result => return result,
        }
    }
    action()
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}
