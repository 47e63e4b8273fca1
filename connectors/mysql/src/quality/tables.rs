//! The tables to compare, and those in a file of SQLite, which is where the emulator keeps its tables.
//!
//! Every table is read in the order of the key's bytes, because the order of a collation is another in each database.

use anyhow::{Context, Result, anyhow};
use rusqlite::{Connection, OptionalExtension, Statement};

use super::gold::{COLUMNS, Customer};
use super::groups::Rows;

/// A table and the columns of it that are compared.
#[derive(Debug, Clone)]
pub(crate) struct TableName {
    /// In an account `DATABASE.SCHEMA.TABLE`; in an emulator's file the same or the name of the table in the file; in
    /// MariaDB `database.table`, or the name of a table in the database of the connection.
    pub(crate) name: String,
    /// The names of the customer's number, which is the key, the e-mail address, the phone and the date of birth.
    pub(crate) columns: [String; COLUMNS.len()],
    /// The columns of the primary key, if the current state is compared, which the table and that of its changes make.
    pub(crate) current_by: Option<Vec<String>>,
}

impl TableName {
    /// A table with the columns of the source.
    pub(crate) fn people(name: impl Into<String>) -> Self {
        let columns = ["USER_ID", "EMAIL", "PHONE", "DATE_OF_BIRTH"].map(str::to_owned);
        Self {
            name: name.into(),
            columns,
            current_by: None,
        }
    }

    /// A table with the columns of the raw and the gold table.
    pub(crate) fn customers(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            columns: COLUMNS.map(str::to_owned),
            current_by: None,
        }
    }

    /// The rows in the order of the key, `as_text` being what makes text of a column, and `as_bytes` bytes of it.
    pub(super) fn select(
        &self,
        table: &str,
        quoted: impl Fn(&str) -> String,
        as_text: impl Fn(&str) -> String,
        as_bytes: impl Fn(&str) -> String,
    ) -> String {
        let columns = self
            .columns
            .each_ref()
            .map(|column| as_text(&quoted(column)));
        let [key, ..] = &columns;
        format!(
            "SELECT {} FROM {table} ORDER BY {}",
            columns.join(", "),
            as_bytes(key)
        )
    }
}

/// Prepares to read a table of a SQLite file.
///
/// # Errors
/// If the file does not have the table or one of the columns.
pub(crate) fn statement<'a>(file: &'a Connection, table: &TableName) -> Result<Statement<'a>> {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let kept = kept_table(file, &table.name)?;
    let as_text = |column: &str| format!("CAST({column} AS TEXT)");
    let as_bytes = |text: &str| format!("{text} COLLATE BINARY");
    let from = match &table.current_by {
        None => quoted(&kept),
        Some(key) => {
            let changes = quoted(&kept_table(file, &format!("{}_CHANGES", table.name))?);
            let columns = table.columns.each_ref().map(|column| quoted(column));
            current(&quoted(&kept), &changes, key, &columns)
        }
    };
    let select = table.select(&from, quoted, as_text, as_bytes);
    file.prepare(&select)
        .with_context(|| format!("cannot read the table {}", table.name))
}

/// The current state: for each key its newest change, or else the copied row. A row or a change that is there twice remains twice.
fn current(copy: &str, changes: &str, key: &[String], columns: &[String]) -> String {
    let mut names: Vec<&str> = columns.iter().chain(key).map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    let (names, key) = (names.join(", "), key.join(", "));
    format!(
        "(SELECT {names} FROM (
            SELECT {names}, CDC_OP, RANK() OVER (
                PARTITION BY {key} ORDER BY CDC_FILE DESC, CDC_POSITION DESC, CDC_ROW DESC
            ) AS CDC_AGE FROM (
                SELECT {names}, CDC_OP, CDC_FILE, CDC_POSITION, CDC_ROW FROM {changes}
                UNION ALL SELECT {names}, 'I', 0, 0, 0 FROM {copy}
            )
        ) WHERE CDC_AGE = 1 AND CDC_OP <> 'D')"
    )
}

/// The rows of a statement of [`statement`].
///
/// # Errors
/// If the statement cannot be run.
pub(crate) fn rows<'a>(statement: &'a mut Statement<'_>) -> Result<Rows<'a>> {
    let rows = statement.query_map([], |row| {
        Ok(Customer {
            customer_id: row.get(0)?,
            email: row.get(1)?,
            phone: row.get(2)?,
            date_of_birth: row.get(3)?,
        })
    })?;
    Ok(Box::new(rows.map(|row| row.context("cannot read a row"))))
}

/// The table of the file that keeps a table of the emulator: a second table of the same name in another schema has a longer
/// one.
fn kept_table(file: &Connection, name: &str) -> Result<String> {
    let tables = "SELECT 1 FROM sqlite_schema WHERE name = '_snowpipe_tables'";
    let [database, schema, table] = name.split('.').collect::<Vec<_>>()[..] else {
        return Ok(name.to_owned());
    };
    if !file.prepare(tables)?.exists([])? {
        return Ok(name.to_owned());
    }
    let kept = file
        .query_row(
            "SELECT kept_as FROM _snowpipe_tables WHERE database_name = ? COLLATE NOCASE
               AND schema_name = ? COLLATE NOCASE AND table_name = ? COLLATE NOCASE",
            [database, schema, table],
            |row| row.get(0),
        )
        .optional()?;
    kept.ok_or_else(|| anyhow!("the emulator has no table {name}: copy it first, or name another"))
}
