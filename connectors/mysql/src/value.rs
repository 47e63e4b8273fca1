//! A value on its way from the database to Snowflake, and a row of them.

use std::sync::Arc;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::schema::Table;

/// A value as it is sent. Pages and the binary log give the same value for the same content of a column.
#[derive(Debug, Clone)]
pub enum Value {
    /// The value is null.
    Null,
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    UInt(u64),
    /// A number of single precision.
    Float(f32),
    /// A number of double precision.
    Double(f64),
    /// Text, and whatever JSON has no exact form for: decimals, dates, times.
    Text(String),
    /// JSON, as it was written.
    Json(Box<RawValue>),
    /// Sent in hexadecimal, for a column of type VARCHAR: a default pipe reads BINARY from base64.
    Bytes(Vec<u8>),
}

/// A row of a table, which is sent as an object with a field for each column.
#[derive(Debug, Clone)]
pub struct Row {
    /// The table.
    pub table: Arc<Table>,
    /// One for each column of the table, in its order.
    pub values: Vec<Value>,
}

impl Row {
    /// A column of the key without a value, because its zero date became null. Several rows would have the same key.
    pub fn null_in_key(&self) -> Option<&str> {
        let mut key = self.table.key.iter();
        let null = key.find(|at| matches!(self.values.get(**at), Some(Value::Null)));
        let column = null.and_then(|at| self.table.columns.get(*at));
        column.map(|column| column.name.as_str())
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::UInt(value) => serializer.serialize_u64(*value),
            Self::Float(value) => serializer.serialize_f32(*value),
            Self::Double(value) => serializer.serialize_f64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Json(json) => json.serialize(serializer),
            Self::Bytes(bytes) => serializer.serialize_str(&hex::encode_upper(bytes)),
        }
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        for (column, value) in self.table.columns.iter().zip(&self.values) {
            // An explicit null is a JSON null in a column of type VARIANT, which is a value.
            if !(matches!(value, Value::Null) && column.data_type == "json") {
                object.serialize_entry(&column.name, value)?;
            }
        }
        object.end()
    }
}
