//! Queries of the emulator's data file while it runs, over a separate read-only connection.

use std::path::Path;

use anyhow::{Context, Result};
use rusqlite::Connection;
use snowpipe_connector_support::data_file::open_read_only;

use crate::table::Table;

/// How many rows of a table have landed. Fast, because rows are never deleted there.
pub(crate) fn rows(path: &Path, table: Table) -> Result<i64> {
    let sql = format!("SELECT coalesce(max(rowid), 0) FROM {}", table.name());
    open(path)?
        .query_row(&sql, [], |row| row.get(0))
        .with_context(|| format!("cannot count {} in {}", table.name(), path.display()))
}

/// The tables that are missing, perhaps only for now.
pub(crate) fn missing(path: &Path) -> Result<Vec<Table>> {
    let connection = open(path)?;
    let mut missing = Vec::new();
    for table in Table::ALL {
        let is_there = connection.table_exists(None, table.name());
        if !is_there.with_context(|| format!("cannot read the landing {}", path.display()))? {
            missing.push(table);
        }
    }
    Ok(missing)
}

fn open(path: &Path) -> Result<Connection> {
    open_read_only(path).with_context(|| format!("cannot open the landing {}", path.display()))
}
