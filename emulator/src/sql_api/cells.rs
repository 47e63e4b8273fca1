//! Values as the SQL API returns them: strings whose form depends on the type of the column.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rusqlite::types::ValueRef;
use serde_json::{Value, json};

use crate::catalog::coercion::DataType;
use crate::sql::compiler::types::{TEXT, Type};
use crate::sql::functions::raised::Raised;
use crate::sql::functions::spelling::displayed;
use crate::sql::functions::{arguments, numbers};

/// A column as `rowType` lists it. A bare NULL is text.
pub(crate) fn row_type(name: &str, of: Type) -> Value {
    let (kind, precision, scale, length) = match of.unwrap_or(TEXT) {
        DataType::Varchar(length) => ("text", None, None, Some(length)),
        DataType::Number { precision, scale } => ("fixed", Some(precision), Some(scale), None),
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

/// A value in the form that expressions of its type have.
pub(crate) fn show(value: ValueRef<'_>, of: Type) -> Result<Option<String>, Raised> {
    let text = || match value {
        ValueRef::Text(bytes) => Ok(String::from_utf8_lossy(bytes).into_owned()),
        _ => Err(Raised::internal("a value in another form")),
    };
    if value == ValueRef::Null {
        return Ok(None);
    }
    Ok(Some(match of.unwrap_or(TEXT) {
        DataType::Number { scale, .. } => numbers::show(numbers::decode(value)?, scale),
        DataType::Float => arguments::float_of(value)?.to_string(),
        DataType::Boolean => (value != ValueRef::Integer(0)).to_string(),
        DataType::Varchar(_) => text()?,
        DataType::Binary(_) => match value {
            ValueRef::Blob(bytes) => hex(bytes),
            _ => return Err(Raised::internal("bytes in another form")),
        },
        DataType::Variant | DataType::Object | DataType::Array => displayed(&text()?)?,
        of => {
            let text = text()?;
            since_epoch(&text, of).unwrap_or(text)
        }
    }))
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
        show(ValueRef::Text(text.as_bytes()), Some(of)).unwrap()
    }

    #[test]
    fn days_and_times_are_counted_from_1970() {
        let shown = [
            text("1970-01-02", DataType::Date),
            text("1969-12-31", DataType::Date),
            text("01:01:01.500000000", DataType::Time(9)),
            text("1970-01-01 00:01:00.250000000", DataType::TimestampNtz(3)),
            text("1969-12-31 23:59:59.500000000", DataType::TimestampNtz(3)),
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
        let shown = |value, of| show(value, of).unwrap();
        let number = DataType::Number {
            precision: 5,
            scale: 2,
        };
        let cases = [
            (ValueRef::Integer(150), Some(number), Some("1.50")),
            (ValueRef::Integer(1), Some(DataType::Boolean), Some("true")),
            (
                ValueRef::Blob(&[0, 0xAB]),
                Some(DataType::Binary(2)),
                Some("00AB"),
            ),
            (ValueRef::Text(b"NaN"), Some(DataType::Float), Some("NaN")),
            (
                ValueRef::Text(b"1.50"),
                Some(DataType::Variant),
                Some("1.5"),
            ),
            (ValueRef::Null, Some(DataType::Date), None),
            (ValueRef::Text(b"a"), None, Some("a")),
        ];
        for (value, of, wanted) in cases {
            assert_eq!(shown(value, of).as_deref(), wanted, "{of:?}");
        }
    }
}
