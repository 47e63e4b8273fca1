//! A landed value.

/// One landed value, in the form a landing keeps it in.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// SQL NULL.
    Null,
    /// BOOLEAN.
    Boolean(bool),
    /// A NUMBER without a fraction that fits.
    Integer(i64),
    /// FLOAT.
    Float(f64),
    /// Text, and everything that is kept as sortable text: VARCHAR, wide or scaled NUMBER, DATE, TIME, TIMESTAMP.
    Text(String),
    /// VARIANT, OBJECT and ARRAY as JSON text; the four letters `null` are a VARIANT null.
    Json(String),
    /// BINARY.
    Binary(Vec<u8>),
}

impl Cell {
    /// How many bytes its value has.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Text(text) | Self::Json(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
            Self::Null | Self::Boolean(_) | Self::Integer(_) | Self::Float(_) => 8,
        }
    }
}
