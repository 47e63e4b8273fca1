//! The SQLite file that holds an emulator's tables, called the landing: how the emulator opens it, and how an example reads
//! it and counts the rows that have landed.

use std::path::Path;

use anyhow::{Context, Result};
use rusqlite::{Connection, OpenFlags};
#[cfg(feature = "emulator")]
use snowpipe_streaming_emulator::{DataFile, Ddl, Emulator};

/// An emulator with its tables in this file. Creates the tables of `setup` that are missing. Blocks.
///
/// # Errors
/// If the file cannot be used.
#[cfg(feature = "emulator")]
pub fn emulator(path: &Path, setup: &str) -> Result<Emulator> {
    let tables = DataFile::open(path, &Ddl::Bootstrap(setup.to_owned()))
        .with_context(|| format!("the landing {} cannot be used", path.display()))?;
    Ok(Emulator::builder().data_file(tables).build()?)
}

/// Why the landing of an emulator in another process cannot be used, if its file does not exist.
pub fn missing(landing: Option<&Path>) -> Option<String> {
    let missing = landing.filter(|path| !path.exists())?;
    Some(format!(
        "there is no landing {}: name the data file of the emulator that the profile leads to, or leave --landing out",
        missing.display()
    ))
}

/// Creates the directory of a file.
///
/// # Errors
/// If it cannot be created.
pub fn create_parent(file: &Path) -> Result<()> {
    let Some(directory) = file.parent() else {
        return Ok(());
    };
    std::fs::create_dir_all(directory)
        .with_context(|| format!("cannot create the directory {}", directory.display()))
}

/// Opens a SQLite file for reading only. The emulator may have it open meanwhile.
///
/// # Errors
/// If the file does not exist or cannot be opened.
pub fn open_read_only(path: &Path) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// How many rows of a table have landed, and how many different ids they have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Landed {
    /// Rows, each counted as often as it landed.
    pub rows: u64,
    /// Different ids.
    pub distinct: u64,
}

/// Counts the landed rows of a table, whose ids are in the column `id`.
///
/// # Errors
/// If the file cannot be read, or does not have this table.
pub fn count(path: &Path, table: &str, id: &str) -> Result<Landed> {
    // The same as `count_statement`, but faster: grouping sorts, where DISTINCT looks up each value.
    let sql = format!(
        "SELECT coalesce(sum(ROWS), 0), count({id}) FROM (SELECT {id}, count(*) AS ROWS FROM {table} GROUP BY {id})"
    );
    let count = || {
        open_read_only(path)?.query_row(&sql, [], |row| {
            Ok(Landed {
                rows: row.get(0)?,
                distinct: row.get(1)?,
            })
        })
    };
    count().with_context(|| format!("cannot count {table} in the landing {}", path.display()))
}

/// The statement that counts the rows and the different ids of a table, in an account or in an emulator's file.
pub fn count_statement(table: &str, id: &str) -> String {
    format!("SELECT count(*), count(DISTINCT {id}) FROM {table}")
}
