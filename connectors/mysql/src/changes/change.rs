//! A change of a row, as it is sent.

use std::sync::Arc;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use snowpipe_streaming::ingest::Pair;

use super::place::Offset;
use crate::schema::Table;
use crate::value::{Row, Value};

/// The columns that a change has besides its table's.
pub const COLUMNS: [(&str, &str); 6] = [
    ("CDC_OP", "VARCHAR(1)"),
    ("CDC_FILE", "NUMBER(20,0)"),
    ("CDC_POSITION", "NUMBER(20,0)"),
    ("CDC_ROW", "NUMBER(20,0)"),
    ("CDC_COMMITTED_AT", "TIMESTAMP_TZ(0)"),
    ("CDC_BEFORE", "VARIANT"),
];

/// What happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Operation {
    /// The row is new.
    #[serde(rename = "I")]
    Insert,
    /// The row has other values, and the same key.
    #[serde(rename = "U")]
    Update,
    /// The row is gone.
    #[serde(rename = "D")]
    Delete,
}

/// A change of a row. An update that changes the primary key is two: the old key is deleted and the new one inserted.
#[derive(Debug, Clone)]
pub struct Change {
    /// What happened to the row.
    pub operation: Operation,
    /// Where it is in the log.
    pub offset: Offset,
    /// When the transaction was committed, in UTC.
    pub committed_at: Arc<str>,
    /// The row after the change; a deleted row as it was.
    pub row: Row,
    /// The row before an update, if that was asked for.
    pub before: Option<Row>,
}

impl Change {
    /// How much memory the values need, roughly.
    pub fn weight(&self) -> usize {
        let rows = [Some(&self.row), self.before.as_ref()];
        let values = rows.into_iter().flatten().flat_map(|row| &row.values);
        values.map(weight).sum()
    }
}

fn weight(value: &Value) -> usize {
    let content = match value {
        Value::Text(text) => text.len(),
        Value::Json(json) => json.get().len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Null | Value::Int(_) | Value::UInt(_) | Value::Float(_) | Value::Double(_) => 0,
    };
    content.saturating_add(size_of::<Value>())
}

impl Serialize for Change {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        for (column, value) in self.row.table.columns.iter().zip(&self.row.values) {
            // An explicit null is a JSON null in a column of type VARIANT, which is a value.
            if !(matches!(value, Value::Null) && column.data_type == "json") {
                object.serialize_entry(&column.name, value)?;
            }
        }
        let Pair(file, Pair(position, row)) = self.offset;
        object.serialize_entry("CDC_OP", &self.operation)?;
        object.serialize_entry("CDC_FILE", &file)?;
        object.serialize_entry("CDC_POSITION", &position)?;
        object.serialize_entry("CDC_ROW", &row)?;
        object.serialize_entry("CDC_COMMITTED_AT", &*self.committed_at)?;
        if let Some(before) = &self.before {
            object.serialize_entry("CDC_BEFORE", before)?;
        }
        object.end()
    }
}

/// A column of the table that has the name of a column that a change adds.
pub(super) fn clash(table: &Table) -> Option<&str> {
    let is_taken = |name: &str| {
        COLUMNS
            .iter()
            .any(|(taken, _)| taken.eq_ignore_ascii_case(name))
    };
    let mut names = table.columns.iter().map(|column| column.name.as_str());
    names.find(|name| is_taken(name))
}
