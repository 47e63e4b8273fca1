//! Property tests of rows: any value becomes one line of JSON, or is refused and leaves the buffer unchanged.

use proptest::prelude::*;
use serde_json::Value;

use super::{RowBatch, encode};
use crate::base::mutated::mutated;
use crate::base::options::{Encoding, Keys, Nulls};

/// Any value of serde's data model, including floats that JSON does not have.
#[derive(Debug, Clone)]
enum AnyValue {
    Null,
    Number(f64),
    Integer(i128),
    Text(String),
    Bytes(Vec<u8>),
    Raw(Value),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

impl serde::Serialize for AnyValue {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_none(),
            Self::Number(number) => serializer.serialize_f64(*number),
            Self::Integer(number) => serializer.serialize_i128(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Self::Raw(value) => {
                let pretty = serde_json::to_string_pretty(value).unwrap();
                serde_json::value::RawValue::from_string(pretty)
                    .unwrap()
                    .serialize(serializer)
            }
            Self::List(items) => serializer.collect_seq(items),
            Self::Map(fields) => serializer.collect_map(fields.iter().map(|(k, v)| (k, v))),
        }
    }
}

fn any_value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        Just(AnyValue::Null),
        any::<f64>().prop_map(AnyValue::Number),
        any::<i128>().prop_map(AnyValue::Integer),
        any::<String>().prop_map(AnyValue::Text),
        any::<Vec<u8>>().prop_map(AnyValue::Bytes),
        any::<(String, i64)>()
            .prop_map(|(key, n)| AnyValue::Raw(serde_json::json!({ key: [n, null] }))),
    ];
    leaf.prop_recursive(6, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(AnyValue::List),
            prop::collection::vec((any::<String>(), inner), 0..4).prop_map(AnyValue::Map),
        ]
    })
}

proptest! {
    #[test]
    fn a_row_is_one_line_of_json_or_refused(row in any_value(), omit: bool, upper: bool) {
        let nulls = if omit { Nulls::Omit } else { Nulls::Send };
        let keys = if upper { Keys::Uppercase } else { Keys::AsIs };
        let mut out = b"before\n".to_vec();
        let result = encode(&row, Encoding { nulls, keys }, &mut out);
        let line = out.strip_prefix(b"before\n").unwrap();
        if result.is_ok() {
            prop_assert_eq!(line.iter().position(|b| *b == b'\n'), Some(line.len() - 1));
            prop_assert!(serde_json::from_slice::<Value>(line).unwrap().is_object());
        } else {
            prop_assert_eq!(line, b"");
        }
    }

    #[test]
    fn almost_valid_lines_are_counted_or_refused(
        bytes in mutated(vec![b"{\"A\":1}\n{\"B\":[{\"c\":null}]}\n".to_vec(), b"\r\n{\"A\":-1.5e3}\r\n\n{}".to_vec()])
    ) {
        let batch = RowBatch::from_ndjson(bytes.clone());
        if let Ok(checked) = RowBatch::from_ndjson_checked(bytes) {
            let lines = checked.as_bytes().split(|b| *b == b'\n').filter(|line| !line.is_empty());
            for line in lines.clone() {
                serde_json::from_slice::<serde::de::IgnoredAny>(line).unwrap();
            }
            prop_assert_eq!(lines.count() as u64, checked.len());
            prop_assert_eq!(batch.unwrap(), checked);
        }
    }
}
