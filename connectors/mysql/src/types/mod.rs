//! What a column's type becomes: which types are followed, and the type that the column gets in Snowflake.
//!
//! A page and the binary log deliver the same content in different forms. [`from_page`] and [`from_binlog`] give the same
//! value for both.

mod binlog;
mod page;
mod text;

use std::fmt;

pub(crate) use self::binlog::{Labels, from_binlog, is_logged_as};
pub use self::page::from_page;
pub use self::text::zero_dates;
use crate::schema::Column;

/// A column or a value that cannot be kept exactly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column `{column}`: {problem}; {remedy}")]
pub struct Unsupported {
    /// The column.
    pub column: String,
    /// What is wrong with it.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl Unsupported {
    fn new(column: &Column, problem: impl fmt::Display, remedy: impl fmt::Display) -> Self {
        Self {
            column: column.name.clone(),
            problem: problem.to_string(),
            remedy: remedy.to_string(),
        }
    }

    /// A value that the column's type does not have.
    fn value(column: &Column, value: impl fmt::Display) -> Self {
        let (found, expected) = (value, &column.column_type);
        Self::new(
            column,
            format!("{found} is no value of the type {expected}"),
            "start the program again, which reads the columns of the table again",
        )
    }
}

/// How the values of a column are read and sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Integer {
        is_unsigned: bool,
    },
    Year,
    Decimal,
    Float,
    Double,
    Date,
    DateTime,
    Timestamp,
    Time,
    Bit,
    Enum(Charset),
    Set(Charset),
    Json,
    /// CHAR, whose trailing spaces are padding.
    Char(Charset),
    Text(Charset),
    /// BINARY, whose trailing zeros are not logged.
    Binary {
        length: usize,
    },
    Bytes,
    Uuid,
    Inet4,
    Inet6,
}

/// The character sets that are decoded. Pages are in UTF-8 always, the log has the column's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Charset {
    /// `ascii` as well, which is a part of it.
    Utf8,
    Latin1,
}

impl Kind {
    fn of(column: &Column) -> Result<Self, Unsupported> {
        // COLUMN_TYPE says COMPRESSED in a comment.
        if column.column_type.contains("COMPRESSED") {
            let remedy = "change the column to the same type without COMPRESSED";
            return Err(Unsupported::new(
                column,
                "the log has its values compressed",
                remedy,
            ));
        }
        Ok(match column.data_type.as_str() {
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" => Self::Integer {
                is_unsigned: column.column_type.contains("unsigned"),
            },
            "year" => Self::Year,
            "decimal" => Self::Decimal,
            "float" => Self::Float,
            "double" => Self::Double,
            "date" => Self::Date,
            "datetime" => Self::DateTime,
            "timestamp" => Self::Timestamp,
            "time" if ["time(1)", "time(2)"].contains(&column.column_type.as_str()) => {
                let problem = "the driver misreads logged times before midnight that have one or two decimals";
                return Err(Unsupported::new(
                    column,
                    problem,
                    "change the column to TIME(3)",
                ));
            }
            "time" => Self::Time,
            "bit" => Self::Bit,
            "enum" => Self::Enum(charset(column)?),
            "set" => Self::Set(charset(column)?),
            "json" => Self::Json,
            "char" => Self::Char(charset(column)?),
            "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => {
                Self::Text(charset(column)?)
            }
            "binary" => Self::Binary {
                length: arguments(column)
                    .parse()
                    .map_err(|_| Unsupported::value(column, "no length"))?,
            },
            "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" | "geometry"
            | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
            | "multipolygon" | "geometrycollection" => Self::Bytes,
            "uuid" => Self::Uuid,
            "inet4" => Self::Inet4,
            "inet6" => Self::Inet6,
            other => {
                let problem = format!("the type {other} is unknown");
                return Err(Unsupported::new(
                    column,
                    problem,
                    "copy a table without the column",
                ));
            }
        })
    }
}

/// What is in the parentheses of a column's type.
fn arguments(column: &Column) -> &str {
    let inside = column
        .column_type
        .split_once('(')
        .map_or("", |(_, rest)| rest);
    inside.rsplit_once(')').map_or("", |(inside, _)| inside)
}

fn charset(column: &Column) -> Result<Charset, Unsupported> {
    match column.character_set.as_deref() {
        Some("utf8mb4" | "utf8mb3" | "utf8" | "ascii") => Ok(Charset::Utf8),
        Some("latin1") => Ok(Charset::Latin1),
        other => Err(Unsupported::new(
            column,
            format!(
                "the character set {} is not decoded",
                other.unwrap_or("(none)")
            ),
            "convert the column to utf8mb4",
        )),
    }
}

/// Whether the column can be copied and followed. An error names the remedy.
///
/// # Errors
/// If its type cannot be kept exactly.
pub fn check(column: &Column) -> Result<(), Unsupported> {
    Kind::of(column).map(|_| ())
}

/// The type of the column in a Snowflake table that takes its values as they are.
///
/// Columns are nullable although the source's are not: a zero date becomes null.
///
/// # Errors
/// If its type cannot be kept exactly.
pub fn snowflake_type(column: &Column) -> Result<String, Unsupported> {
    Ok(match Kind::of(column)? {
        Kind::Integer { .. } => match column.data_type.as_str() {
            "tinyint" => "NUMBER(3,0)",
            "smallint" => "NUMBER(5,0)",
            "mediumint" => "NUMBER(8,0)",
            "int" => "NUMBER(10,0)",
            _ => "NUMBER(20,0)",
        }
        .to_owned(),
        Kind::Year => "NUMBER(4,0)".to_owned(),
        Kind::Bit => "NUMBER(20,0)".to_owned(),
        Kind::Decimal => decimal(arguments(column)),
        Kind::Float | Kind::Double => "FLOAT".to_owned(),
        Kind::Date => "DATE".to_owned(),
        Kind::DateTime => "TIMESTAMP_NTZ(6)".to_owned(),
        Kind::Timestamp => "TIMESTAMP_TZ(6)".to_owned(),
        Kind::Json => "VARIANT".to_owned(),
        // Binary content is hexadecimal text: a default pipe reads BINARY from base64, and takes hexadecimal digits for it.
        // A time may be negative or longer than a day, which TIME is not.
        Kind::Enum(_)
        | Kind::Set(_)
        | Kind::Char(_)
        | Kind::Text(_)
        | Kind::Binary { .. }
        | Kind::Bytes
        | Kind::Time
        | Kind::Uuid
        | Kind::Inet4
        | Kind::Inet6 => "VARCHAR".to_owned(),
    })
}

/// A NUMBER has 38 digits at most, a DECIMAL has 65.
fn decimal(arguments: &str) -> String {
    let (precision, scale) = arguments.split_once(',').unwrap_or((arguments, "0"));
    match (precision.parse::<u8>(), scale.parse::<u8>()) {
        (Ok(precision), Ok(scale)) if precision <= 38 => format!("NUMBER({precision},{scale})"),
        _ => "VARCHAR".to_owned(),
    }
}
