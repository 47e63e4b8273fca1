//! Values of a page, as a prepared statement returns them on a connection whose time zone is +00:00.

use std::str;

use mysql_async::Value as Sql;

use super::{Kind, Unsupported, text};
use crate::schema::Column;
use crate::value::Value;

/// The value of a column in a page. Pages are read with prepared statements: a plain query returns text for every type.
///
/// # Errors
/// If the value is not one of the type.
pub fn from_page(column: &Column, value: Sql) -> Result<Value, Unsupported> {
    let bytes = match value {
        Sql::NULL => return Ok(Value::Null),
        Sql::Bytes(bytes) => bytes,
        other => return plain(column, &other),
    };
    Ok(match Kind::of(column)? {
        Kind::Bit => Value::UInt(text::big_endian(column, &bytes)?),
        Kind::Decimal => Value::Text(text::decimal(&utf8(column, &bytes)?)),
        Kind::Enum(_) | Kind::Set(_) | Kind::Text(_) | Kind::Uuid => {
            Value::Text(utf8(column, &bytes)?)
        }
        Kind::Char(_) => Value::Text(utf8(column, &bytes)?.trim_end_matches(' ').to_owned()),
        Kind::Json => text::json(column, bytes)?,
        Kind::Binary { length } => Value::Bytes(text::padded(column, bytes, length)?),
        Kind::Bytes => Value::Bytes(bytes),
        Kind::Inet4 => text::address::<std::net::Ipv4Addr>(column, &utf8(column, &bytes)?)?,
        Kind::Inet6 => text::address::<std::net::Ipv6Addr>(column, &utf8(column, &bytes)?)?,
        Kind::Integer { .. }
        | Kind::Year
        | Kind::Float
        | Kind::Double
        | Kind::Date
        | Kind::DateTime
        | Kind::Timestamp
        | Kind::Time => return Err(Unsupported::value(column, "text")),
    })
}

/// A value that pages and the log have in the same form.
pub(super) fn plain(column: &Column, value: &Sql) -> Result<Value, Unsupported> {
    Ok(match (Kind::of(column)?, value) {
        (Kind::Integer { .. } | Kind::Year, Sql::Int(value)) => Value::Int(*value),
        // One form for one number.
        (Kind::Integer { .. } | Kind::Year, Sql::UInt(value)) => {
            i64::try_from(*value).map_or(Value::UInt(*value), Value::Int)
        }
        (Kind::Float, Sql::Float(value)) => Value::Float(*value),
        (Kind::Double, Sql::Double(value)) => Value::Double(*value),
        (Kind::Date, Sql::Date(year, month, day, ..)) => text::date(*year, *month, *day),
        (Kind::DateTime, Sql::Date(..)) => text::date_time(column, value, "")?,
        (Kind::Timestamp, Sql::Date(..)) => text::date_time(column, value, "Z")?,
        (Kind::Time, Sql::Time(..)) => text::time(column, value)?,
        (_, other) => return Err(Unsupported::value(column, form(other))),
    })
}

fn utf8(column: &Column, bytes: &[u8]) -> Result<String, Unsupported> {
    let text =
        str::from_utf8(bytes).map_err(|_| Unsupported::value(column, "text that is not UTF-8"))?;
    Ok(text.to_owned())
}

/// The form of a value, without its content.
pub(super) fn form(value: &Sql) -> &'static str {
    match value {
        Sql::NULL => "a null",
        Sql::Bytes(_) => "text",
        Sql::Int(_) | Sql::UInt(_) => "an integer",
        Sql::Float(_) | Sql::Double(_) => "a floating-point number",
        Sql::Date(..) => "a date",
        Sql::Time(..) => "a time",
    }
}
