//! The columns of a source table, as the database describes them.

use anyhow::{Result, ensure};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};

use crate::connection::answered;

/// A table of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The database that has it.
    pub database: String,
    /// Its name.
    pub name: String,
    /// Its columns, in their order.
    pub columns: Vec<Column>,
    /// The positions in `columns` of the primary key's columns, in the order of the key.
    pub key: Vec<usize>,
}

/// A column of a source table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(
    clippy::struct_field_names,
    reason = "the database calls it COLUMN_TYPE"
)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The type without length and attributes, in lower case, as in `information_schema.COLUMNS.DATA_TYPE`: `bigint`,
    /// `decimal`, `enum`. MariaDB's `JSON`, which is text with a check, is `json`.
    pub data_type: String,
    /// The complete type, as in `information_schema.COLUMNS.COLUMN_TYPE`: `bigint(20) unsigned`, `enum('a','b')`.
    pub column_type: String,
    /// The character set of text; none for other types.
    pub character_set: Option<String>,
    /// Whether it may be null.
    pub is_nullable: bool,
}

const COLUMNS: &str = "
    SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, CHARACTER_SET_NAME, IS_NULLABLE = 'YES'
    FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION";
const KEY: &str = "
    SELECT COLUMN_NAME FROM information_schema.STATISTICS
    WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND INDEX_NAME = 'PRIMARY' ORDER BY SEQ_IN_INDEX";

impl Table {
    /// The columns of the key.
    pub fn key_columns(&self) -> impl Iterator<Item = &Column> {
        self.key.iter().filter_map(|at| self.columns.get(*at))
    }
}

/// The statement that creates a table, with a line for each column and each constraint. `information_schema` shows the checks
/// and the foreign keys of a table only to users with further rights.
///
/// # Errors
/// If the user may not read the table, or the database does not answer.
pub async fn definition(
    conn: &mut Conn,
    database: &str,
    name: &str,
) -> mysql_async::Result<String> {
    let query = format!("SHOW CREATE TABLE {}.{}", quoted(database), quoted(name));
    let row: Option<Row> = conn.query_first(query).await?;
    Ok(row.and_then(|row| row.get(1)).unwrap_or_default())
}

/// An identifier in a statement.
pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Describes a table.
///
/// # Errors
/// If there is no such table that the user can see, or it has no primary key.
pub async fn load(conn: &mut Conn, database: &str, name: &str) -> Result<Table> {
    type Found = (String, String, String, Option<String>, bool);
    let of_table = (database, name);
    let found: Vec<Found> = answered(conn.exec(COLUMNS, of_table)).await?;
    ensure!(
        !found.is_empty(),
        "there is no table {database}.{name} that the user can see: check the name, or grant SELECT on it"
    );
    let key: Vec<String> = answered(conn.exec(KEY, of_table)).await?;
    ensure!(
        !key.is_empty(),
        "the table {database}.{name} has no primary key, by which its rows are read: add one"
    );
    let definition = answered(definition(conn, database, name)).await?;
    let columns: Vec<_> = found
        .into_iter()
        .map(
            |(name, data_type, column_type, character_set, is_nullable)| {
                let check = format!("CHECK (json_valid({}))", quoted(&name));
                let is_json = definition
                    .lines()
                    .any(|line| line.trim_end_matches(',').ends_with(&check));
                Column {
                    data_type: if is_json {
                        "json".to_owned()
                    } else {
                        data_type
                    },
                    name,
                    column_type,
                    character_set,
                    is_nullable,
                }
            },
        )
        .collect();
    let position = |key: &String| columns.iter().position(|column| column.name == *key);
    Ok(Table {
        key: key.iter().filter_map(position).collect(),
        database: database.to_owned(),
        name: name.to_owned(),
        columns,
    })
}
