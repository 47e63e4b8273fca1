//! The tables of a data file: where each landed table is kept, and how it is made and dropped.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension as _, Transaction, params};

use super::sqlite_cells::Bound;
use crate::catalog::cell::Cell;
use crate::catalog::coercion::DataType;
use crate::catalog::columns::Column;
use crate::catalog::object_name::ObjectName;
use crate::catalog::tables::{Catalog, Table, folded};
use crate::ddl::statements::Change;
use crate::sql::names::quoted;

/// A landed table and its place in the file.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    /// The SQLite table.
    pub(crate) table: String,
    /// The columns, in order.
    pub(crate) columns: Vec<Column>,
    /// The statement that inserts one row.
    pub(crate) insert: String,
}

impl Kept {
    fn new(table: String, columns: Vec<Column>) -> Self {
        let places = vec!["?"; columns.len()].join(", ");
        let insert = format!("INSERT INTO {} VALUES ({places})", quoted(&table));
        Self {
            table,
            columns,
            insert,
        }
    }

    /// The SQLite table of its rejected rows.
    pub(crate) fn errors(&self) -> String {
        errors_of(&self.table)
    }
}

/// The tables of the catalog that the file has.
pub(crate) fn kept_tables(
    transaction: &Transaction<'_>,
    catalog: &Catalog,
) -> rusqlite::Result<BTreeMap<ObjectName, Kept>> {
    let mut statement = transaction
        .prepare("SELECT database_name, schema_name, table_name, kept_as FROM _snowpipe_tables")?;
    let rows = statement.query_map([], |row| {
        let name = ObjectName {
            database: row.get(0)?,
            schema: row.get(1)?,
            name: row.get(2)?,
        };
        Ok((name, row.get::<_, String>(3)?))
    })?;
    let mut kept = BTreeMap::new();
    for row in rows {
        let (name, table) = row?;
        if let Some(known) = catalog.table(&name) {
            let place = Kept::new(table, known.columns.clone());
            with_codes(transaction, &place)?;
            kept.insert(folded(&name), place);
        }
    }
    Ok(kept)
}

/// Adds what says more of an error than its text to an error table of an earlier version.
fn with_codes(transaction: &Transaction<'_>, place: &Kept) -> rusqlite::Result<()> {
    let errors = place.errors();
    let query = "SELECT count(*) FROM pragma_table_info(?) WHERE name = ?";
    for (column, definition) in [
        ("CODE", "TEXT NOT NULL DEFAULT ''"),
        ("SQL_STATE", "TEXT NOT NULL DEFAULT ''"),
        ("COLUMN_NAME", "TEXT"),
        ("REJECTED_AT_MS", "INTEGER NOT NULL DEFAULT 0"),
        ("IS_BASE64", "INTEGER NOT NULL DEFAULT 0"),
    ] {
        let is_there = transaction.query_row(query, [&errors, column], |row| row.get(0));
        if is_there.map(|count: u64| count == 0)? {
            let errors = quoted(&errors);
            let add = format!("ALTER TABLE {errors} ADD COLUMN {column} {definition}");
            transaction.execute(&add, [])?;
        }
    }
    Ok(())
}

/// Brings the file in line with one change of the catalog.
pub(crate) fn carry_out(
    transaction: &Transaction<'_>,
    catalog: &Catalog,
    kept: &mut BTreeMap<ObjectName, Kept>,
    change: Change,
) -> rusqlite::Result<()> {
    match change {
        Change::CreateTable(name) => {
            // A table that a later statement of the same script drops has no definition any more.
            if let Some(table) = catalog.table(&name) {
                create_table(transaction, kept, &name, table)?;
            }
        }
        Change::TruncateTable(name) => {
            if let Some(place) = kept.get(&folded(&name)) {
                transaction.execute(&format!("DELETE FROM {}", quoted(&place.table)), [])?;
            }
        }
        Change::TruncateErrors(name) => {
            if let Some(place) = kept.get(&folded(&name)) {
                transaction.execute(&format!("DELETE FROM {}", quoted(&place.errors())), [])?;
            }
        }
        Change::AlterTable(name) => {
            if let (Some(place), Some(table)) = (kept.get_mut(&folded(&name)), catalog.table(&name))
            {
                alter_table(transaction, place, table)?;
            }
        }
        Change::DropTable(name) => {
            let Some(gone) = kept.remove(&folded(&name)) else {
                return Ok(());
            };
            transaction.execute_batch(&format!(
                "DROP TABLE {}; DROP TABLE {};",
                quoted(&gone.table),
                quoted(&gone.errors())
            ))?;
            transaction.execute(
                "DELETE FROM _snowpipe_tables WHERE kept_as = ?",
                [gone.table],
            )?;
        }
        Change::ForgetChannels(pipe) => {
            for table in ["_snowpipe_accepted", "_snowpipe_channels"] {
                forget_pipe(transaction, table, &pipe)?;
            }
        }
    }
    Ok(())
}

/// Deletes from `table` what is about a pipe. The case of names does not matter, as everywhere else: a channel's record keeps
/// the spelling that its pipe was created with, and a later statement may spell the name differently.
pub(crate) fn forget_pipe(
    transaction: &Transaction<'_>,
    table: &str,
    pipe: &ObjectName,
) -> rusqlite::Result<()> {
    let spellings = pipes(transaction, table)?;
    for known in spellings
        .iter()
        .filter(|known| folded(known) == folded(pipe))
    {
        transaction.execute(
            &format!(
                "DELETE FROM {table} WHERE database_name = ? AND schema_name = ? AND pipe_name = ?"
            ),
            params![known.database, known.schema, known.name],
        )?;
    }
    Ok(())
}

/// The pipes that `table` is about, as they are spelled there.
pub(crate) fn pipes(
    transaction: &Transaction<'_>,
    table: &str,
) -> rusqlite::Result<Vec<ObjectName>> {
    let mut spellings = transaction.prepare(&format!(
        "SELECT DISTINCT database_name, schema_name, pipe_name FROM {table}"
    ))?;
    let spellings = spellings.query_map([], |row| {
        Ok(ObjectName {
            database: row.get(0)?,
            schema: row.get(1)?,
            name: row.get(2)?,
        })
    })?;
    spellings.collect()
}

/// Makes the SQLite tables of a landed table: its own, and the one of its rejected rows.
pub(crate) fn create_table(
    transaction: &Transaction<'_>,
    kept: &mut BTreeMap<ObjectName, Kept>,
    name: &ObjectName,
    table: &Table,
) -> rusqlite::Result<()> {
    if kept.contains_key(&folded(name)) {
        return Ok(());
    }
    let kept_as = free_name(transaction, name)?;
    let columns = table.columns.iter().map(|column| {
        column_definition(&Column {
            nullable: column.nullable || table.is_evolving,
            ..column.clone()
        })
    });
    let columns: Vec<String> = columns.collect();
    let place = Kept::new(kept_as, table.columns.clone());
    transaction.execute_batch(&format!(
        "CREATE TABLE {} ({});
         CREATE TABLE {} (PIPE_NAME TEXT NOT NULL, CHANNEL_NAME TEXT NOT NULL, MESSAGE TEXT NOT NULL,
           PAYLOAD TEXT NOT NULL, OFFSET_TOKEN_LOWER_BOUND TEXT, OFFSET_TOKEN_UPPER_BOUND TEXT,
           CODE TEXT NOT NULL DEFAULT '', SQL_STATE TEXT NOT NULL DEFAULT '', COLUMN_NAME TEXT,
           REJECTED_AT_MS INTEGER NOT NULL DEFAULT 0, IS_BASE64 INTEGER NOT NULL DEFAULT 0);",
        quoted(&place.table),
        columns.join(", "),
        quoted(&place.errors()),
    ))?;
    for sequence in table.sequences().filter(|sequence| sequence.is_identity()) {
        let forget = "DELETE FROM _snowpipe_sequences WHERE name = ?";
        transaction.execute(forget, [sequence.name()])?;
    }
    transaction.execute(
        "INSERT INTO _snowpipe_tables VALUES (?, ?, ?, ?)",
        params![name.database, name.schema, name.name, place.table],
    )?;
    kept.insert(folded(name), place);
    Ok(())
}

/// Brings a table in line with its definition, which has more columns, or columns without their NOT NULL.
fn alter_table(
    transaction: &Transaction<'_>,
    place: &mut Kept,
    table: &Table,
) -> rusqlite::Result<()> {
    let (old, added) = table
        .columns
        .split_at(place.columns.len().min(table.columns.len()));
    let nullable = |column: &Column| Column {
        nullable: column.nullable || table.is_evolving,
        ..column.clone()
    };
    // SQLite cannot drop NOT NULL: the rows move to a table without it.
    let query = "SELECT count(*) FROM pragma_table_info(?) WHERE name = ? AND \"notnull\"";
    let mut has_too_many = false;
    for column in old.iter().map(nullable).filter(|column| column.nullable) {
        let found = transaction.query_row(query, [&place.table, &column.name], |row| row.get(0));
        has_too_many |= found.map(|count: u64| count > 0)?;
    }
    if has_too_many {
        let (name, moved) = (quoted(&place.table), quoted("_snowpipe_moved"));
        let columns = old.iter().map(nullable);
        let columns: Vec<String> = columns.map(|column| column_definition(&column)).collect();
        transaction.execute_batch(&format!(
            "CREATE TABLE {moved} ({});
             INSERT INTO {moved} SELECT * FROM {name} ORDER BY _rowid_;
             DROP TABLE {name};
             ALTER TABLE {moved} RENAME TO {name};",
            columns.join(", ")
        ))?;
    }
    for column in added {
        let (name, definition) = (
            quoted(&place.table),
            column_definition(&Column {
                nullable: true,
                ..column.clone()
            }),
        );
        transaction.execute_batch(&format!("ALTER TABLE {name} ADD COLUMN {definition}"))?;
        let default = column.constant_default();
        if default != Cell::Null {
            let fill = format!("UPDATE {name} SET {} = ?", quoted(&column.name));
            transaction.execute(&fill, [Bound(&default)])?;
        }
    }
    *place = Kept::new(place.table.clone(), table.columns.clone());
    Ok(())
}

/// The table's own name; where another schema's table has it, the full name.
fn free_name(transaction: &Transaction<'_>, name: &ObjectName) -> rusqlite::Result<String> {
    let full = format!("{}.{}.{}", name.database, name.schema, name.name);
    let numbered = (2..).map(|number| format!("{full} ({number})"));
    let candidates = [name.name.clone(), full.clone()]
        .into_iter()
        .chain(numbered);
    for candidate in candidates {
        let lower = candidate.to_lowercase();
        if lower.starts_with("_snowpipe_") || lower.starts_with("sqlite_") {
            continue;
        }
        let taken = transaction
            .query_row(
                "SELECT 1 FROM sqlite_master WHERE name COLLATE NOCASE IN (?, ?)",
                [&candidate, &errors_of(&candidate)],
                |_| Ok(()),
            )
            .optional()?;
        if taken.is_none() {
            return Ok(candidate);
        }
    }
    Ok(full)
}

/// A column in SQLite. Its affinity lets SQL compare and add numbers wherever that loses no digit: SQLite's numbers are
/// exact to 15 digits, so wider columns keep integers as integers and anything else as text.
pub(crate) fn column_definition(column: &Column) -> String {
    let affinity = match column.data_type {
        DataType::Number { precision, scale } if precision <= 15 && scale > 0 => "NUMERIC",
        DataType::Number { .. } => "",
        DataType::Float => "REAL",
        DataType::Boolean => "BOOLEAN",
        DataType::Binary(_) => "BLOB",
        _ => "TEXT",
    };
    let not_null = if column.nullable { "" } else { " NOT NULL" };
    format!("{} {affinity}{not_null}", quoted(&column.name))
}

fn errors_of(table: &str) -> String {
    format!("{table}__ERRORS")
}
