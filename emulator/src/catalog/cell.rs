//! The value of a column in a row.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// The value of a column in a row, in the form in which it is stored.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Cell {
    /// SQL NULL.
    Null,
    /// BOOLEAN.
    Boolean(bool),
    /// A NUMBER without a fraction that fits.
    Integer(i64),
    /// FLOAT.
    Float(f64),
    /// Text, and what is stored as sortable text: VARCHAR, wide or scaled NUMBER, DATE, TIME, TIMESTAMP.
    Text(String),
    /// VARIANT, OBJECT and ARRAY as JSON text; the four letters `null` are a VARIANT null.
    Json(String),
    /// BINARY.
    Binary(Vec<u8>),
}

impl Cell {
    /// The value as JSON; binary as base64.
    pub(crate) fn into_json(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Boolean(truth) => Value::from(truth),
            Self::Integer(number) => Value::from(number),
            Self::Float(number) if number.is_finite() => Value::from(number),
            // JSON has no such numbers. These are the words of the SQL API: NaN, inf, -inf.
            Self::Float(number) => Value::from(number.to_string()),
            Self::Json(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
            Self::Text(text) => Value::String(text),
            Self::Binary(bytes) => Value::String(STANDARD.encode(bytes)),
        }
    }

    /// How many bytes the value has.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Text(text) | Self::Json(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
            Self::Null | Self::Boolean(_) | Self::Integer(_) | Self::Float(_) => 8,
        }
    }
}
