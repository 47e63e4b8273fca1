//! Which objects of the bucket were taken, in a SQLite file.
//!
//! As Snowpipe's load history it goes by name: an object whose content has changed since it was taken is not taken again.
//! Unlike Snowpipe's it keeps names for longer than 14 days.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use tokio::task::spawn_blocking;

use crate::bucket::Listed;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS place (only_one INTEGER PRIMARY KEY CHECK (only_one = 1), bucket TEXT NOT NULL, target TEXT NOT NULL);
    -- The last row that is committed.
    CREATE TABLE IF NOT EXISTS released (only_one INTEGER PRIMARY KEY CHECK (only_one = 1), object INTEGER NOT NULL, row INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS objects (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL UNIQUE,
        etag TEXT NOT NULL,
        size INTEGER NOT NULL,
        -- The tag of a later content, which is not loaded.
        later TEXT,
        -- How many rows it has, once it was read.
        row_count INTEGER,
        -- When Snowpipe was asked to load it, in seconds since 1970.
        submitted INTEGER,
        -- Why it is not loaded.
        refused TEXT
    );
    CREATE INDEX IF NOT EXISTS waiting ON objects (number) WHERE row_count IS NULL AND refused IS NULL;";
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The open file. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct History {
    connection: Arc<Mutex<Connection>>,
    path: PathBuf,
}

/// An object that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) number: u64,
    pub(crate) key: String,
    pub(crate) etag: String,
    pub(crate) size: u64,
    pub(crate) rows: Option<u64>,
    pub(crate) submitted: Option<u64>,
}

/// The sums over all objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) taken: u64,
    pub(crate) rows: u64,
    /// Those whose content has changed since.
    pub(crate) changed: u64,
    pub(crate) refused: u64,
}

const COLUMNS: &str = "number, key, etag, size, row_count, submitted";

impl Taken {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            number: row.get(0)?,
            key: row.get(1)?,
            etag: row.get(2)?,
            size: row.get(3)?,
            rows: row.get(4)?,
            submitted: row.get(5)?,
        })
    }
}

impl History {
    /// Opens or creates the file. It belongs to one bucket and one table or pipe.
    ///
    /// # Errors
    /// If it cannot be used, or belongs to another bucket or target.
    pub(crate) async fn open(path: &Path, bucket: &str, target: &str) -> Result<Self> {
        let path = path.to_owned();
        let (bucket, target) = (bucket.to_owned(), target.to_owned());
        let open = spawn_blocking(move || {
            let connection = Connection::open(&path)?;
            connection.busy_timeout(BUSY_TIMEOUT)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.execute_batch(TABLES)?;
            connection.execute(
                "INSERT OR IGNORE INTO place VALUES (1, ?, ?)",
                params![bucket, target],
            )?;
            let place: (String, String) =
                connection.query_row("SELECT bucket, target FROM place", [], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?;
            let history = Self {
                connection: Arc::new(Mutex::new(connection)),
                path,
            };
            Ok::<_, rusqlite::Error>((history, place, (bucket, target)))
        });
        let (history, was, is) = open.await?.context("cannot use the history of loads")?;
        ensure!(
            was == is,
            "the history {} is that of the bucket {} and {}, not of {} and {}: use another --history, and another --source-id",
            history.path.display(),
            was.0,
            was.1,
            is.0,
            is.1,
        );
        Ok(history)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Stores that the rows up to this one are committed: a row of an object, both by number.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) async fn release(&self, object: u64, row: u64) -> Result<()> {
        self.with(move |connection| {
            let store = "INSERT OR REPLACE INTO released VALUES (1, ?, ?)";
            connection.execute(store, [object, row])
        })
        .await?;
        Ok(())
    }

    /// The last row that is committed. A channel that was not used for 30 days has lost its token.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) async fn released(&self) -> Result<Option<(u64, u64)>> {
        self.with(|connection| {
            let sql = "SELECT object, row FROM released";
            connection
                .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        })
        .await
    }

    /// Takes the objects that are new. Returns the keys of those that have changed since they were taken or listed last.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) async fn take(&self, objects: Vec<Listed>) -> Result<Vec<String>> {
        self.with(move |connection| {
            let transaction = connection.transaction()?;
            let mut changed = Vec::new();
            {
                let mut insert = transaction.prepare_cached(
                    "INSERT INTO objects (key, etag, size) VALUES (?, ?, ?) ON CONFLICT (key) DO NOTHING",
                )?;
                let mut update = transaction.prepare_cached(
                    "UPDATE objects SET later = ?2 WHERE key = ?1 AND coalesce(later, etag) <> ?2",
                )?;
                let mut is_known = transaction.prepare_cached("SELECT 1 FROM objects WHERE key = ?")?;
                for Listed { key, etag, size } in objects {
                    // An insert in vain would use up a number.
                    if !is_known.exists([&key])? {
                        insert.execute(params![key, etag, size])?;
                    } else if update.execute(params![key, etag])? > 0 {
                        changed.push(key);
                    }
                }
            }
            transaction.commit()?;
            Ok(changed)
        })
        .await
    }

    /// An object by its number.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) async fn get(&self, number: u64) -> Result<Option<Taken>> {
        let sql = format!("SELECT {COLUMNS} FROM objects WHERE number = ?");
        self.with(move |connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            statement.query_row([number], Taken::of).optional()
        })
        .await
    }

    /// The next object that is not refused.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) async fn next(&self, after: u64) -> Result<Option<Taken>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM objects WHERE number > ? AND refused IS NULL ORDER BY number LIMIT 1"
        );
        self.with(move |connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            statement.query_row([after], Taken::of).optional()
        })
        .await
    }

    /// Objects that Snowpipe has not reported as loaded: those that were not submitted, or those that were.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) async fn waiting(&self, are_submitted: bool, limit: usize) -> Result<Vec<Taken>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM objects WHERE row_count IS NULL AND refused IS NULL AND (submitted IS NOT NULL) = ?
             ORDER BY number LIMIT ?"
        );
        self.with(move |connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let taken = statement.query_map(params![are_submitted, limit], Taken::of)?;
            taken.collect()
        })
        .await
    }

    /// The object of this name, if Snowpipe was asked to load it and has not reported it.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) async fn reported(&self, key: String) -> Result<Option<Taken>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM objects
             WHERE key = ? AND submitted IS NOT NULL AND row_count IS NULL AND refused IS NULL"
        );
        self.with(move |connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            statement.query_row([key], Taken::of).optional()
        })
        .await
    }

    /// # Errors
    /// If the file cannot be written.
    pub(crate) async fn submitted(&self, numbers: Vec<u64>, at: u64) -> Result<()> {
        self.with(move |connection| {
            let transaction = connection.transaction()?;
            for number in numbers {
                let update = "UPDATE objects SET submitted = ? WHERE number = ?";
                transaction.prepare_cached(update)?.execute([at, number])?;
            }
            transaction.commit()
        })
        .await
    }

    /// Stores what was read: the tag of the content and the number of its rows.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) async fn read(&self, number: u64, etag: String, rows: u64) -> Result<()> {
        self.with(move |connection| {
            let update = "UPDATE objects SET etag = ?1, later = nullif(later, ?1), row_count = ?2 WHERE number = ?3";
            connection.execute(update, params![etag, rows, number])
        })
        .await?;
        Ok(())
    }

    /// Stores why an object is not loaded.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) async fn refuse(&self, number: u64, reason: String) -> Result<()> {
        self.with(move |connection| {
            let update = "UPDATE objects SET refused = ? WHERE number = ?";
            connection.execute(update, params![reason, number])
        })
        .await?;
        Ok(())
    }

    /// # Errors
    /// If the file cannot be read.
    pub(crate) async fn counts(&self) -> Result<Counts> {
        self.with(|connection| {
            let sql = "SELECT count(*), coalesce(sum(row_count), 0), count(later), count(refused) FROM objects";
            connection.query_row(sql, [], |row| {
                Ok(Counts {
                    taken: row.get(0)?,
                    rows: row.get(1)?,
                    changed: row.get(2)?,
                    refused: row.get(3)?,
                })
            })
        })
        .await
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let connection = Arc::clone(&self.connection);
        let worked = spawn_blocking(move || {
            work(&mut connection.lock().unwrap_or_else(PoisonError::into_inner))
        });
        let worked = worked.await?;
        worked.with_context(|| format!("cannot use the history of loads {}", self.path.display()))
    }
}
