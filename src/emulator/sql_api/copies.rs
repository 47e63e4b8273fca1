//! Copies of tables in memory, as a data file keeps them, for statements to read.

use std::collections::BTreeMap;
use std::time::Instant;

use rusqlite::{Connection, ffi, params_from_iter};

use super::reading::Source;
use crate::emulator::catalog::tables::folded;
use crate::emulator::storage::data_file_tables::create_table;
use crate::emulator::storage::sqlite_cells::Bound;
use crate::emulator::storage::sqlite_file::META_TABLES;

/// A database in memory that keeps tables as a data file does, with copies of their rows. Interrupted at `end`.
pub(crate) fn in_memory(sources: &[Source], end: Instant) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open_in_memory()?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(META_TABLES)?;
    let mut kept = BTreeMap::new();
    for source in sources {
        create_table(&transaction, &mut kept, &source.name, &source.table)?;
        let Some(place) = kept.get(&folded(&source.name)) else {
            continue;
        };
        let mut insert = transaction.prepare_cached(&place.insert)?;
        for row in source.rows.rows() {
            if Instant::now() >= end {
                let interrupted = ffi::Error::new(ffi::SQLITE_INTERRUPT);
                return Err(rusqlite::Error::SqliteFailure(interrupted, None));
            }
            insert.execute(params_from_iter(row.iter().map(Bound)))?;
        }
    }
    transaction.commit()?;
    Ok(connection)
}
