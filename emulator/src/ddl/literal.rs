//! Values that a statement has as literals or bindings, and the cells that they become.
//!
//! An INSERT coerces: it takes less than a cast. Snowflake's documentation of data type conversion says which types are coerced.

use std::time::SystemTime;

use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use serde_json::value::RawValue;
use sqlparser::tokenizer::Location;

use super::statements::{DdlError, ErrorCode};
use crate::catalog::binary::BinaryFormat;
use crate::catalog::cell::Cell;
use crate::catalog::coercion::{DataType, Input, is_number};
use crate::catalog::columns::Column;
use crate::catalog::json_reading::{self, Unread};
use crate::catalog::row_error;
use crate::catalog::rules::Rules;

const OTHER_TYPE: ErrorCode = ErrorCode("002023", "22000");
const INVALID_BINDING: ErrorCode = ErrorCode("002086", "22000");
const OUT_OF_RANGE: ErrorCode = ErrorCode("100039", "22003");
const NOT_JSON: ErrorCode = ErrorCode("100069", "22P02");

/// A value before it is of the type of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Literal {
    Null,
    /// The default of the column.
    Default,
    Boolean(bool),
    Number(String),
    Text(String),
    /// In hexadecimal digits.
    Binary(String),
    /// A VARIANT.
    Json(String),
    Moment(Moment),
}

/// A date, a time or a timestamp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Its type.
    of: &'static str,
    /// Its text in ISO 8601.
    text: String,
}

/// A value that a column does not take.
#[derive(Debug)]
pub(crate) struct ValueError {
    pub(crate) code: ErrorCode,
    pub(crate) text: String,
}

impl ValueError {
    fn new(code: ErrorCode, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }

    pub(crate) fn at(self, location: Location) -> DdlError {
        DdlError::at(location, self.text).with_code(self.code)
    }
}

impl Literal {
    /// A value that a connector binds, with the type that it names.
    pub(crate) fn bound(kind: &str, value: Option<&str>) -> Result<Self, ValueError> {
        let Some(value) = value else {
            return Ok(Self::Null);
        };
        let invalid = || {
            let text = format!("Invalid bind value ({value}) for type ({kind})");
            ValueError::new(INVALID_BINDING, text)
        };
        Ok(match kind.to_ascii_uppercase().as_str() {
            "TEXT" => Self::Text(value.to_owned()),
            "FIXED" | "NUMBER" => Self::Number(value.to_owned()),
            // The words for what is no number are texts.
            "REAL" => match value.parse::<f64>() {
                Ok(number) if number.is_finite() => Self::Number(value.to_owned()),
                _ => Self::Text(value.to_owned()),
            },
            "BOOLEAN" => match value.to_ascii_lowercase().as_str() {
                "true" | "1" => Self::Boolean(true),
                "false" | "0" => Self::Boolean(false),
                _ => return Err(invalid()),
            },
            "BINARY" => Self::Binary(value.to_owned()),
            "DATE" => Moment::date(value).map(Self::Moment).ok_or_else(invalid)?,
            "TIME" => Moment::time(value).map(Self::Moment).ok_or_else(invalid)?,
            "TIMESTAMP_NTZ" => Moment::instant(value, "TIMESTAMP_NTZ")
                .map(Self::Moment)
                .ok_or_else(invalid)?,
            "TIMESTAMP_LTZ" | "TIMESTAMP" => Moment::instant(value, "TIMESTAMP_LTZ")
                .map(Self::Moment)
                .ok_or_else(invalid)?,
            "TIMESTAMP_TZ" => Moment::with_offset(value)
                .map(Self::Moment)
                .ok_or_else(invalid)?,
            _ => {
                let text = format!("Unsupported feature: a binding of type {kind}.");
                return Err(ValueError::new(ErrorCode::UNSUPPORTED, text));
            }
        })
    }

    /// `PARSE_JSON` of the value.
    pub(crate) fn parse_json(&self) -> Result<Self, ValueError> {
        match self {
            Self::Null => Ok(Self::Null),
            Self::Text(text) => match json_reading::parse(text) {
                Ok(json) => Ok(json.map_or(Self::Null, Self::Json)),
                Err(Unread::Broken(why)) => Err(ValueError::new(NOT_JSON, why)),
                Err(Unread::Lenient(what)) => {
                    let text = format!("Unsupported feature: {what}.");
                    Err(ValueError::new(ErrorCode::UNSUPPORTED, text))
                }
            },
            _ => Err(ValueError::new(
                ErrorCode::UNSUPPORTED,
                "PARSE_JSON takes a text",
            )),
        }
    }

    /// The cell that the value is in a column.
    pub(crate) fn land(&self, column: &Column, rules: Rules) -> Result<Cell, ValueError> {
        let to = column.data_type;
        let input = match (self, to) {
            (Self::Null, _) => return Ok(Cell::Null),
            (Self::Json(text), _) => {
                // The text was read as JSON before.
                let raw = serde_json::from_str::<&RawValue>(text);
                let raw = raw.map_err(|why| ValueError::new(NOT_JSON, why.to_string()))?;
                // The null of a VARIANT is no SQL NULL.
                let rules = Rules {
                    sql_null: false,
                    ..rules
                };
                let input = Input::from_json(raw);
                let landed = input.and_then(|input| to.land(&input, rules));
                return landed.map_err(|why| ValueError::new(unrecognized(to), why.message));
            }
            (_, DataType::Object | DataType::Array) => return Err(self.mismatch(column)),
            (Self::Boolean(_), DataType::Number { .. } | DataType::Float) => {
                return Err(self.mismatch(column));
            }
            (Self::Boolean(value), _) if !is_moment(to) => Input::Boolean(*value),
            (Self::Number(text), _) if !is_moment(to) => Input::Number(plain(text).into()),
            (Self::Text(text), to) if to != DataType::Variant => Input::Text(text.into()),
            (Self::Binary(digits), DataType::Binary(_)) => Input::Text(digits.into()),
            (Self::Moment(moment), to) if moment.becomes(to) => {
                Input::Text(moment.text.as_str().into())
            }
            _ => return Err(self.mismatch(column)),
        };
        let rules = match self {
            Self::Binary(_) => Rules {
                binary: BinaryFormat::Hex,
                ..rules
            },
            _ => rules,
        };
        if matches!(to, DataType::Binary(_)) && !matches!(input, Input::Text(_)) {
            return Err(self.mismatch(column));
        }
        to.land(&input, rules).map_err(|why| {
            let code = match (to, &input) {
                // A text is only ever too long.
                (DataType::Varchar(_), _) => ErrorCode("100078", "22000"),
                (DataType::Number { .. }, Input::Number(text) | Input::Text(text))
                    if is_number(text) =>
                {
                    OUT_OF_RANGE
                }
                _ => unrecognized(to),
            };
            ValueError::new(code, why.message)
        })
    }

    fn mismatch(&self, column: &Column) -> ValueError {
        let is = match self {
            Self::Null | Self::Default => "NULL".to_owned(),
            Self::Boolean(_) => "BOOLEAN".to_owned(),
            Self::Number(text) => {
                let digits = text.chars().filter(char::is_ascii_digit).count();
                let scale = text
                    .split_once('.')
                    .map_or(0, |(_, fraction)| fraction.len());
                format!("NUMBER({digits},{scale})")
            }
            Self::Text(text) => format!("VARCHAR({})", text.chars().count()),
            Self::Binary(digits) => format!("BINARY({})", digits.len() / 2),
            Self::Json(_) => "VARIANT".to_owned(),
            Self::Moment(moment) => moment.of.to_owned(),
        };
        ValueError::new(
            OTHER_TYPE,
            format!(
                "Expression type does not match column data type, expecting {} but got {is}",
                column.data_type
            ),
        )
    }
}

impl Moment {
    pub(crate) fn now(now: SystemTime) -> Result<Self, ValueError> {
        let instant = Timestamp::try_from(now)
            .map_err(|why| ValueError::new(ErrorCode::UNSUPPORTED, why.to_string()))?;
        Ok(Self::utc(instant, "TIMESTAMP_LTZ"))
    }

    /// Milliseconds since 1970, or nanoseconds where those would be later than the year 2969.
    fn date(value: &str) -> Option<Self> {
        let number: i64 = value.parse().ok()?;
        let instant = if number.unsigned_abs() < 31_536_000_000_000 {
            Timestamp::from_millisecond(number).ok()?
        } else {
            Timestamp::from_nanosecond(number.into()).ok()?
        };
        let date = instant.to_zoned(TimeZone::UTC).date();
        Some(Self {
            of: "DATE",
            text: date.to_string(),
        })
    }

    /// Nanoseconds since midnight.
    fn time(value: &str) -> Option<Self> {
        let since = SignedDuration::from_nanos(value.parse().ok()?);
        let instant = Timestamp::from_duration(since).ok()?;
        let is_of_day = !since.is_negative() && since < SignedDuration::from_hours(24);
        let time = instant.to_zoned(TimeZone::UTC).time();
        is_of_day.then(|| Self {
            of: "TIME",
            text: format!("{time:.9}"),
        })
    }

    /// Nanoseconds since 1970.
    fn instant(value: &str, of: &'static str) -> Option<Self> {
        let instant = Timestamp::from_nanosecond(value.parse().ok()?).ok()?;
        Some(Self::utc(instant, of))
    }

    /// Nanoseconds since 1970, and the offset in minutes plus 1440. Without an offset it is UTC: version 5 of the Python connector
    /// sends none.
    fn with_offset(value: &str) -> Option<Self> {
        let (nanoseconds, offset) = value.split_once(' ').unwrap_or((value, "1440"));
        let instant = Timestamp::from_nanosecond(nanoseconds.parse().ok()?).ok()?;
        let minutes = offset.parse::<i32>().ok()?.checked_sub(1440)?;
        let offset = Offset::from_seconds(minutes.checked_mul(60)?).ok()?;
        let wall = offset.to_datetime(instant);
        let sign = if minutes < 0 { '-' } else { '+' };
        let minutes = minutes.unsigned_abs();
        Some(Self {
            of: "TIMESTAMP_TZ",
            text: format!("{wall:.9}{sign}{:02}:{:02}", minutes / 60, minutes % 60),
        })
    }

    fn utc(instant: Timestamp, of: &'static str) -> Self {
        let wall = instant.to_zoned(TimeZone::UTC).datetime();
        let zone = if of == "TIMESTAMP_NTZ" { "" } else { "Z" };
        Self {
            of,
            text: format!("{wall:.9}{zone}"),
        }
    }

    /// Whether it is coerced to a type.
    fn becomes(&self, to: DataType) -> bool {
        match to {
            DataType::Time(_) => self.of == "TIME",
            _ => is_moment(to) && self.of != "TIME",
        }
    }
}

fn is_moment(of: DataType) -> bool {
    matches!(
        of,
        DataType::Date
            | DataType::Time(_)
            | DataType::TimestampNtz(_)
            | DataType::TimestampLtz(_)
            | DataType::TimestampTz(_)
    )
}

/// A number as JSON has it: with a digit on each side of its point.
fn plain(number: &str) -> String {
    let (sign, digits) = match number.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", number),
    };
    let (mantissa, exponent) = match digits.find(['e', 'E']) {
        Some(at) => digits.split_at(at),
        None => (digits, ""),
    };
    let mantissa = mantissa.strip_suffix('.').unwrap_or(mantissa);
    let whole = if mantissa.starts_with('.') { "0" } else { "" };
    format!("{sign}{whole}{mantissa}{exponent}")
}

/// The code of a value that is none of a type.
fn unrecognized(of: DataType) -> ErrorCode {
    let (code, sql_state) = row_error::unrecognized(of);
    ErrorCode(code, sql_state)
}
