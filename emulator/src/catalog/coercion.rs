//! Column types, and how a JSON value becomes a cell of one.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use memchr::memchr;
use serde_json::value::RawValue;

use super::cell::Cell;
use super::datetime::{self, Zone};
use super::decimal;
use super::row_error::RowError;
use super::rules::Rules;
use crate::answers::{
    RejectOrAccept, TextAsArray, TextAsObject, ValueAsArray, VariantNull, VariantNumber,
};

const MAX_VARCHAR: u32 = 134_217_728;
pub(crate) const DEFAULT_VARCHAR: u32 = 16_777_216;
const MAX_BINARY: u32 = 67_108_864;
pub(crate) const DEFAULT_BINARY: u32 = 8_388_608;

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DataType {
    /// Text of at most so many characters.
    Varchar(u32),
    /// An exact decimal number.
    Number {
        /// All digits.
        precision: u8,
        /// Digits behind the point.
        scale: u8,
    },
    /// A 64-bit floating-point number.
    Float,
    /// True or false.
    Boolean,
    /// At most so many bytes.
    Binary(u32),
    /// A calendar day.
    Date,
    /// A time of day with so many fraction digits.
    Time(u8),
    /// A wall-clock time with so many fraction digits.
    TimestampNtz(u8),
    /// An instant with so many fraction digits.
    TimestampLtz(u8),
    /// A wall-clock time and its offset, with so many fraction digits.
    TimestampTz(u8),
    /// Any JSON value.
    Variant,
    /// A JSON object.
    Object,
    /// A JSON array.
    Array,
}

impl FromStr for DataType {
    type Err = String;

    /// Reads a type as Snowflake spells it: `varchar(255)`, `DECIMAL(7,2)`, `datetime`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, arguments) = match text.split_once('(') {
            Some((name, rest)) => (name, rest.trim_end().trim_end_matches(')')),
            None => (text, ""),
        };
        let name = name
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .to_uppercase();
        let has_none = matches!(
            name.as_str(),
            "FLOAT"
                | "FLOAT4"
                | "FLOAT8"
                | "DOUBLE"
                | "DOUBLE PRECISION"
                | "REAL"
                | "BOOLEAN"
                | "BOOL"
                | "DATE"
                | "VARIANT"
                | "OBJECT"
                | "ARRAY"
        );
        if has_none && text.contains('(') {
            return Err(format!(
                "the emulator has no type {text}: it has no structured types, and {name} has nothing in parentheses"
            ));
        }
        let arguments = Arguments { text, arguments };
        Ok(match name.as_str() {
            "VARCHAR" | "STRING" | "TEXT" | "NVARCHAR" | "NVARCHAR2" | "CHAR VARYING"
            | "CHARACTER VARYING" | "NCHAR VARYING" => {
                Self::Varchar(arguments.length(DEFAULT_VARCHAR, MAX_VARCHAR)?)
            }
            "CHAR" | "CHARACTER" | "NCHAR" => Self::Varchar(arguments.length(1, MAX_VARCHAR)?),
            "NUMBER" | "DECIMAL" | "DEC" | "NUMERIC" | "INT" | "INTEGER" | "BIGINT"
            | "SMALLINT" | "TINYINT" | "BYTEINT" => arguments.number()?,
            "FLOAT" | "FLOAT4" | "FLOAT8" | "DOUBLE" | "DOUBLE PRECISION" | "REAL" => Self::Float,
            "BOOLEAN" | "BOOL" => Self::Boolean,
            "BINARY" | "VARBINARY" => Self::Binary(arguments.length(DEFAULT_BINARY, MAX_BINARY)?),
            "DATE" => Self::Date,
            "TIME" => Self::Time(arguments.fraction_digits()?),
            "DATETIME" | "TIMESTAMP" | "TIMESTAMP_NTZ" | "TIMESTAMPNTZ" => {
                Self::TimestampNtz(arguments.fraction_digits()?)
            }
            "TIMESTAMP_LTZ" | "TIMESTAMPLTZ" => Self::TimestampLtz(arguments.fraction_digits()?),
            "TIMESTAMP_TZ" | "TIMESTAMPTZ" => Self::TimestampTz(arguments.fraction_digits()?),
            "VARIANT" => Self::Variant,
            "OBJECT" => Self::Object,
            "ARRAY" => Self::Array,
            _ => {
                return Err(format!(
                    "the emulator has no column type {text}; it has VARCHAR, NUMBER, FLOAT, BOOLEAN, BINARY, DATE, TIME, TIMESTAMP_NTZ, TIMESTAMP_LTZ, TIMESTAMP_TZ, VARIANT, OBJECT and ARRAY"
                ));
            }
        })
    }
}

/// What stands in the parentheses of a type.
struct Arguments<'a> {
    text: &'a str,
    arguments: &'a str,
}

impl Arguments<'_> {
    fn length(&self, default: u32, max: u32) -> Result<u32, String> {
        match self.arguments.trim() {
            "" => Ok(default),
            length => self.within(length, 1, max),
        }
    }

    fn number(&self) -> Result<DataType, String> {
        let (precision, scale) = self
            .arguments
            .split_once(',')
            .unwrap_or((self.arguments, ""));
        let precision = match precision.trim() {
            "" => 38,
            precision => self.within(precision, 1, 38)?,
        };
        let scale = match scale.trim() {
            "" => 0,
            scale => self.within(scale, 0, precision.min(37))?,
        };
        Ok(DataType::Number { precision, scale })
    }

    fn fraction_digits(&self) -> Result<u8, String> {
        match self.arguments.trim() {
            "" => Ok(9),
            digits => self.within(digits, 0, 9),
        }
    }

    fn within<T: Copy + FromStr + PartialOrd + fmt::Display>(
        &self,
        argument: &str,
        min: T,
        max: T,
    ) -> Result<T, String> {
        match argument.parse::<T>() {
            Ok(value) if value >= min && value <= max => Ok(value),
            _ => Err(format!(
                "in the type {}, {argument:?} is not a number from {min} to {max}",
                self.text
            )),
        }
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Varchar(length) => write!(f, "VARCHAR({length})"),
            Self::Number { precision, scale } => write!(f, "NUMBER({precision},{scale})"),
            Self::Float => f.write_str("FLOAT"),
            Self::Boolean => f.write_str("BOOLEAN"),
            Self::Binary(length) => write!(f, "BINARY({length})"),
            Self::Date => f.write_str("DATE"),
            Self::Time(digits) => write!(f, "TIME({digits})"),
            Self::TimestampNtz(digits) => write!(f, "TIMESTAMP_NTZ({digits})"),
            Self::TimestampLtz(digits) => write!(f, "TIMESTAMP_LTZ({digits})"),
            Self::TimestampTz(digits) => write!(f, "TIMESTAMP_TZ({digits})"),
            Self::Variant => f.write_str("VARIANT"),
            Self::Object => f.write_str("OBJECT"),
            Self::Array => f.write_str("ARRAY"),
        }
    }
}

/// A value as it comes in: what it is, with a number's digits as they were written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Input<'a> {
    Null,
    Boolean(bool),
    Number(Cow<'a, str>),
    Text(Cow<'a, str>),
    /// An object or an array, as JSON text.
    Nested(Cow<'a, str>),
}

impl<'a> Input<'a> {
    pub(crate) fn from_json(raw: &'a RawValue) -> Result<Self, RowError> {
        let text = raw.get();
        Ok(match text.as_bytes().first() {
            Some(b'n') => Self::Null,
            Some(b't') => Self::Boolean(true),
            Some(b'f') => Self::Boolean(false),
            Some(b'{' | b'[') => Self::Nested(text.into()),
            Some(b'"') => match without_escapes(text) {
                Some(plain) => Self::Text(plain.into()),
                None => Self::Text(
                    serde_json::from_str::<String>(text)
                        .map_err(RowError::json)?
                        .into(),
                ),
            },
            _ => Self::Number(text.into()),
        })
    }

    /// A cell as the input of another type: the second half of `$1:A::INT` into a VARCHAR column.
    pub(crate) fn from_cell(cell: &'a Cell, of: DataType) -> Result<Self, RowError> {
        Ok(match cell {
            Cell::Null => Self::Null,
            Cell::Boolean(value) => Self::Boolean(*value),
            Cell::Integer(value) => Self::Number(value.to_string().into()),
            Cell::Float(value) => Self::Number(value.to_string().into()),
            Cell::Text(text) if matches!(of, DataType::Number { .. }) => Self::Number(text.into()),
            Cell::Text(text) => Self::Text(text.into()),
            Cell::Json(text) => {
                let raw: &RawValue = serde_json::from_str(text).map_err(RowError::json)?;
                Self::from_json(raw)?
            }
            Cell::Binary(bytes) => Self::Text(
                bytes
                    .iter()
                    .flat_map(|byte| [byte >> 4, byte & 0xF])
                    .filter_map(|digit| char::from_digit(digit.into(), 16))
                    .map(|digit| digit.to_ascii_uppercase())
                    .collect::<String>()
                    .into(),
            ),
        })
    }

    /// The value as JSON text.
    pub(crate) fn to_json(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Boolean(value) => value.to_string(),
            Self::Number(text) | Self::Nested(text) => text.clone().into_owned(),
            Self::Text(text) => serde_json::Value::from(text.as_ref()).to_string(),
        }
    }
}

/// The content of a JSON string without escapes.
fn without_escapes(text: &str) -> Option<&str> {
    let content = text.strip_prefix('"')?.strip_suffix('"')?;
    memchr(b'\\', content.as_bytes())
        .is_none()
        .then_some(content)
}

impl DataType {
    /// The cell that `input` lands as, or why it does not.
    pub(crate) fn land(self, input: &Input<'_>, rules: Rules) -> Result<Cell, RowError> {
        if *input == Input::Null {
            let is_sql_null = rules.sql_null || rules.values.variant_null == VariantNull::SqlNull;
            return Ok(if self == Self::Variant && !is_sql_null {
                Cell::Json("null".to_owned())
            } else {
                Cell::Null
            });
        }
        let refused = || RowError::refused(input, self);
        let values = &rules.values;
        match self {
            Self::Varchar(_)
                if matches!(input, Input::Nested(_)) && !rules.keeps(values.json_as_text) =>
            {
                Err(refused())
            }
            Self::Varchar(length) => land_text(input, length).unwrap_or_else(|| Err(refused())),
            Self::Number { precision, scale } => match input {
                Input::Number(text) | Input::Text(text) => {
                    decimal::land(text, precision, scale).map_err(|_| {
                        // What is a number, and none of these, has too many digits.
                        if is_number(text) {
                            RowError::out_of_range(text, self)
                        } else {
                            refused()
                        }
                    })
                }
                // A cast of TRUE is 1, and here a boolean has the type VARIANT of its row.
                Input::Boolean(value) if values.boolean_as_number == RejectOrAccept::Accept => {
                    let digit = if *value { "1" } else { "0" };
                    decimal::land(digit, precision, scale).map_err(|_| refused())
                }
                _ => Err(refused()),
            },
            Self::Float => land_float(input, rules).ok_or_else(refused),
            Self::Boolean => land_boolean(input, rules).ok_or_else(refused),
            Self::Binary(length) => {
                let Input::Text(text) = input else {
                    return Err(refused());
                };
                let bytes = rules.binary.decode(text);
                let bytes = bytes.ok_or_else(|| RowError::not_binary(text, rules.binary))?;
                if bytes.len() > usize::try_from(length).unwrap_or(usize::MAX) {
                    return Err(RowError::bytes_too_long(bytes.len(), self));
                }
                Ok(Cell::Binary(bytes))
            }
            Self::Date => self.land_moment(input, |text| {
                let is_kept = rules.keeps(values.timestamp_as_date) || !text.contains(':');
                datetime::date(text).filter(|_| is_kept)
            }),
            Self::Time(digits) => self.land_moment(input, |text| {
                datetime::time(text, digits, rules.takes(values.time_with_offset))
            }),
            Self::TimestampNtz(digits) => self.land_moment(input, |text| {
                datetime::timestamp(text, digits, Zone::Without, rules.zone_of(text))
            }),
            Self::TimestampLtz(digits) => self.land_moment(input, |text| {
                datetime::timestamp(text, digits, Zone::Local, rules.zone_of(text))
            }),
            Self::TimestampTz(digits) => self.land_moment(input, |text| {
                datetime::timestamp(text, digits, Zone::With, rules.zone_of(text))
            }),
            Self::Variant => Ok(Cell::Json(match input {
                Input::Number(text) if values.variant_number == VariantNumber::Double => {
                    as_double(text).ok_or_else(refused)?
                }
                _ => input.to_json(),
            })),
            Self::Object => match input {
                Input::Nested(text) if text.starts_with('{') => Ok(Cell::Json(text.to_string())),
                Input::Text(text)
                    if !rules.is_cast && values.text_as_object == TextAsObject::Parse =>
                {
                    json_in(text, '{').ok_or_else(refused)
                }
                _ => Err(refused()),
            },
            Self::Array => match input {
                Input::Nested(text) if text.starts_with('[') => Ok(Cell::Json(text.to_string())),
                Input::Text(text)
                    if !rules.is_cast && values.text_as_array == TextAsArray::Parse =>
                {
                    json_in(text, '[').ok_or_else(refused)
                }
                // TO_ARRAY makes an array of any value; of a default pipe it is known of strings alone.
                _ if rules.is_cast
                    || matches!(input, Input::Text(_))
                    || values.value_as_array == ValueAsArray::Wrap =>
                {
                    Ok(Cell::Json(format!("[{}]", input.to_json())))
                }
                _ => Err(refused()),
            },
        }
    }

    fn land_moment(
        self,
        input: &Input<'_>,
        read: impl Fn(&str) -> Option<String>,
    ) -> Result<Cell, RowError> {
        let text = match input {
            Input::Text(text) | Input::Number(text) => read(text),
            _ => None,
        };
        text.map(Cell::Text)
            .ok_or_else(|| RowError::refused(input, self))
    }
}

/// Text for VARCHAR; `None` where the value has no text form.
fn land_text(input: &Input<'_>, length: u32) -> Option<Result<Cell, RowError>> {
    let text = match input {
        Input::Text(text) | Input::Number(text) => text.clone().into_owned(),
        Input::Boolean(value) => value.to_string(),
        Input::Nested(text) => compact(text),
        Input::Null => return None,
    };
    let limit = usize::try_from(length).unwrap_or(usize::MAX);
    // Counting characters is only needed where the bytes do not already settle it.
    Some(if text.len() > limit && text.chars().count() > limit {
        Err(RowError::too_long(&text))
    } else {
        Ok(Cell::Text(text))
    })
}

/// JSON text without the white space between its tokens.
pub(crate) fn compact(json: &str) -> String {
    let (mut is_text, mut is_escaped) = (false, false);
    let is_kept = |character: &char| {
        let is_kept = is_text || !character.is_ascii_whitespace();
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = is_text,
            '"' => is_text = !is_text,
            _ => {}
        }
        is_kept
    };
    json.chars().filter(is_kept).collect()
}

/// Whether a text is a number of any length.
pub(crate) fn is_number(text: &str) -> bool {
    let text = text.trim();
    // The words for what is no number parse as well.
    text.contains(|digit: char| digit.is_ascii_digit()) && text.parse::<f64>().is_ok()
}

/// A number, or one of the words for what is none.
fn land_float(input: &Input<'_>, rules: Rules) -> Option<Cell> {
    let value = match input {
        Input::Number(text) => text.parse().ok().filter(|value: &f64| value.is_finite())?,
        Input::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
            "nan" | "inf" | "infinity" | "-inf" | "-infinity"
                if !rules.keeps(rules.values.float_words) =>
            {
                return None;
            }
            "nan" => f64::NAN,
            "inf" | "infinity" => f64::INFINITY,
            "-inf" | "-infinity" => f64::NEG_INFINITY,
            number => number
                .parse()
                .ok()
                .filter(|value: &f64| value.is_finite())?,
        },
        Input::Null | Input::Boolean(_) | Input::Nested(_) => return None,
    };
    Some(Cell::Float(value))
}

fn land_boolean(input: &Input<'_>, rules: Rules) -> Option<Cell> {
    let value = match input {
        Input::Boolean(value) => *value,
        Input::Number(text) if rules.takes(rules.values.number_as_boolean) => {
            text.parse::<f64>().ok()? != 0.0
        }
        Input::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "on" | "1" => true,
            "false" | "f" | "no" | "n" | "off" | "0" => false,
            _ => return None,
        },
        Input::Null | Input::Number(_) | Input::Nested(_) => return None,
    };
    Some(Cell::Boolean(value))
}

/// The object or array that a string holds as JSON text, by the character that it starts with.
fn json_in(text: &str, start: char) -> Option<Cell> {
    let raw: &RawValue = serde_json::from_str(text).ok()?;
    let json = raw.get();
    json.starts_with(start).then(|| Cell::Json(json.to_owned()))
}

/// A JSON number as a double writes it. A whole one has no fraction.
fn as_double(text: &str) -> Option<String> {
    let value: f64 = text.parse().ok()?;
    let value = serde_json::Number::from_f64(value)?.to_string();
    Some(value.strip_suffix(".0").unwrap_or(&value).to_owned())
}

#[cfg(test)]
#[path = "coercion_tests.rs"]
mod tests;
