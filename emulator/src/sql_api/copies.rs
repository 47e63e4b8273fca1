//! Copies of tables in memory, as a data file keeps them, for statements to read.

use std::collections::BTreeMap;
use std::time::Instant;

use rusqlite::{Connection, Statement, ffi, params_from_iter};

use super::reading::Source;
use crate::catalog::object_name::ObjectName;
use crate::catalog::tables::folded;
use crate::sql::compiler::state::Known;
use crate::sql::names::quoted;
use crate::storage::data_file_tables::{column_definition, create_table};
use crate::storage::row_snapshot::RowSnapshot;
use crate::storage::sqlite_cells::Bound;
use crate::storage::sqlite_file::{LATER_TABLES, META_TABLES};

/// A database in memory that keeps tables as a data file does, with copies of their rows. Interrupted at `end`.
pub(crate) fn in_memory(sources: &[Source], end: Instant) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open_in_memory()?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(META_TABLES)?;
    transaction.execute_batch(LATER_TABLES)?;
    let mut kept = BTreeMap::new();
    for source in sources.iter().filter(|source| !source.is_view) {
        create_table(&transaction, &mut kept, &source.name, &source.table)?;
        if let Some(place) = kept.get(&folded(&source.name)) {
            let mut insert = transaction.prepare_cached(&place.insert)?;
            insert_rows(&mut insert, &source.rows, end)?;
        }
    }
    transaction.commit()?;
    Ok(connection)
}

/// Adds the views among the sources as temporary tables, which a connection that only reads its file may have. Interrupted at `end`.
pub(crate) fn add_views(
    connection: &Connection,
    sources: &[Source],
    end: Instant,
) -> rusqlite::Result<BTreeMap<ObjectName, Known>> {
    connection.pragma_update(None, "temp_store", "memory")?;
    let mut known = BTreeMap::new();
    for source in sources.iter().filter(|source| source.is_view) {
        let kept_as = format!("_snowpipe_view_{}", known.len());
        let columns = &source.table.columns;
        let definitions: Vec<String> = columns.iter().map(column_definition).collect();
        let name = quoted(&kept_as);
        let create = format!("CREATE TEMP TABLE {name} ({})", definitions.join(", "));
        connection.execute_batch(&create)?;
        let places = vec!["?"; columns.len()].join(", ");
        let mut insert = connection.prepare(&format!("INSERT INTO {name} VALUES ({places})"))?;
        insert_rows(&mut insert, &source.rows, end)?;
        known.insert(source.asked.clone(), source.known(kept_as));
    }
    Ok(known)
}

fn insert_rows(
    insert: &mut Statement<'_>,
    rows: &RowSnapshot,
    end: Instant,
) -> rusqlite::Result<()> {
    for row in rows.rows() {
        if Instant::now() >= end {
            let interrupted = ffi::Error::new(ffi::SQLITE_INTERRUPT);
            return Err(rusqlite::Error::SqliteFailure(interrupted, None));
        }
        insert.execute(params_from_iter(row.iter().map(Bound)))?;
    }
    Ok(())
}
