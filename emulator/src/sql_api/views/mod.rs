//! What queries may read beside tables: error tables, the channel history, the event table and the tables themselves. Their rows
//! are made for each query.

use super::statements::storage_failure;
use crate::catalog::account_zone::AccountZone;
use crate::catalog::cell::Cell;
use crate::catalog::coercion::DataType;
use crate::catalog::columns::{Column, moment};
use crate::catalog::object_name::ObjectName;
use crate::catalog::tables::Table;
use crate::channels::state::State;
use crate::sql::failure::Failure;
use crate::storage::row_snapshot::RowSnapshot;

mod channel_history;
mod error_table;
mod event_table;
mod information_schema;
#[cfg(test)]
mod tests;

pub(super) use self::error_table::ErrorTables;

/// The rows of a view.
#[derive(Debug)]
pub(super) struct View {
    pub(super) table: Table,
    pub(super) rows: RowSnapshot,
    /// Whether it has all columns that it has in an account.
    pub(super) is_whole: bool,
}

/// The view of this name, if there is one.
pub(super) fn find(state: &mut State, name: &ObjectName) -> Result<Option<View>, Failure> {
    let mut is_whole = true;
    let (columns, rows) = match error_table::base(name) {
        Some(base) => (
            error_table::columns(),
            error_table::rows(state, name, &base)?,
        ),
        None if name.database != "SNOWFLAKE" => match information_schema::find(state, name)? {
            Some(found) => {
                is_whole = false;
                found
            }
            None => return Ok(None),
        },
        None => match (name.schema.as_str(), name.name.as_str()) {
            ("ACCOUNT_USAGE", "SNOWPIPE_STREAMING_CHANNEL_HISTORY") => {
                (channel_history::columns(), channel_history::rows(state))
            }
            ("TELEMETRY", "EVENTS" | "EVENTS_VIEW") => {
                (event_table::columns(), event_table::rows(state))
            }
            _ => return Ok(None),
        },
    };
    Ok(Some(View {
        table: Table::new(name.clone(), columns),
        rows: RowSnapshot::from(rows),
        is_whole,
    }))
}

/// Columns of these names and types.
fn named(columns: &[(&str, DataType)]) -> Vec<Column> {
    let columns = columns.iter();
    columns.map(|(name, of)| Column::new(*name, *of)).collect()
}

const TEXT: DataType = DataType::Varchar(16_777_216);
const INTEGER: DataType = DataType::Number {
    precision: 38,
    scale: 0,
};
const INSTANT: DataType = DataType::TimestampLtz(9);

fn instant(of: DataType, at_ms: u64) -> Cell {
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_millis(at_ms);
    moment(of, at, AccountZone::UTC).unwrap_or(Cell::Null)
}

fn text(text: impl Into<String>) -> Cell {
    Cell::Text(text.into())
}

fn optional(value: Option<impl Into<String>>) -> Cell {
    value.map_or(Cell::Null, text)
}

fn integer(number: impl TryInto<i64>) -> Cell {
    number.try_into().map_or(Cell::Null, Cell::Integer)
}
