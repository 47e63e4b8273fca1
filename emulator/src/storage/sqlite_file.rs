//! The emulator's data file: opened by one process at a time, set up from a DDL script, and used again after a restart.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use sha2::{Digest as _, Sha256};

use super::data_file_lock::{locate, lock};
use super::data_file_tables::{Kept, carry_out, kept_tables};
use super::interface::StorageError;
use crate::answers::Answers;
use crate::catalog::binary::hex;
use crate::catalog::object_name::ObjectName;
use crate::catalog::tables::Catalog;
use crate::ddl::rows::Rows;
use crate::ddl::script::split;

/// Marks a SQLite file as the emulator's: `SNWP`.
pub(super) const APPLICATION_ID: i32 = 0x534E_5750;

/// The emulator's own tables beside the landed ones.
pub(crate) const META_TABLES: &str = "
CREATE TABLE _snowpipe_scripts (
  id INTEGER PRIMARY KEY,
  sha256 TEXT NOT NULL,
  script TEXT NOT NULL
);
CREATE TABLE _snowpipe_keys (
  user_name TEXT NOT NULL,
  public_key TEXT NOT NULL,
  PRIMARY KEY (user_name, public_key)
);
CREATE TABLE _snowpipe_tables (
  database_name TEXT NOT NULL,
  schema_name TEXT NOT NULL,
  table_name TEXT NOT NULL,
  kept_as TEXT NOT NULL UNIQUE COLLATE NOCASE,
  PRIMARY KEY (database_name, schema_name, table_name)
);
CREATE TABLE _snowpipe_channels (
  database_name TEXT NOT NULL,
  schema_name TEXT NOT NULL,
  pipe_name TEXT NOT NULL,
  channel_name TEXT NOT NULL,
  created_on_ms INTEGER NOT NULL,
  client_sequencer INTEGER NOT NULL,
  row_sequencer INTEGER NOT NULL,
  offset_token TEXT,
  rows_parsed INTEGER NOT NULL,
  rows_inserted INTEGER NOT NULL,
  rows_error_count INTEGER NOT NULL,
  last_error_offset_upper_bound TEXT,
  last_error_message TEXT,
  last_error_timestamp_ms INTEGER,
  last_used_ms INTEGER NOT NULL,
  status_code TEXT NOT NULL,
  PRIMARY KEY (database_name, schema_name, pipe_name, channel_name)
);
CREATE TABLE _snowpipe_accepted (
  database_name TEXT NOT NULL,
  schema_name TEXT NOT NULL,
  pipe_name TEXT NOT NULL,
  channel_name TEXT NOT NULL,
  row_sequencer INTEGER NOT NULL,
  start_token TEXT,
  end_token TEXT,
  accepted_at_ms INTEGER NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (database_name, schema_name, pipe_name, channel_name, row_sequencer)
);
";

/// Tables that files of earlier versions do not have: the scripts that were carried out while the emulator ran, and not at its start,
/// and the next numbers of sequences.
pub(crate) const LATER_TABLES: &str = "
CREATE TABLE IF NOT EXISTS _snowpipe_posted (script_id INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS _snowpipe_sequences (name TEXT PRIMARY KEY, next INTEGER NOT NULL);
";

/// Where a data file's tables and pipes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ddl {
    /// From the file itself. A new file takes every pipe, each row whole into a table of one VARIANT column, `ROW`.
    Stored,
    /// From this script if the file is new; otherwise it must be the one the file was made with.
    Bootstrap(String),
    /// From this script, on top of what the file has. OR REPLACE empties tables and forgets their channels.
    Apply(String),
}

/// An open data file. The lock is held as long as it lives.
#[derive(Debug)]
pub(crate) struct SqliteFile {
    pub(crate) connection: Connection,
    pub(crate) catalog: Catalog,
    pub(crate) kept: BTreeMap<ObjectName, Kept>,
    pub(crate) path: PathBuf,
    _lock: File,
}

impl SqliteFile {
    pub(crate) fn open(path: &Path, ddl: &Ddl, answers: &Answers) -> Result<Self, StorageError> {
        let path = &locate(path)?;
        let lock = lock(path)?;
        let failed = |why: rusqlite::Error| failure(path, "cannot be opened", why);
        let mut connection = Connection::open(path).map_err(failed)?;
        connection
            .busy_timeout(Duration::from_secs(30))
            .map_err(failed)?;
        let new = is_new(&connection, path)?;
        if new {
            // Batches and rows are written in long runs: pages of the default 4 KiB would take four times the system calls.
            connection
                .pragma_update(None, "page_size", 16 * 1024)
                .map_err(failed)?;
        }
        // Readers never block the emulator, and what was answered with 200 survives a power cut.
        connection
            .pragma_update(None, "journal_mode", "WAL")
            .map_err(failed)?;
        connection
            .pragma_update(None, "synchronous", "FULL")
            .map_err(failed)?;
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        if new {
            transaction.execute_batch(META_TABLES).map_err(failed)?;
            transaction
                .pragma_update(None, "application_id", APPLICATION_ID)
                .map_err(failed)?;
        }
        transaction.execute_batch(LATER_TABLES).map_err(failed)?;
        let (catalog, kept) = settle(&transaction, path, new, ddl, answers)?;
        transaction.commit().map_err(failed)?;
        Ok(Self {
            connection,
            catalog,
            kept,
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// Public keys that earlier runs registered, by user.
    pub(crate) fn keys(&self) -> Result<Vec<(String, String)>, StorageError> {
        let read = || {
            let mut statement = self
                .connection
                .prepare("SELECT user_name, public_key FROM _snowpipe_keys ORDER BY rowid")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|why| failure(&self.path, "cannot be read", why))
    }

    /// Keeps a public key for later runs.
    pub(crate) fn remember_key(&self, user: &str, public_key: &str) -> Result<(), StorageError> {
        let kept = self.connection.execute(
            "INSERT OR IGNORE INTO _snowpipe_keys VALUES (?, ?)",
            params![user, public_key],
        );
        kept.map(|_| ())
            .map_err(|why| failure(&self.path, "cannot be written", why))
    }
}

/// Whether the file is empty; an error if it is not the emulator's.
fn is_new(connection: &Connection, path: &Path) -> Result<bool, StorageError> {
    let unreadable =
        |why: rusqlite::Error| failure(path, "is not a data file of the emulator", why);
    let objects: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))
        .map_err(unreadable)?;
    let application: i32 = connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(unreadable)?;
    if objects > 0 && application != APPLICATION_ID {
        return Err(refusal(
            path,
            "is a SQLite file, but not one of the emulator: choose another name",
        ));
    }
    Ok(objects == 0)
}

/// Brings the file's tables in line with `ddl`.
fn settle(
    transaction: &Transaction<'_>,
    path: &Path,
    new: bool,
    ddl: &Ddl,
    answers: &Answers,
) -> Result<(Catalog, BTreeMap<ObjectName, Kept>), StorageError> {
    let failed = |why: rusqlite::Error| failure(path, "cannot be set up", why);
    let scripts = scripts(transaction).map_err(failed)?;
    let catalog = if scripts.is_empty() {
        Catalog::anything()
    } else {
        Catalog::default()
    };
    let mut catalog = catalog.with_answers(answers);
    for script in &scripts {
        catalog = catalog
            .after_ddl(script, Rows::Skipped)
            .map_err(|why| ddl_failure(path, why))?
            .catalog;
    }
    let apply = match ddl {
        Ddl::Stored => None,
        Ddl::Bootstrap(script) if new => Some(script),
        Ddl::Bootstrap(script) | Ddl::Apply(script) => {
            if !new && scripts.is_empty() {
                return Err(refusal(
                    path,
                    "was made without a DDL script and keeps rows whole: choose another file",
                ));
            }
            let started_with = started_with(transaction).map_err(failed)?;
            if started_with.is_none() && !scripts.is_empty() && matches!(ddl, Ddl::Bootstrap(_)) {
                return Err(refusal(
                    path,
                    "was made without a DDL script and has tables that came while the emulator ran: leave the script out, or carry it out on the file with snowpipe-emulator --apply-ddl",
                ));
            }
            let changed = started_with
                .map(|last| first_difference(&last, script))
                .transpose()
                .map_err(|why| ddl_failure(path, why))?
                .flatten();
            match (ddl, changed) {
                (Ddl::Apply(_), _) => Some(script),
                (_, None) => None,
                (_, Some(changed)) => {
                    return Err(refusal(
                        path,
                        &format!(
                            "was made with another DDL script; the first difference is {changed}. Choose another file, or carry the new script out on this one with snowpipe-emulator --apply-ddl"
                        ),
                    ));
                }
            }
        }
    };
    let mut kept = kept_tables(transaction, &catalog).map_err(failed)?;
    if let Some(script) = apply {
        let outcome = catalog
            .after_ddl(script, Rows::Refused)
            .map_err(|why| ddl_failure(path, why))?;
        let after = outcome.catalog;
        for change in outcome.changes {
            carry_out(transaction, &after, &mut kept, change).map_err(failed)?;
        }
        store(transaction, script).map_err(failed)?;
        catalog = after;
    }
    Ok((catalog, kept))
}

/// Keeps a script that was carried out.
pub(crate) fn store(transaction: &Transaction<'_>, script: &str) -> rusqlite::Result<()> {
    let hash = Sha256::digest(script.as_bytes());
    transaction.execute(
        "INSERT INTO _snowpipe_scripts (sha256, script) VALUES (?, ?)",
        params![hex(&hash, hash.len()), script],
    )?;
    Ok(())
}

/// The last script that the emulator was started with on this file.
fn started_with(transaction: &Transaction<'_>) -> rusqlite::Result<Option<String>> {
    transaction
        .query_row(
            "SELECT script FROM _snowpipe_scripts
             WHERE id NOT IN (SELECT script_id FROM _snowpipe_posted) ORDER BY id DESC LIMIT 1",
            [],
            |row| row.get(0),
        )
        .optional()
}

fn scripts(transaction: &Transaction<'_>) -> rusqlite::Result<Vec<String>> {
    let mut statement = transaction.prepare("SELECT script FROM _snowpipe_scripts ORDER BY id")?;
    let rows = statement.query_map([], |row| row.get(0))?;
    rows.collect()
}

/// Names the first statement of `new` that is not in `old`, white space and comments aside.
fn first_difference(
    old: &str,
    new: &str,
) -> Result<Option<String>, crate::ddl::statements::DdlError> {
    let old = split(old)?;
    let new = split(new)?;
    let same = old
        .iter()
        .zip(&new)
        .take_while(|(old, new)| old.normalized() == new.normalized())
        .count();
    Ok(match (old.get(same), new.get(same)) {
        (_, Some(changed)) => Some(format!("in line {}, {}", changed.at.line, changed.head())),
        (Some(missing), None) => Some(format!("that {} is missing", missing.head())),
        (None, None) => None,
    })
}

pub(crate) fn failure(path: &Path, what: &str, why: rusqlite::Error) -> StorageError {
    StorageError {
        message: format!("the data file {} {what}: {why}", path.display()),
        source: Some(Box::new(why)),
    }
}

pub(crate) fn refusal(path: &Path, why: &str) -> StorageError {
    StorageError {
        message: format!("the data file {} {why}", path.display()),
        source: None,
    }
}

fn ddl_failure(path: &Path, why: crate::ddl::statements::DdlError) -> StorageError {
    StorageError {
        message: format!(
            "the DDL script for the data file {} cannot be carried out: {why}",
            path.display()
        ),
        source: Some(Box::new(why)),
    }
}
