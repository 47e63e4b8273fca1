//! Why a row is rejected, in Snowflake's codes and words.

use std::borrow::Cow;
use std::fmt;

use super::binary::BinaryFormat;
use super::coercion::{DataType, Input};

/// Why a row is rejected: the first error that was found in it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RowError {
    /// Snowflake's code, such as `100038`.
    pub code: Cow<'static, str>,
    /// The SQLSTATE, such as `22018`.
    pub sql_state: Cow<'static, str>,
    /// What is wrong, with the value.
    pub message: String,
    /// The column whose value it is; none if the row as a whole is at fault.
    pub column: Option<String>,
}

impl RowError {
    pub(crate) fn new(
        code: impl Into<Cow<'static, str>>,
        sql_state: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code: code.into(),
            sql_state: sql_state.into(),
            message: message.into(),
            column: None,
        }
    }

    /// The same error, of this column.
    pub(crate) fn in_column(self, name: &str) -> Self {
        Self {
            column: Some(name.to_owned()),
            ..self
        }
    }

    pub(crate) fn json(why: impl fmt::Display) -> Self {
        Self::new("100069", "22P02", format!("Error parsing JSON: {why}"))
    }

    /// A key that the table has no column for.
    pub(crate) fn unknown_key(key: &str) -> Self {
        let message = format!("the table has no column {:?}", shortened(key));
        Self::new("100080", "22000", message)
    }

    pub(crate) fn null() -> Self {
        Self::new("100072", "22000", "NULL result in a non-nullable column")
    }

    pub(crate) fn too_long(text: &str) -> Self {
        let text = shortened(text);
        let message = format!("String '{text}' is too long and would be truncated");
        Self::new("100078", "22000", message)
    }

    pub(crate) fn bytes_too_long(count: usize, of: DataType) -> Self {
        let message = format!("{count} bytes are too long for {of} and would be truncated");
        Self::new("100078", "22000", message)
    }

    pub(crate) fn not_binary(text: &str, format: BinaryFormat) -> Self {
        let text = shortened(text);
        let message = format!("The following string is not a legal {format} value: '{text}'");
        Self::new("100115", "22000", message)
    }

    /// A number with more digits before the point than the column has.
    pub(crate) fn out_of_range(text: &str, of: DataType) -> Self {
        Self::not_cast(text, of)
    }

    /// A value that is none of a type.
    pub(crate) fn refused(input: &Input<'_>, of: DataType) -> Self {
        let (Input::Text(text), Some(what)) = (input, word(of)) else {
            return Self::not_cast(&input.to_json(), of);
        };
        let (code, sql_state) = unrecognized(of);
        let message = format!("{what} '{}' is not recognized", shortened(text));
        Self::new(code, sql_state, message)
    }

    fn not_cast(value: &str, of: DataType) -> Self {
        let value = shortened(value);
        let to = match of {
            DataType::Number { .. } => "FIXED".to_owned(),
            DataType::Float => "REAL".to_owned(),
            DataType::Varchar(_) => "TEXT".to_owned(),
            other => other.to_string(),
        };
        let message = format!("Failed to cast variant value {value} to {to}");
        Self::new("100071", "22000", message)
    }
}

impl fmt::Display for RowError {
    /// As the status of a channel shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.code, self.sql_state, self.message)?;
        match &self.column {
            Some(column) => write!(f, " (column {column})"),
            None => Ok(()),
        }
    }
}

/// The code and the SQLSTATE of a text that is no value of a type.
pub(crate) fn unrecognized(of: DataType) -> (&'static str, &'static str) {
    match of {
        DataType::Number { .. } | DataType::Float => ("100038", "22018"),
        DataType::Boolean => ("100037", "22018"),
        DataType::Binary(_) => ("100115", "22000"),
        DataType::Date => ("100040", "22007"),
        DataType::Time(_) => ("100108", "22007"),
        DataType::TimestampNtz(_) | DataType::TimestampLtz(_) | DataType::TimestampTz(_) => {
            ("100035", "22007")
        }
        DataType::Varchar(_) | DataType::Variant | DataType::Object | DataType::Array => {
            ("100071", "22000")
        }
    }
}

/// How the message on an unrecognized text begins.
fn word(of: DataType) -> Option<&'static str> {
    match of {
        DataType::Number { .. } | DataType::Float => Some("Numeric value"),
        DataType::Boolean => Some("Boolean value"),
        DataType::Date => Some("Date"),
        DataType::Time(_) => Some("Time"),
        DataType::TimestampNtz(_) | DataType::TimestampLtz(_) | DataType::TimestampTz(_) => {
            Some("Timestamp")
        }
        DataType::Varchar(_)
        | DataType::Binary(_)
        | DataType::Variant
        | DataType::Object
        | DataType::Array => None,
    }
}

/// A value as a message shows it.
fn shortened(text: &str) -> Cow<'_, str> {
    const MOST: usize = 100;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()).into(),
        None => text.into(),
    }
}
