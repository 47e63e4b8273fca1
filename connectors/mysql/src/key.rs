//! The primary key of a row: as an offset, and as parameters of a query.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use mysql_async::Value as Sql;
use serde::{Deserialize, Serialize};

use crate::schema::{Column, Table};

/// The value of one column of a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Part {
    Int(i64),
    UInt(u64),
    /// Text, decimals, dates.
    Text(String),
    Bytes {
        hex: String,
    },
}

/// The values of a key, in the order of its columns.
pub(crate) type Key = Vec<Part>;

/// The place of a row in a range of keys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Position {
    /// The value of an integer key. Its text is the number.
    Integer(i128),
    /// How many rows of the range there are up to this one, and its key. Only the database knows the order of such keys: it
    /// depends on a collation. The text is `417:["Zoë",3]`.
    Counted(u64, Key),
}

#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is not the place of a row such as 417 or 417:[\"key\"]: was the channel used by another program?"
)]
pub(crate) struct NoPosition(String);

impl Position {
    /// The place of the row that follows this one, or is the first.
    pub(crate) fn next(last: Option<&Self>, key: Key) -> Self {
        match (as_integer(&key), last) {
            (Some(value), None | Some(Self::Integer(_))) => Self::Integer(value),
            (_, Some(Self::Counted(count, _))) => Self::Counted(count + 1, key),
            _ => Self::Counted(1, key),
        }
    }

    /// The key of the row.
    pub(crate) fn key(&self) -> Key {
        match self {
            Self::Integer(value) => vec![integer(*value)],
            Self::Counted(_, key) => key.clone(),
        }
    }
}

/// The value of a key that is one integer.
pub(crate) fn as_integer(key: &[Part]) -> Option<i128> {
    match key {
        [Part::Int(value)] => Some((*value).into()),
        [Part::UInt(value)] => Some((*value).into()),
        _ => None,
    }
}

/// An integer of a key as it is sent to the database.
pub(crate) fn integer(value: i128) -> Part {
    match i64::try_from(value) {
        Ok(value) => Part::Int(value),
        Err(_) => Part::UInt(u64::try_from(value).unwrap_or(u64::MAX)),
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(value) => value.fmt(f),
            Self::Counted(count, key) => {
                let key = serde_json::to_string(key).map_err(|_| fmt::Error)?;
                write!(f, "{count}:{key}")
            }
        }
    }
}

impl FromStr for Position {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Self, NoPosition> {
        let parsed = match text.split_once(':') {
            None => text.parse().ok().map(Self::Integer),
            Some((count, key)) => count
                .parse()
                .ok()
                .zip(serde_json::from_str(key).ok())
                .map(|(count, key)| Self::Counted(count, key)),
        };
        parsed.ok_or_else(|| NoPosition(text.to_owned()))
    }
}

/// Whether the rows can be read by the key. Floating-point numbers have no exact text, and an ENUM is ordered by its index.
///
/// # Errors
/// If a column of the key has a type that cannot be used.
pub(crate) fn check(table: &Table) -> Result<()> {
    for column in table.key_columns() {
        if !is_key_type(&column.data_type) {
            bail!(
                "the primary key of {}.{} has the column {} of type {}, by which rows cannot be read exactly: use a table \
                 whose key has integers, decimals, dates, text, binary strings or UUIDs",
                table.database,
                table.name,
                column.name,
                column.column_type
            );
        }
    }
    Ok(())
}

pub(crate) fn is_integer(data_type: &str) -> bool {
    ["tinyint", "smallint", "mediumint", "int", "bigint", "year"].contains(&data_type)
}

fn is_key_type(data_type: &str) -> bool {
    let others = [
        "decimal",
        "date",
        "datetime",
        "timestamp",
        "char",
        "varchar",
        "binary",
        "varbinary",
        "uuid",
    ];
    is_integer(data_type) || others.contains(&data_type)
}

/// Whether the key is one integer.
pub(crate) fn is_integer_key(table: &Table) -> bool {
    let mut columns = table.key_columns();
    let first = columns.next();
    columns.next().is_none() && first.is_some_and(|column| is_integer(&column.data_type))
}

/// The value of a key's column in a row.
///
/// # Errors
/// If it is a value that a key cannot have.
pub(crate) fn part(column: &Column, value: &Sql) -> Result<Part> {
    let is_binary = ["binary", "varbinary"].contains(&column.data_type.as_str());
    Ok(match value {
        Sql::Int(value) => Part::Int(*value),
        Sql::UInt(value) => i64::try_from(*value).map_or(Part::UInt(*value), Part::Int),
        Sql::Bytes(bytes) if is_binary => Part::Bytes {
            hex: hex::encode(bytes),
        },
        Sql::Bytes(bytes) => Part::Text(
            String::from_utf8(bytes.clone())
                .with_context(|| format!("the key {} is not UTF-8", column.name))?,
        ),
        Sql::Date(year, month, day, hour, minute, second, micros) => Part::Text(format!(
            "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06}"
        )),
        _ => bail!("the key {} has a value of an unknown form", column.name),
    })
}

/// A value as a parameter.
///
/// # Errors
/// If the value was not written by this program.
pub(crate) fn parameter(part: &Part) -> Result<Sql> {
    Ok(match part {
        Part::Int(value) => Sql::Int(*value),
        Part::UInt(value) => Sql::UInt(*value),
        Part::Text(text) => Sql::Bytes(text.clone().into_bytes()),
        Part::Bytes { hex } => Sql::Bytes(hex::decode(hex).context("a key is not hexadecimal")?),
    })
}

/// The placeholder of a column's parameter. A text beside a number would be compared as a floating-point number.
pub(crate) fn placeholder(column: &Column) -> String {
    match column.data_type.as_str() {
        "decimal" => {
            let digits = column
                .column_type
                .split(['(', ')'])
                .nth(1)
                .unwrap_or("65,30");
            format!("CAST(? AS DECIMAL({digits}))")
        }
        "date" => "CAST(? AS DATE)".to_owned(),
        "datetime" | "timestamp" => "CAST(? AS DATETIME(6))".to_owned(),
        _ => "?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_the_text_that_it_is_parsed_from() {
        let key = vec![Part::Text("Zoë: \"x\"".to_owned()), Part::Int(3)];
        let counted = Position::next(None, key.clone());
        assert_eq!(counted.to_string(), r#"1:["Zoë: \"x\"",3]"#);
        let next = Position::next(
            Some(&counted),
            vec![Part::Text("Ann".to_owned()), Part::Int(9)],
        );
        assert!(next > counted);
        let last = Position::next(None, vec![Part::UInt(u64::MAX)]);
        let first = Position::next(None, vec![Part::Int(i64::MIN)]);
        assert!(first < last);
        for position in [counted, next, last, first] {
            assert_eq!(position.to_string().parse::<Position>().unwrap(), position);
            assert_eq!(Position::next(None, position.key()).key(), position.key());
        }
        for wrong in ["", "x", "1:", "1:{}", ":[1]", "order_7"] {
            assert!(wrong.parse::<Position>().is_err(), "{wrong}");
        }
    }
}
