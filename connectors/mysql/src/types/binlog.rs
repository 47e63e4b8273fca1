//! Values of the binary log, whose table map describes the columns.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str;

use jiff::Timestamp;
use mysql_async::Value as Sql;
use mysql_async::binlog::value::BinlogValue;
use mysql_async::consts::ColumnType;

use super::page::{form, plain};
use super::{Kind, Unsupported, text};
use crate::schema::Column;
use crate::value::Value;

/// The names of an ENUM's or a SET's members as the log has them, in the column's character set. Empty for other types.
pub(crate) type Labels = Vec<Vec<u8>>;

/// Whether the log has the values of the column in this form. It has not if the column had another type when the rows were
/// logged, or is kept in the format of an old version.
pub(crate) fn is_logged_as(column: &Column, logged: ColumnType) -> Result<bool, Unsupported> {
    use ColumnType as Type;
    let expected: &[Type] = match (Kind::of(column)?, column.data_type.as_str()) {
        (_, "tinyint") => &[Type::MYSQL_TYPE_TINY],
        (_, "smallint") => &[Type::MYSQL_TYPE_SHORT],
        (_, "mediumint") => &[Type::MYSQL_TYPE_INT24],
        (_, "int") => &[Type::MYSQL_TYPE_LONG],
        (_, "bigint") => &[Type::MYSQL_TYPE_LONGLONG],
        (Kind::Integer { .. }, _) => &[],
        (Kind::Year, _) => &[Type::MYSQL_TYPE_YEAR],
        (Kind::Decimal, _) => &[Type::MYSQL_TYPE_NEWDECIMAL],
        (Kind::Float, _) => &[Type::MYSQL_TYPE_FLOAT],
        (Kind::Double, _) => &[Type::MYSQL_TYPE_DOUBLE],
        (Kind::Date, _) => &[Type::MYSQL_TYPE_NEWDATE],
        (Kind::DateTime, _) => &[Type::MYSQL_TYPE_DATETIME2],
        (Kind::Timestamp, _) => &[Type::MYSQL_TYPE_TIMESTAMP2],
        (Kind::Time, _) => &[Type::MYSQL_TYPE_TIME2],
        (Kind::Bit, _) => &[Type::MYSQL_TYPE_BIT],
        (Kind::Enum(_), _) => &[Type::MYSQL_TYPE_ENUM],
        (Kind::Set(_), _) => &[Type::MYSQL_TYPE_SET],
        // MySQL has a type for JSON; in MariaDB it is text.
        (Kind::Json, _) => &[Type::MYSQL_TYPE_BLOB, Type::MYSQL_TYPE_JSON],
        (Kind::Char(_) | Kind::Binary { .. } | Kind::Uuid | Kind::Inet4 | Kind::Inet6, _) => {
            &[Type::MYSQL_TYPE_STRING]
        }
        (Kind::Text(_), "varchar") | (Kind::Bytes, "varbinary") => &[Type::MYSQL_TYPE_VARCHAR],
        (Kind::Text(_) | Kind::Bytes, _) => &[Type::MYSQL_TYPE_BLOB, Type::MYSQL_TYPE_GEOMETRY],
    };
    Ok(expected.contains(&logged))
}

/// The value of a column in a row of the log.
pub(crate) fn from_binlog(
    column: &Column,
    labels: &Labels,
    value: BinlogValue<'_>,
) -> Result<Value, Unsupported> {
    let value = match value {
        BinlogValue::Value(value) => value,
        BinlogValue::Jsonb(json) => {
            let json = serde_json::Value::try_from(json)
                .map_err(|error| Unsupported::value(column, error))?;
            return text::json(column, json.to_string().into_bytes());
        }
        BinlogValue::JsonDiff(_) => {
            let remedy = "set binlog_row_value_options to an empty value";
            return Err(Unsupported::new(
                column,
                "the log has a part of the value",
                remedy,
            ));
        }
    };
    match value {
        Sql::NULL => Ok(Value::Null),
        Sql::Bytes(bytes) => from_bytes(column, labels, bytes),
        Sql::Int(number) if matches!(Kind::of(column)?, Kind::Enum(_)) => {
            label(column, labels, number)
        }
        // The driver does not extend the sign of three bytes.
        Sql::Int(number @ 0x80_0000..)
            if column.data_type == "mediumint" && !column.column_type.contains("unsigned") =>
        {
            Ok(Value::Int(number - 0x100_0000))
        }
        other => plain(column, &other),
    }
}

fn from_bytes(column: &Column, labels: &Labels, bytes: Vec<u8>) -> Result<Value, Unsupported> {
    Ok(match Kind::of(column)? {
        Kind::Bit => Value::UInt(text::big_endian(column, &bytes)?),
        Kind::Decimal => Value::Text(text::decimal(ascii(column, &bytes)?)),
        Kind::Year => year(column, ascii(column, &bytes)?)?,
        Kind::Timestamp => timestamp(column, ascii(column, &bytes)?)?,
        Kind::Set(charset) => {
            let mut members = Vec::new();
            for (bit, label) in labels.iter().enumerate() {
                if bytes
                    .get(bit / 8)
                    .is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
                {
                    members.push(text::decode(column, charset, label)?);
                }
            }
            Value::Text(members.join(","))
        }
        Kind::Json => text::json(column, bytes)?,
        Kind::Char(charset) => Value::Text(
            text::decode(column, charset, &bytes)?
                .trim_end_matches(' ')
                .to_owned(),
        ),
        Kind::Text(charset) => Value::Text(text::decode(column, charset, &bytes)?),
        Kind::Binary { length } => Value::Bytes(text::padded(column, bytes, length)?),
        Kind::Bytes => Value::Bytes(bytes),
        Kind::Uuid => uuid(&fixed(column, bytes)?),
        Kind::Inet4 => Value::Text(Ipv4Addr::from(fixed::<4>(column, bytes)?).to_string()),
        Kind::Inet6 => Value::Text(Ipv6Addr::from(fixed::<16>(column, bytes)?).to_string()),
        Kind::Integer { .. }
        | Kind::Float
        | Kind::Double
        | Kind::Date
        | Kind::DateTime
        | Kind::Time
        | Kind::Enum(_) => return Err(Unsupported::value(column, form(&Sql::Bytes(Vec::new())))),
    })
}

/// The text of an ENUM's index, which counts from one. Zero is the empty text of an invalid value.
fn label(column: &Column, labels: &Labels, index: i64) -> Result<Value, Unsupported> {
    let Kind::Enum(charset) = Kind::of(column)? else {
        return Err(Unsupported::value(column, "an index"));
    };
    if index == 0 {
        return Ok(Value::Text(String::new()));
    }
    let label = usize::try_from(index - 1)
        .ok()
        .and_then(|index| labels.get(index));
    let label = label.ok_or_else(|| Unsupported::value(column, format!("the index {index}")))?;
    Ok(Value::Text(text::decode(column, charset, label)?))
}

/// The log has years since 1900, so the year zero reads as 1900, which is no YEAR.
fn year(column: &Column, text: &str) -> Result<Value, Unsupported> {
    match text.parse() {
        Ok(1900) => Ok(Value::Int(0)),
        Ok(year) => Ok(Value::Int(year)),
        Err(_) => Err(Unsupported::value(column, "other text")),
    }
}

/// Seconds since 1970 with a fraction. Zero is the zero date.
fn timestamp(column: &Column, text: &str) -> Result<Value, Unsupported> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let (Ok(seconds), Ok(micros)) = (seconds.parse::<i32>(), fraction.parse::<u32>()) else {
        return Err(Unsupported::value(column, "other text"));
    };
    // The seconds have no sign in the database, and one in the driver.
    let seconds = i64::from(seconds.cast_unsigned());
    if seconds == 0 {
        return Ok(text::zero_date());
    }
    let nanos = i32::try_from(micros.saturating_mul(1000)).unwrap_or(i32::MAX);
    let at = Timestamp::new(seconds, nanos).map_err(|error| Unsupported::value(column, error))?;
    Ok(Value::Text(if micros == 0 {
        format!("{at:.0}")
    } else {
        format!("{at:.6}")
    }))
}

fn uuid(bytes: &[u8; 16]) -> Value {
    let mut text = hex::encode(bytes);
    for at in [20, 16, 12, 8] {
        text.insert(at, '-');
    }
    Value::Text(text)
}

fn fixed<const N: usize>(column: &Column, bytes: Vec<u8>) -> Result<[u8; N], Unsupported> {
    let bytes = text::padded(column, bytes, N)?;
    bytes
        .try_into()
        .map_err(|_| Unsupported::value(column, "another length"))
}

fn ascii<'a>(column: &Column, bytes: &'a [u8]) -> Result<&'a str, Unsupported> {
    str::from_utf8(bytes).map_err(|_| Unsupported::value(column, form(&Sql::Bytes(Vec::new()))))
}
