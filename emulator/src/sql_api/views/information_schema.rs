//! `INFORMATION_SCHEMA.TABLES` and `INFORMATION_SCHEMA.COLUMNS` of a database: the tables of the catalog.
//!
//! They have those of the columns that Snowflake documents whose values the emulator knows. Others are refused.

use super::storage_failure;
use super::{INTEGER, TEXT, integer, named, text};
use crate::catalog::cell::Cell;
use crate::catalog::coercion::DataType;
use crate::catalog::columns::Column;
use crate::catalog::object_name::ObjectName;
use crate::catalog::sequences::Sequence;
use crate::catalog::tables::Table;
use crate::channels::state::State;
use crate::sql::failure::Failure;

/// The schema of both views.
const SCHEMA: &str = "INFORMATION_SCHEMA";

/// <https://docs.snowflake.com/en/sql-reference/info-schema/tables>
const TABLES: &[(&str, DataType)] = &[
    ("TABLE_CATALOG", TEXT),
    ("TABLE_SCHEMA", TEXT),
    ("TABLE_NAME", TEXT),
    ("TABLE_TYPE", TEXT),
    ("ROW_COUNT", INTEGER),
    ("IS_TEMPORARY", TEXT),
    ("IS_ICEBERG", TEXT),
    ("IS_DYNAMIC", TEXT),
    ("IS_IMMUTABLE", TEXT),
    ("IS_HYBRID", TEXT),
];

/// <https://docs.snowflake.com/en/sql-reference/info-schema/columns>
const COLUMNS: &[(&str, DataType)] = &[
    ("TABLE_CATALOG", TEXT),
    ("TABLE_SCHEMA", TEXT),
    ("TABLE_NAME", TEXT),
    ("COLUMN_NAME", TEXT),
    ("ORDINAL_POSITION", INTEGER),
    ("IS_NULLABLE", TEXT),
    ("DATA_TYPE", TEXT),
    ("CHARACTER_MAXIMUM_LENGTH", INTEGER),
    ("NUMERIC_PRECISION", INTEGER),
    ("NUMERIC_PRECISION_RADIX", INTEGER),
    ("NUMERIC_SCALE", INTEGER),
    ("IS_IDENTITY", TEXT),
    ("EXPRESSION", TEXT),
    ("KIND", TEXT),
];

/// The columns and rows of a view.
type Listing = (Vec<Column>, Vec<Vec<Cell>>);

/// The view of this name, if it is one.
pub(super) fn find(state: &mut State, name: &ObjectName) -> Result<Option<Listing>, Failure> {
    if name.schema != SCHEMA || !matches!(name.name.as_str(), "TABLES" | "COLUMNS") {
        return Ok(None);
    }
    if state.catalog.is_anything() {
        return Err(Failure::unsupported(format!(
            "{SCHEMA} of an emulator that takes rows for any table"
        )));
    }
    let is_of = |table: &&Table| table.name.database == name.database;
    let tables: Vec<Table> = state.catalog.tables().filter(is_of).cloned().collect();
    // The emulator has no databases without a table.
    if tables.is_empty() {
        return Ok(None);
    }
    if name.name == "COLUMNS" {
        let rows = tables.iter().flat_map(|table| {
            let columns = table.columns.iter().zip(1_usize..);
            columns.map(|(column, position)| {
                let cell = |(name, _): &(&str, DataType)| of_column(name, table, column, position);
                COLUMNS.iter().map(cell).collect()
            })
        });
        return Ok(Some((named(COLUMNS), rows.collect())));
    }
    let mut rows = Vec::with_capacity(tables.len());
    for table in &tables {
        let count = state.storage.count(&table.name);
        let count = count.map_err(|why| storage_failure(&why))?;
        let cell = |(name, _): &(&str, DataType)| of_table(name, table, count);
        rows.push(TABLES.iter().map(cell).collect());
    }
    Ok(Some((named(TABLES), rows)))
}

fn of_table(name: &str, table: &Table, rows: u64) -> Cell {
    match name {
        "TABLE_CATALOG" => text(&table.name.database),
        "TABLE_SCHEMA" => text(&table.name.schema),
        "TABLE_NAME" => text(&table.name.name),
        "TABLE_TYPE" => text("BASE TABLE"),
        "ROW_COUNT" => integer(rows),
        "IS_TEMPORARY" | "IS_ICEBERG" | "IS_DYNAMIC" | "IS_IMMUTABLE" | "IS_HYBRID" => text("NO"),
        _ => Cell::Null,
    }
}

fn of_column(name: &str, table: &Table, column: &Column, position: usize) -> Cell {
    let yes = |is: bool| text(if is { "YES" } else { "NO" });
    match (name, column.data_type) {
        ("TABLE_CATALOG", _) => text(&table.name.database),
        ("TABLE_SCHEMA", _) => text(&table.name.schema),
        ("TABLE_NAME", _) => text(&table.name.name),
        ("COLUMN_NAME", _) => text(&column.name),
        ("ORDINAL_POSITION", _) => integer(position),
        ("IS_NULLABLE", _) => yes(column.nullable),
        ("DATA_TYPE", of) => text(data_type(of)),
        ("CHARACTER_MAXIMUM_LENGTH", DataType::Varchar(length) | DataType::Binary(length)) => {
            integer(length)
        }
        ("NUMERIC_PRECISION", DataType::Number { precision, .. }) => integer(precision),
        ("NUMERIC_PRECISION_RADIX", DataType::Number { .. }) => integer(10),
        ("NUMERIC_SCALE", DataType::Number { scale, .. }) => integer(scale),
        ("IS_IDENTITY", _) => yes(column.sequence().is_some_and(Sequence::is_identity)),
        ("KIND", _) => text("COLUMN"),
        _ => Cell::Null,
    }
}

/// The name of a type without its arguments.
fn data_type(of: DataType) -> &'static str {
    match of {
        DataType::Varchar(_) => "TEXT",
        DataType::Number { .. } => "NUMBER",
        DataType::Float => "FLOAT",
        DataType::Boolean => "BOOLEAN",
        DataType::Binary(_) => "BINARY",
        DataType::Date => "DATE",
        DataType::Time(_) => "TIME",
        DataType::TimestampNtz(_) => "TIMESTAMP_NTZ",
        DataType::TimestampLtz(_) => "TIMESTAMP_LTZ",
        DataType::TimestampTz(_) => "TIMESTAMP_TZ",
        DataType::Variant => "VARIANT",
        DataType::Object => "OBJECT",
        DataType::Array => "ARRAY",
    }
}
