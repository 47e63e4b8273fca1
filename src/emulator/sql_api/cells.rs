//! Values as the SQL API returns them: strings whose form depends on the type of the column.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rusqlite::types::Value as Stored;
use serde_json::{Value, json};

use crate::emulator::catalog::cell::Cell;
use crate::emulator::catalog::coercion::DataType;

/// What is known of a column of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A column of a table.
    Declared(DataType),
    /// Computed, and whole numbers.
    Fixed,
    /// Computed, and numbers.
    Real,
    /// Computed, and text.
    Text,
    /// Computed, and bytes.
    Binary,
}

impl Kind {
    /// The kind that holds all `values`.
    pub(crate) fn of<'a>(values: impl Iterator<Item = &'a Stored>) -> Self {
        let mut kind = None;
        for value in values {
            let this = match value {
                Stored::Null => continue,
                Stored::Integer(_) => Self::Fixed,
                Stored::Real(_) => Self::Real,
                Stored::Text(_) => Self::Text,
                Stored::Blob(_) => Self::Binary,
            };
            kind = Some(match (kind, this) {
                (None, this) => this,
                (Some(kind), this) if kind == this => kind,
                (Some(Self::Fixed), Self::Real) | (Some(Self::Real), Self::Fixed) => Self::Real,
                _ => Self::Text,
            });
        }
        kind.unwrap_or(Self::Text)
    }

    /// A column as `rowType` lists it.
    pub(crate) fn row_type(self, name: &str) -> Value {
        let (kind, precision, scale, length) = match self {
            Self::Declared(data_type) => match data_type {
                DataType::Varchar(length) => ("text", None, None, Some(length)),
                DataType::Number { precision, scale } => {
                    ("fixed", Some(precision), Some(scale), None)
                }
                DataType::Float => ("real", None, None, None),
                DataType::Boolean => ("boolean", None, None, None),
                DataType::Binary(length) => ("binary", None, None, Some(length)),
                DataType::Date => ("date", None, None, None),
                DataType::Time(digits) => ("time", Some(0), Some(digits), None),
                DataType::TimestampNtz(digits) => ("timestamp_ntz", Some(0), Some(digits), None),
                DataType::TimestampLtz(digits) => ("timestamp_ltz", Some(0), Some(digits), None),
                DataType::TimestampTz(digits) => ("timestamp_tz", Some(0), Some(digits), None),
                DataType::Variant => ("variant", None, None, None),
                DataType::Object => ("object", None, None, None),
                DataType::Array => ("array", None, None, None),
            },
            Self::Fixed => ("fixed", Some(38), Some(0), None),
            Self::Real => ("real", None, None, None),
            Self::Text => ("text", None, None, Some(16_777_216)),
            Self::Binary => ("binary", None, None, Some(8_388_608)),
        };
        json!({
            "name": name,
            "database": "",
            "schema": "",
            "table": "",
            "nullable": true,
            "type": kind,
            "precision": precision,
            "scale": scale,
            "length": length,
            "byteLength": null,
            "collation": null,
        })
    }
}

/// A computed value.
pub(crate) fn computed(value: Stored) -> Option<String> {
    match value {
        Stored::Null => None,
        Stored::Integer(number) => Some(number.to_string()),
        Stored::Real(number) => Some(number.to_string()),
        Stored::Text(text) => Some(text),
        Stored::Blob(bytes) => Some(hex(&bytes)),
    }
}

/// A value of a table's column.
pub(crate) fn declared(cell: Cell, of: DataType) -> Option<String> {
    Some(match cell {
        Cell::Null => return None,
        Cell::Boolean(truth) => truth.to_string(),
        Cell::Integer(number) => number.to_string(),
        Cell::Float(number) => number.to_string(),
        Cell::Binary(bytes) => hex(&bytes),
        Cell::Json(text) => text,
        Cell::Text(text) => since_epoch(&text, of).unwrap_or(text),
    })
}

/// Dates as days and times as seconds, as the SQL API has them; none for what is neither.
fn since_epoch(text: &str, of: DataType) -> Option<String> {
    match of {
        DataType::Date => {
            let date: Date = text.parse().ok()?;
            let days = date.duration_since(Date::constant(1970, 1, 1)).as_hours() / 24;
            Some(days.to_string())
        }
        DataType::Time(_) => {
            let time: Time = text.parse().ok()?;
            Some(seconds(time.duration_since(Time::midnight())))
        }
        DataType::TimestampNtz(_) => {
            let wall: DateTime = text.parse().ok()?;
            let instant = wall.to_zoned(TimeZone::UTC).ok()?.timestamp();
            Some(seconds(instant.as_duration()))
        }
        DataType::TimestampLtz(_) => {
            let instant: Timestamp = text.parse().ok()?;
            Some(seconds(instant.as_duration()))
        }
        DataType::TimestampTz(_) => {
            let (wall, offset) = text.rsplit_once(' ')?;
            let instant: Timestamp = format!("{wall}{offset}").parse().ok()?;
            let (hours, minutes) = offset.get(1..)?.split_once(':')?;
            let minutes = hours.parse::<i32>().ok()? * 60 + minutes.parse::<i32>().ok()?;
            let minutes = if offset.starts_with('-') {
                -minutes
            } else {
                minutes
            };
            let instant = seconds(instant.as_duration());
            Some(format!("{instant} {}", minutes + 1440))
        }
        _ => None,
    }
}

fn seconds(duration: SignedDuration) -> String {
    let sign = if duration.is_negative() { "-" } else { "" };
    let length = duration.unsigned_abs();
    format!("{sign}{}.{:09}", length.as_secs(), length.subsec_nanos())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str, of: DataType) -> Option<String> {
        declared(Cell::Text(text.to_owned()), of)
    }

    #[test]
    fn days_and_times_are_counted_from_1970() {
        let shown = [
            text("1970-01-02", DataType::Date),
            text("1969-12-31", DataType::Date),
            text("01:01:01.500000000", DataType::Time(9)),
            text("1970-01-01 00:01:00.250", DataType::TimestampNtz(3)),
            text("1969-12-31 23:59:59.500", DataType::TimestampNtz(3)),
            text("1970-01-01 00:00:01.000000000Z", DataType::TimestampLtz(9)),
            text(
                "1970-01-01 00:00:00.000000000 -07:00",
                DataType::TimestampTz(9),
            ),
            text(
                "1970-01-01 05:30:00.000000000 +05:30",
                DataType::TimestampTz(9),
            ),
        ];
        let wanted = [
            "1",
            "-1",
            "3661.500000000",
            "60.250000000",
            "-0.500000000",
            "1.000000000",
            "25200.000000000 1020",
            "0.000000000 1770",
        ];
        assert_eq!(shown.each_ref().map(|s| s.as_deref().unwrap()), wanted);
    }

    #[test]
    fn other_values_are_their_text() {
        assert_eq!(
            text(
                "1.50",
                DataType::Number {
                    precision: 5,
                    scale: 2
                }
            )
            .unwrap(),
            "1.50"
        );
        assert_eq!(
            declared(Cell::Boolean(true), DataType::Boolean).unwrap(),
            "true"
        );
        assert_eq!(
            declared(Cell::Binary(vec![0, 0xAB]), DataType::Binary(2)).unwrap(),
            "00AB"
        );
        assert_eq!(declared(Cell::Null, DataType::Date), None);
    }

    #[test]
    fn the_kind_of_a_column_is_what_holds_all_of_it() {
        let kind = |values: &[Stored]| Kind::of(values.iter());
        assert_eq!(kind(&[Stored::Null, Stored::Integer(1)]), Kind::Fixed);
        assert_eq!(kind(&[Stored::Integer(1), Stored::Real(0.5)]), Kind::Real);
        assert_eq!(
            kind(&[Stored::Integer(1), Stored::Text("x".into())]),
            Kind::Text
        );
        assert_eq!(kind(&[Stored::Null]), Kind::Text);
    }
}
