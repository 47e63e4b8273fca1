//! Cells as SQLite keeps them.

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Row, ToSql};

use crate::catalog::cell::Cell;
use crate::catalog::coercion::DataType;
use crate::catalog::decimal;

/// A cell on its way into SQLite.
pub(crate) struct Bound<'a>(pub(crate) &'a Cell);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Cell::Null => ToSqlOutput::Owned(Value::Null),
            Cell::Boolean(value) => ToSqlOutput::Owned(Value::Integer((*value).into())),
            Cell::Integer(value) => ToSqlOutput::Owned(Value::Integer(*value)),
            // SQLite has no NaN: it would keep NULL.
            Cell::Float(value) if value.is_nan() => ToSqlOutput::Borrowed(ValueRef::Text(b"NaN")),
            Cell::Float(value) => ToSqlOutput::Owned(Value::Real(*value)),
            Cell::Text(text) | Cell::Json(text) => {
                ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes()))
            }
            Cell::Binary(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
        })
    }
}

/// A cell as it was before SQLite kept it.
pub(crate) fn read_cell(row: &Row<'_>, position: usize, of: DataType) -> rusqlite::Result<Cell> {
    let unreadable = |why: String| {
        rusqlite::Error::FromSqlConversionFailure(position, rusqlite::types::Type::Text, why.into())
    };
    let decimal = |text: &str| match of {
        DataType::Number { precision, scale } => decimal::land(text, precision, scale),
        _ => Err(format!("{text} is a number in a column of type {of}")),
    };
    Ok(match row.get_ref(position)? {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(value) if of == DataType::Boolean => Cell::Boolean(value != 0),
        ValueRef::Integer(value) => decimal(&value.to_string()).map_err(unreadable)?,
        ValueRef::Real(value) if of == DataType::Float => Cell::Float(value),
        ValueRef::Real(value) => decimal(&value.to_string()).map_err(unreadable)?,
        ValueRef::Text(_) => {
            let text: String = row.get(position)?;
            match of {
                DataType::Variant | DataType::Object | DataType::Array => Cell::Json(text),
                DataType::Float if text == "NaN" => Cell::Float(f64::NAN),
                _ => Cell::Text(text),
            }
        }
        ValueRef::Blob(bytes) => Cell::Binary(bytes.to_vec()),
    })
}
