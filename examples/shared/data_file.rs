//! The SQLite file that holds an emulator's tables: how the emulator opens it, and how an example reads it.

use std::path::Path;

use anyhow::Result;
use rusqlite::{Connection, OpenFlags};
use snowpipe_streaming::emulator::{DataFile, Ddl, Emulator};

/// An emulator with its tables in this file. Creates the tables of `setup` that are missing. Blocks.
///
/// # Errors
/// If the file cannot be used.
pub(crate) fn emulator(path: &Path, setup: &str) -> Result<Emulator> {
    let tables = DataFile::open(path, &Ddl::Bootstrap(setup.to_owned()))?;
    Ok(Emulator::builder().data_file(tables).build()?)
}

/// Opens a SQLite file for reading only. The emulator may have it open meanwhile.
///
/// # Errors
/// If the file does not exist or cannot be opened.
pub(crate) fn open_read_only(path: &Path) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}
