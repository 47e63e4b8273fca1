//! The file: whether it can be used, how it is made, and how it is made anew under the eyes of its readers.

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
/// The tables for what is read and not taken in yet. They go with the connection.
const CHUNK: &str = include_str!("sql/chunk.sql");
/// All that decides what is in the file. It is kept there: another text is another version.
const STATEMENTS: &str = concat!(
    include_str!("sql/schema.sql"),
    include_str!("sql/views.sql"),
    include_str!("sql/chunk.sql"),
    include_str!("sql/take.sql"),
    include_str!("sql/compute.sql"),
);

/// What the header says the file is, so that it is told from others however damaged the rest is.
const APPLICATION_ID: i32 = 0x534b_4952;
/// Where a SQLite file begins, and where in its header that number is.
const MAGIC: &[u8] = b"SQLite format 3\0";
const APPLICATION_ID_AT: usize = 68;

/// What names the file.
const FLAG: &str = "--reports";
/// How long SQLite waits for another connection.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

// The file can be made again, but synchronous=NORMAL keeps a power cut from damaging it where nobody would see. The cache
// holds what a simulated day writes to.
const SETTINGS: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    PRAGMA journal_size_limit = 16777216;
    PRAGMA cache_size = -65536;
    PRAGMA temp_store = MEMORY;
";

/// A file that is the reports', or nobody's yet. It has not been looked through.
#[derive(Debug)]
pub(super) struct Claimed(Connection);

/// A connection that only reads, and rounds as the reports do: for those who show them.
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

/// Finds out whether the file can be the reports', which takes no time however large it is.
pub(super) fn claim(path: &Path) -> Result<Claimed> {
    // Whole, because SQLite reads a name that begins with `file:` as a URI.
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
    /// The connection that writes, to a file with all tables. It looks through all that is in the file.
    pub(super) fn open(self) -> Result<Connection> {
        let Self(mut connection) = self;
        rounding::register(&connection)?;
        if let Some(flaw) = flaw(&connection)? {
            warn!(flaw, "the reports are made again");
            empty(&connection)?;
        }
        connection.execute_batch(SETTINGS)?;
        connection.execute_batch(CHUNK)?;
        create(&mut connection)?;
        Ok(connection)
    }
}

/// Throws away what is in the file and begins with nothing. Who reads it meanwhile goes on with the same file.
pub(super) fn start_over(connection: &mut Connection) -> rusqlite::Result<()> {
    empty(connection)?;
    create(connection)
}

fn is_ours(connection: &Connection, path: &Path) -> Result<bool> {
    let look = || {
        if is_empty(connection)? {
            return Ok(true);
        }
        // It may be in the write-ahead log and not in the header yet.
        connection.pragma_query_value(None, "application_id", |row| {
            Ok(row.get::<_, i32>(0)? == APPLICATION_ID)
        })
    };
    match look() {
        Err(error) if is_damage(&error) => Ok(has_our_header(path)?),
        is_ours => Ok(is_ours?),
    }
}

/// What the first bytes say, which can be read when nothing else can any more. Only then: closing the file takes the locks
/// away that SQLite has on it in this process.
fn has_our_header(path: &Path) -> io::Result<bool> {
    let mut header = Vec::new();
    File::open(path)?.take(100).read_to_end(&mut header)?;
    let id = header.get(APPLICATION_ID_AT..APPLICATION_ID_AT + 4);
    Ok(header.starts_with(MAGIC) && id == Some(&APPLICATION_ID.to_be_bytes()))
}

/// Why what is in the file is of no use, if so.
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
        Ok((!is_current).then(|| "they are of another version".to_owned()))
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

/// SQLite's own way to make a database empty, a damaged one too, that others have open.
fn empty(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_RESET_DATABASE, true)?;
    let emptied = connection.execute_batch("VACUUM");
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_RESET_DATABASE, false)?;
    emptied
}

/// Makes the tables where there are none.
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
