//! The rows of records: their JSON as columns, or the two columns that Snowflake's Kafka connector writes.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rdkafka::message::Headers;
use rdkafka::{Message, Timestamp};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use crate::cli::{Format, Tombstones};

/// The longest row that fits into a request, uncompressed.
const MAX_ROW: usize = 16 << 20;
const METADATA: &str = "RECORD_METADATA";

/// A row as JSON text: an object with a field for each column.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub(crate) struct Row(pub(crate) Box<RawValue>);

/// What becomes of a record.
#[derive(Debug)]
pub(crate) enum Decoded {
    Row(Row),
    /// A tombstone that is not wanted.
    Skipped,
    /// Its value is not what the format needs, for this reason.
    Undecodable(String),
}

/// How records become rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) format: Format,
    pub(crate) with_metadata: bool,
    pub(crate) with_key: bool,
    pub(crate) with_headers: bool,
    pub(crate) tombstones: Tombstones,
}

#[derive(Serialize)]
struct Record<'a> {
    #[serde(rename = "RECORD_CONTENT")]
    content: Option<&'a RawValue>,
    #[serde(rename = "RECORD_METADATA")]
    metadata: Metadata<'a>,
}

/// The column of a tombstone in the format of columns.
#[derive(Serialize)]
struct Bare<'a> {
    #[serde(rename = "RECORD_METADATA")]
    metadata: Metadata<'a>,
}

/// The fields that Snowflake's connector writes, under its names.
#[derive(Serialize)]
struct Metadata<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    #[serde(rename = "CreateTime", skip_serializing_if = "Option::is_none")]
    create_time: Option<i64>,
    #[serde(rename = "LogAppendTime", skip_serializing_if = "Option::is_none")]
    log_append_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tombstone: Option<bool>,
}

impl Layout {
    /// The row of a record, if it has one.
    pub(crate) fn decode(self, record: &impl Message) -> Decoded {
        match self.try_decode(record) {
            Ok(Some(row)) => Decoded::Row(Row(row)),
            Ok(None) => Decoded::Skipped,
            Err(error) => Decoded::Undecodable(error.to_string()),
        }
    }

    fn try_decode(self, record: &impl Message) -> Result<Option<Box<RawValue>>, Undecodable> {
        let Some(payload) = record.payload() else {
            return match (self.tombstones, self.format) {
                (Tombstones::Skip, _) => Ok(None),
                (Tombstones::Row, Format::Columns) => {
                    let metadata = self.metadata(record);
                    Ok(Some(to_raw_value(&Bare { metadata })?))
                }
                (Tombstones::Row, Format::Record) => Ok(Some(to_raw_value(&Record {
                    content: None,
                    metadata: self.metadata(record),
                })?)),
            };
        };
        let value: &RawValue = serde_json::from_slice(payload)?;
        let row = match self.format {
            Format::Record => to_raw_value(&Record {
                content: Some(value),
                metadata: self.metadata(record),
            })?,
            Format::Columns => {
                // A raw value has no spaces around it, and was parsed.
                let Some(fields) = value.get().strip_prefix('{') else {
                    return Err(Undecodable::NoObject);
                };
                if self.with_metadata {
                    if has_metadata(value.get()) {
                        return Err(Undecodable::Metadata);
                    }
                    let metadata = to_raw_value(&self.metadata(record))?;
                    let comma = if fields.trim_start() == "}" { "" } else { "," };
                    let text = format!("{{\"RECORD_METADATA\":{metadata}{comma}{fields}");
                    RawValue::from_string(text)?
                } else {
                    value.to_owned()
                }
            }
        };
        if row.get().len() > MAX_ROW {
            return Err(Undecodable::TooLong(row.get().len()));
        }
        Ok(Some(row))
    }

    fn metadata(self, record: &impl Message) -> Metadata<'_> {
        let is_tombstone = record.payload().is_none();
        let (create_time, log_append_time) = match record.timestamp() {
            Timestamp::NotAvailable => (None, None),
            Timestamp::CreateTime(at) => (Some(at), None),
            Timestamp::LogAppendTime(at) => (None, Some(at)),
        };
        // Without its key, a tombstone says nothing.
        let key = record.key().filter(|_| self.with_key || is_tombstone);
        let headers = record.headers().filter(|_| self.with_headers);
        Metadata {
            topic: record.topic(),
            partition: record.partition(),
            offset: record.offset(),
            create_time,
            log_append_time,
            key: key.map(text_or_base64),
            headers: headers.map(header_fields),
            tombstone: is_tombstone.then_some(true),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Undecodable {
    #[error("the value is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the value is JSON, but not an object, so it has no columns")]
    NoObject,
    #[error("the value has a field RECORD_METADATA, which is the column of the record's metadata")]
    Metadata,
    #[error("the row has {0} bytes, and a request has room for {MAX_ROW}")]
    TooLong(usize),
}

/// Whether an object has a field of the name that the metadata takes.
fn has_metadata(object: &str) -> bool {
    // Few values contain the text at all, and only those are parsed again. A name can be written with escapes.
    (object.contains(METADATA) || object.contains("\\u"))
        && serde_json::from_str::<Map<String, Value>>(object)
            .is_ok_and(|fields| fields.contains_key(METADATA))
}

/// A header that occurs several times has an array of its values.
fn header_fields(headers: &impl Headers) -> Map<String, Value> {
    let mut fields = Map::new();
    for header in headers.iter() {
        let value = header.value.map_or(Value::Null, text_or_base64);
        match fields.get_mut(header.key) {
            None => {
                fields.insert(header.key.to_owned(), value);
            }
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    fields
}

/// Bytes as text, if they are UTF-8, and else as an object with the field `base64`.
pub(crate) fn text_or_base64(bytes: &[u8]) -> Value {
    match String::from_utf8_lossy(bytes) {
        Cow::Borrowed(text) => Value::from(text),
        Cow::Owned(_) => serde_json::json!({ "base64": STANDARD.encode(bytes) }),
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};
    use serde_json::json;

    use super::*;

    const LAYOUT: Layout = Layout {
        format: Format::Columns,
        with_metadata: false,
        with_key: false,
        with_headers: false,
        tombstones: Tombstones::Row,
    };

    fn record(payload: Option<&[u8]>) -> OwnedMessage {
        let headers = OwnedHeaders::new();
        let headers = ["a", "b", "c"].iter().fold(headers, |headers, value| {
            headers.insert(Header {
                key: if *value == "c" { "once" } else { "twice" },
                value: Some(*value),
            })
        });
        OwnedMessage::new(
            payload.map(<[u8]>::to_vec),
            Some(b"pass-7".to_vec()),
            "rides".to_owned(),
            Timestamp::CreateTime(1_700_000_000_000),
            3,
            41,
            Some(headers),
        )
    }

    fn row(layout: Layout, payload: Option<&[u8]>) -> Value {
        match layout.decode(&record(payload)) {
            Decoded::Row(Row(row)) => serde_json::from_str(row.get()).unwrap_or_default(),
            other => json!(format!("{other:?}")),
        }
    }

    fn metadata() -> Value {
        json!({ "topic": "rides", "partition": 3, "offset": 41, "CreateTime": 1_700_000_000_000_i64 })
    }

    #[test]
    fn the_fields_of_a_value_are_columns() {
        let value = br#" {"RIDE_ID": 7, "LIFT": "North"} "#;
        assert_eq!(
            row(LAYOUT, Some(value)),
            json!({ "RIDE_ID": 7, "LIFT": "North" })
        );
        let layout = Layout {
            with_metadata: true,
            ..LAYOUT
        };
        let expected = json!({ "RIDE_ID": 7, "LIFT": "North", "RECORD_METADATA": metadata() });
        assert_eq!(row(layout, Some(value)), expected);
        for empty in ["{}", "{ }"] {
            let expected = json!({ "RECORD_METADATA": metadata() });
            assert_eq!(row(layout, Some(empty.as_bytes())), expected);
        }
    }

    #[test]
    fn a_record_has_the_two_columns_of_the_connector() {
        let layout = Layout {
            format: Format::Record,
            with_key: true,
            with_headers: true,
            ..LAYOUT
        };
        let mut expected = metadata();
        expected["key"] = json!("pass-7");
        expected["headers"] = json!({ "twice": ["a", "b"], "once": "c" });
        for content in [json!({ "a": [1] }), json!([1, 2]), json!("text"), json!(4)] {
            assert_eq!(
                row(layout, Some(content.to_string().as_bytes())),
                json!({ "RECORD_CONTENT": content, "RECORD_METADATA": expected })
            );
        }
    }

    #[test]
    fn a_tombstone_is_a_row_with_its_key_or_nothing() {
        let mut expected = metadata();
        expected["key"] = json!("pass-7");
        expected["tombstone"] = json!(true);
        assert_eq!(row(LAYOUT, None), json!({ "RECORD_METADATA": expected }));
        let record_format = Layout {
            format: Format::Record,
            ..LAYOUT
        };
        assert_eq!(
            row(record_format, None),
            json!({ "RECORD_CONTENT": null, "RECORD_METADATA": expected })
        );
        let layout = Layout {
            tombstones: Tombstones::Skip,
            ..LAYOUT
        };
        assert_eq!(row(layout, None), json!("Skipped"));
    }

    #[test]
    fn what_is_not_json_is_undecodable() {
        for (payload, reason) in [
            (&b"{\"a\":1"[..], "not JSON"),
            (b"", "not JSON"),
            (b"{\"a\":1} {}", "not JSON"),
            (b"{\"a\":\"\xff\"}", "not JSON"),
            (b"[1]", "not an object"),
            (b"null", "not an object"),
        ] {
            let row = row(LAYOUT, Some(payload)).to_string();
            assert!(row.contains("Undecodable") && row.contains(reason), "{row}");
        }
    }

    #[test]
    fn the_field_of_the_metadata_is_not_written_twice() {
        let layout = Layout {
            with_metadata: true,
            ..LAYOUT
        };
        for (value, is_taken) in [
            (r#"{"RECORD_METADATA":1}"#, true),
            (r#"{"RECORD\u005fMETADATA":1}"#, true),
            (r#"{"A":"RECORD_METADATA"}"#, false),
            (r#"{"A":{"RECORD_METADATA":1}}"#, false),
        ] {
            let text = row(layout, Some(value.as_bytes())).to_string();
            assert_eq!(text.contains("Undecodable"), is_taken, "{text}");
        }
    }

    #[test]
    fn a_row_that_no_request_can_have_is_undecodable() {
        let value = format!("{{\"A\":\"{}\"}}", "x".repeat(MAX_ROW));
        let text = row(LAYOUT, Some(value.as_bytes())).to_string();
        assert!(
            text.contains("Undecodable") && text.contains("16777216"),
            "{text}"
        );
    }

    #[test]
    fn bytes_that_are_not_text_are_kept() {
        assert_eq!(text_or_base64(b"\xff\x00"), json!({ "base64": "/wA=" }));
    }
}
