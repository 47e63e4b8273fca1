//! The reports' file: checks that it can be used, creates it, and replaces its content while others read it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use tracing::warn;

use super::{rounding, writing};
use crate::misconfigured::Misconfigured;
use crate::place::{check_database, is_wrong_file, something_else};
use crate::table::Table;

const SCHEMA: &str = concat!(
    include_str!("sql/schema.sql"),
    include_str!("sql/views.sql")
);
/// Temporary tables for rows that are read but not yet included. They end with the connection.
const CHUNK: &str = include_str!("sql/chunk.sql");
/// All statements that determine the content of the file. They are stored in it: a different text is a different version.
const STATEMENTS: &str = concat!(
    include_str!("sql/schema.sql"),
    include_str!("sql/views.sql"),
    include_str!("sql/chunk.sql"),
    include_str!("sql/take.sql"),
    include_str!("sql/compute.sql"),
);

/// The application id in the header, which identifies the file even if the rest is damaged.
const APPLICATION_ID: i32 = 0x534b_4952;
/// The start of a SQLite file, and the position of the application id in its header.
const MAGIC: &[u8] = b"SQLite format 3\0";
const APPLICATION_ID_AT: usize = 68;

/// The flag that names the file.
const FLAG: &str = "--reports";
/// How long SQLite waits for another connection.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

// The file can be created again, but synchronous=NORMAL prevents unnoticed damage in a power failure. The cache holds the pages
// that a simulated day writes.
const SETTINGS: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    PRAGMA journal_size_limit = 16777216;
    PRAGMA cache_size = -65536;
    PRAGMA temp_store = MEMORY;
";

/// A file that holds reports or is empty. Its content has not been checked.
#[derive(Debug)]
pub(super) struct Claimed(Connection);

/// A read-only connection with the rounding of the reports.
pub(crate) fn reader(path: &Path) -> Result<Connection> {
    let open = || -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        rounding::register(&connection)?;
        Ok(connection)
    };
    open().with_context(|| format!("cannot read the reports {}", path.display()))
}

/// Checks that the file can hold the reports. Fast for any size.
pub(super) fn claim(path: &Path) -> Result<Claimed> {
    // An absolute path, because SQLite reads a name that starts with `file:` as a URI.
    let path = std::path::absolute(path)?;
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    check_database(&path, FLAG)?;
    let connection = Connection::open(&path).map_err(|error| {
        if is_wrong_file(&error) {
            return Misconfigured::new(format!("{error}: give another {FLAG}"));
        }
        error.into()
    })?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    if !is_ours(&connection, &path)? {
        return Err(something_else(&path, FLAG));
    }
    Ok(Claimed(connection))
}

impl Claimed {
    /// The connection for writing, with all tables. Checks the whole content of the file.
    pub(super) fn open(self) -> Result<Connection> {
        let Self(mut connection) = self;
        rounding::register(&connection)?;
        if let Some(flaw) = flaw(&connection)? {
            warn!(flaw, "the reports are computed again");
            empty(&connection)?;
        }
        connection.execute_batch(SETTINGS)?;
        connection.execute_batch(CHUNK)?;
        create(&mut connection)?;
        Ok(connection)
    }
}

/// Replaces the content of the file with empty tables. Readers continue with the same file.
pub(super) fn start_over(connection: &mut Connection) -> rusqlite::Result<()> {
    empty(connection)?;
    create(connection)
}

fn is_ours(connection: &Connection, path: &Path) -> Result<bool> {
    let look = || {
        if is_empty(connection)? {
            return Ok(true);
        }
        // The id may still be only in the write-ahead log and not in the header.
        connection.pragma_query_value(None, "application_id", |row| {
            Ok(row.get::<_, i32>(0)? == APPLICATION_ID)
        })
    };
    match look() {
        Err(error) if is_damage(&error) => Ok(has_our_header(path)?),
        is_ours => Ok(is_ours?),
    }
}

/// Checks the first bytes, which can be read even in a damaged file. Only for damaged files, because closing the file releases
/// the locks that SQLite holds on it in this process.
fn has_our_header(path: &Path) -> io::Result<bool> {
    let mut header = Vec::new();
    File::open(path)?.take(100).read_to_end(&mut header)?;
    let id = header.get(APPLICATION_ID_AT..APPLICATION_ID_AT + 4);
    Ok(header.starts_with(MAGIC) && id == Some(&APPLICATION_ID.to_be_bytes()))
}

/// Why the content of the file cannot be used; none if it can.
fn flaw(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let look = || {
        if is_empty(connection)? {
            return Ok(None);
        }
        let check: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if check != "ok" {
            return Ok(Some(check));
        }
        let made_by = "SELECT EXISTS (SELECT 1 FROM _MADE_BY WHERE STATEMENTS = ?1)";
        let is_current: bool = connection.query_row(made_by, [STATEMENTS], |row| row.get(0))?;
        Ok((!is_current).then(|| "they are from another version".to_owned()))
    };
    match look() {
        Err(error) if is_damage(&error) => Ok(Some(error.to_string())),
        flaw => flaw,
    }
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    let any = "SELECT EXISTS (SELECT 1 FROM sqlite_schema)";
    connection.query_row(any, [], |row| Ok(!row.get::<_, bool>(0)?))
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

/// Empties a database, even a damaged one that others have open, in the way SQLite documents.
fn empty(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_RESET_DATABASE, true)?;
    let emptied = connection.execute_batch("VACUUM");
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_RESET_DATABASE, false)?;
    emptied
}

/// Creates the tables that are missing.
fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = writing(connection)?;
    if is_empty(&transaction)? {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.execute_batch(SCHEMA)?;
        transaction.execute("INSERT INTO _MADE_BY VALUES (?1)", [STATEMENTS])?;
        for table in Table::ALL {
            transaction.execute("INSERT INTO _TAKEN VALUES (?1, 0, NULL)", [table.name()])?;
        }
    }
    transaction.commit()
}
