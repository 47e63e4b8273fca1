//! Dead letters: malformed records, and rows that the table rejected, as JSON objects in the lines of a file. They are kept at least
//! once; shard and sequence number are the key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;

use crate::sensor::Row;
use crate::sequence::Sequence;
use crate::stream::Record;

#[derive(Debug, Clone, Serialize)]
pub(crate) struct DeadLetter {
    /// `stream@created:shard`, or the object.
    pub(crate) origin: String,
    /// The sequence number, or the number of the record in the object.
    pub(crate) sequence: String,
    pub(crate) reason: String,
    /// The data of a malformed record: its text, or base64 in an object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<Value>,
    /// The row that was sent, of a record among which the table rejected some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) row: Option<Row>,
}

impl DeadLetter {
    pub(crate) fn malformed(origin: &str, record: &Record, reason: String) -> Self {
        let data = match std::str::from_utf8(&record.data) {
            Ok(text) => Value::String(text.to_owned()),
            Err(_) => serde_json::json!({ "base64": STANDARD.encode(&record.data) }),
        };
        Self {
            origin: origin.to_owned(),
            sequence: record.sequence.to_string(),
            reason,
            data: Some(data),
            row: None,
        }
    }

    pub(crate) fn rejected(origin: &str, sequence: String, reason: String, row: Row) -> Self {
        Self {
            origin: origin.to_owned(),
            sequence,
            reason,
            data: None,
            row: Some(row),
        }
    }
}

/// Which malformed records of a shard were kept already. Records are read again after a failure.
#[derive(Debug, Default)]
pub(crate) struct Kept(Option<Sequence>);

impl Kept {
    /// The records after the last one that was kept.
    pub(crate) fn is_new(&self, sequence: &Sequence) -> bool {
        self.0.as_ref().is_none_or(|last| last < sequence)
    }

    pub(crate) fn through(&mut self, sequence: Sequence) {
        self.0 = Some(sequence).max(self.0.take());
    }
}
