//! Rows: values that serialize to JSON objects, encoded as NDJSON and checked before they are buffered.

mod builder;
mod columns;
mod largest;
mod ndjson;
mod null;
mod row;
mod strict;

use bytes::Bytes;
use memchr::memchr;
use serde::Serialize;
use serde_json::value::RawValue;

pub use self::builder::RowBatchBuilder;
pub use self::columns::Columns;
pub(crate) use self::columns::lowercase_key;
pub(crate) use self::largest::largest_value;
pub use self::ndjson::IntoNdjson;

use crate::base::options::Encoding;
use crate::types::error::{Error, ErrorKind, Result};

/// Appends `row` to `out` as one line of NDJSON. On an error `out` is unchanged.
pub(crate) fn encode<R: Serialize + ?Sized>(
    row: &R,
    encoding: Encoding,
    out: &mut Vec<u8>,
) -> Result<()> {
    let start = out.len();
    let mut json = serde_json::Serializer::new(&mut *out);
    let written = row.serialize(row::Row::new(&mut json, encoding));
    let problem = match written {
        Ok(()) if out.get(start) == Some(&b'{') => {
            // Only a `RawValue` contains line ends, and only between JSON tokens.
            let line = out.get_mut(start..).unwrap_or_default();
            if memchr(b'\n', line).is_some() {
                line.iter_mut()
                    .filter(|b| **b == b'\n')
                    .for_each(|b| *b = b' ');
            }
            out.push(b'\n');
            return Ok(());
        }
        Ok(()) => Error::new(ErrorKind::InvalidRow, row::NOT_AN_OBJECT),
        Err(error) => Error::new(
            ErrorKind::InvalidRow,
            format!("the row cannot be sent: {error}"),
        )
        .with_source(error),
    };
    out.truncate(start);
    Err(problem)
}

/// Parses a row of JSON bytes for [`encode`].
pub(crate) fn json(bytes: &[u8]) -> Result<&RawValue> {
    serde_json::from_slice(bytes).map_err(|error| {
        Error::new(
            ErrorKind::InvalidRow,
            format!("the row cannot be sent: it is not valid JSON: {error}"),
        )
        .with_source(error)
    })
}

/// Rows as NDJSON bytes: one JSON object per line. Cheap to clone.
///
/// ```
/// use snowpipe_streaming::RowBatch;
/// let rows = RowBatch::from_ndjson("{\"A\":1}\n{\"A\":2}\n")?;
/// assert_eq!(rows.len(), 2);
/// assert!(RowBatch::from_ndjson("[1,2]\n").is_err());
/// # Ok::<(), snowpipe_streaming::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowBatch {
    bytes: Bytes,
    rows: u64,
}

impl RowBatch {
    /// Creates a builder that adds rows one by one.
    pub fn builder() -> RowBatchBuilder {
        RowBatchBuilder::default()
    }

    /// Creates a batch from NDJSON without parsing it. The bytes must be UTF-8, and each line must begin with `{` and end with
    /// `}`. Blank lines are dropped. A line that is not valid JSON is sent; the server rejects and counts it, and a
    /// [`RejectWindow`](crate::RejectWindow) reports it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRow`] for a line that is not a row; the error names the line.
    pub fn from_ndjson(ndjson: impl IntoNdjson) -> Result<Self> {
        Self::read(ndjson.into_ndjson(), |_| Ok(()))
    }

    /// Like [`from_ndjson`](Self::from_ndjson), and parses each line, so that only valid JSON objects are sent.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRow`] for a line that is not a row; the error names the line.
    pub fn from_ndjson_checked(ndjson: impl IntoNdjson) -> Result<Self> {
        Self::read(ndjson.into_ndjson(), |line| {
            serde_json::from_str::<serde::de::IgnoredAny>(line).map(|_| ())
        })
    }

    fn read(bytes: Bytes, check: impl Fn(&str) -> serde_json::Result<()>) -> Result<Self> {
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            let line = bytes
                .iter()
                .take(error.valid_up_to())
                .filter(|b| **b == b'\n')
                .count()
                + 1;
            bad_line(line, "it is not UTF-8")
        })?;
        let mut rows = 0;
        let mut is_clean = text.is_empty() || text.ends_with('\n');
        for (i, line) in text.split_terminator('\n').enumerate() {
            let row = line.trim_matches([' ', '\t', '\r']);
            if row.is_empty() {
                is_clean = false;
                continue;
            }
            if !(row.starts_with('{') && row.ends_with('}')) {
                return Err(bad_line(
                    i + 1,
                    "it is not a JSON object; each line must be `{…}`",
                ));
            }
            check(row)
                .map_err(|error| bad_line(i + 1, "it is not valid JSON").with_source(error))?;
            rows += 1;
        }
        let bytes = if is_clean {
            bytes
        } else {
            let mut clean = String::with_capacity(text.len() + 1);
            for line in text
                .split_terminator('\n')
                .filter(|l| !l.trim_matches([' ', '\t', '\r']).is_empty())
            {
                clean.push_str(line);
                clean.push('\n');
            }
            Bytes::from(clean)
        };
        Ok(Self { bytes, rows })
    }

    /// The number of rows.
    pub fn len(&self) -> u64 {
        self.rows
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The rows' bytes, shared without a copy.
    pub(crate) fn to_bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// The rows' bytes, each line ended by a newline.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn bad_line(line: usize, why: &str) -> Error {
    Error::new(
        ErrorKind::InvalidRow,
        format!("line {line} of the batch cannot be sent: {why}"),
    )
}

#[cfg(test)]
mod hostile;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::base::options::{Keys, Nulls};

    fn encoded<R: Serialize + ?Sized>(row: &R, nulls: Nulls) -> Result<String> {
        let mut out = b"before\n".to_vec();
        let encoding = Encoding {
            nulls,
            ..Encoding::default()
        };
        let result = encode(row, encoding, &mut out);
        let text = String::from_utf8(out).unwrap();
        let rest = text.strip_prefix("before\n").unwrap().to_owned();
        match result {
            Ok(()) => Ok(rest),
            Err(error) => {
                assert_eq!(rest, "", "a refused row leaves the buffer unchanged");
                Err(error)
            }
        }
    }

    #[derive(Serialize)]
    struct Ride<'a> {
        #[serde(rename = "LIFT")]
        lift: &'a str,
        #[serde(rename = "DAY")]
        day: Option<u8>,
        nested: Vec<Option<u8>>,
    }

    #[test]
    fn a_row_is_one_line() {
        let ride = Ride {
            lift: "A\nB",
            day: Some(2),
            nested: vec![None, Some(1)],
        };
        assert_eq!(
            encoded(&ride, Nulls::Send).unwrap(),
            "{\"LIFT\":\"A\\nB\",\"DAY\":2,\"nested\":[null,1]}\n"
        );
    }

    #[test]
    fn only_top_level_nulls_are_omitted() {
        let ride = Ride {
            lift: "A",
            day: None,
            nested: vec![None],
        };
        assert_eq!(
            encoded(&ride, Nulls::Send).unwrap(),
            "{\"LIFT\":\"A\",\"DAY\":null,\"nested\":[null]}\n"
        );
        assert_eq!(
            encoded(&ride, Nulls::Omit).unwrap(),
            "{\"LIFT\":\"A\",\"nested\":[null]}\n"
        );
        let value = serde_json::json!({"A": null, "B": {"C": null}});
        assert_eq!(
            encoded(&value, Nulls::Omit).unwrap(),
            "{\"B\":{\"C\":null}}\n"
        );
        let map = BTreeMap::from([(1, None), (2, Some("x"))]);
        assert_eq!(encoded(&map, Nulls::Omit).unwrap(), "{\"2\":\"x\"}\n");
    }

    #[test]
    fn nulls_of_flattened_structs_are_omitted() {
        #[derive(Serialize)]
        struct Outer {
            id: u8,
            #[serde(flatten)]
            rest: BTreeMap<String, Option<u8>>,
        }
        let row = Outer {
            id: 1,
            rest: BTreeMap::from([("a".into(), None), ("b".into(), Some(2))]),
        };
        assert_eq!(encoded(&row, Nulls::Omit).unwrap(), "{\"id\":1,\"b\":2}\n");
        assert_eq!(
            encoded(&row, Nulls::Send).unwrap(),
            "{\"id\":1,\"a\":null,\"b\":2}\n"
        );
    }

    #[test]
    fn top_level_keys_are_written_in_upper_case() {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Inner {
            lift_day: u8,
        }
        #[derive(Serialize)]
        struct Outer {
            id: Option<u8>,
            nested: Inner,
            #[serde(flatten)]
            rest: BTreeMap<String, u8>,
        }
        #[derive(Serialize)]
        struct Plain<'a> {
            id: Option<u8>,
            #[serde(skip_serializing_if = "str::is_empty")]
            lift: &'a str,
            größe: u8,
        }
        let upper = |row: &dyn Fn(&mut Vec<u8>, Encoding) -> Result<()>, nulls| {
            let mut out = Vec::new();
            let keys = Keys::Uppercase;
            row(&mut out, Encoding { nulls, keys }).map(|()| String::from_utf8(out).unwrap())
        };
        let outer = Outer {
            id: None,
            nested: Inner { lift_day: 2 },
            rest: BTreeMap::from([("a b".into(), 1)]),
        };
        let of_outer = |out: &mut Vec<u8>, e| encode(&outer, e, out);
        assert_eq!(
            upper(&of_outer, Nulls::Send).unwrap(),
            "{\"ID\":null,\"NESTED\":{\"liftDay\":2},\"A B\":1}\n"
        );
        assert_eq!(
            upper(&of_outer, Nulls::Omit).unwrap(),
            "{\"NESTED\":{\"liftDay\":2},\"A B\":1}\n"
        );
        let plain = Plain {
            id: None,
            lift: "",
            größe: 3,
        };
        let of_plain = |out: &mut Vec<u8>, e| encode(&plain, e, out);
        assert_eq!(
            upper(&of_plain, Nulls::Send).unwrap(),
            "{\"ID\":null,\"GRößE\":3}\n"
        );
        assert_eq!(upper(&of_plain, Nulls::Omit).unwrap(), "{\"GRößE\":3}\n");
        // JSON keeps its keys, and so does a key that is no text.
        let raw = json(b"{\"a\": 1}").unwrap();
        let of_raw = |out: &mut Vec<u8>, e| encode(raw, e, out);
        assert_eq!(upper(&of_raw, Nulls::Send).unwrap(), "{\"a\": 1}\n");
        let numbers = BTreeMap::from([(1, 2)]);
        let of_numbers = |out: &mut Vec<u8>, e| encode(&numbers, e, out);
        assert_eq!(upper(&of_numbers, Nulls::Send).unwrap(), "{\"1\":2}\n");
        let twice = serde_json::json!({ "id": 1, "ID": 2 });
        let of_twice = |out: &mut Vec<u8>, e| encode(&twice, e, out);
        let error = upper(&of_twice, Nulls::Send).unwrap_err();
        assert!(
            error.to_string().contains("two of its keys are \"ID\""),
            "{error}"
        );
    }

    #[test]
    fn only_objects_are_rows() {
        for error in [
            encoded(&[1, 2], Nulls::Send).unwrap_err(),
            encoded("text", Nulls::Send).unwrap_err(),
            encoded(&7, Nulls::Send).unwrap_err(),
            encoded(&None::<u8>, Nulls::Omit).unwrap_err(),
            encoded(&(), Nulls::Send).unwrap_err(),
            encoded(
                &serde_json::value::RawValue::from_string("[1]".into()).unwrap(),
                Nulls::Send,
            )
            .unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidRow);
            assert!(error.to_string().contains("not a JSON object"), "{error}");
        }
        assert_eq!(
            encoded(&Some(BTreeMap::from([("a", 1)])), Nulls::Send).unwrap(),
            "{\"a\":1}\n"
        );
        let raw = serde_json::value::RawValue::from_string("{\"a\": 1}".into()).unwrap();
        assert_eq!(encoded(&raw, Nulls::Omit).unwrap(), "{\"a\": 1}\n");
    }

    #[test]
    fn a_nan_is_refused_at_any_depth() {
        #[derive(Serialize)]
        struct Deep {
            list: Vec<Option<BTreeMap<&'static str, (u8, f32)>>>,
        }
        let deep = Deep {
            list: vec![None, Some(BTreeMap::from([("x", (1, f32::INFINITY))]))],
        };
        for error in [
            encoded(&BTreeMap::from([("A", f64::NAN)]), Nulls::Send).unwrap_err(),
            encoded(&BTreeMap::from([("A", f64::NAN)]), Nulls::Omit).unwrap_err(),
            encoded(&deep, Nulls::Send).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidRow);
            assert!(error.to_string().contains("not a finite number"), "{error}");
        }
        assert_eq!(
            encoded(&BTreeMap::from([("A", 0.5)]), Nulls::Send).unwrap(),
            "{\"A\":0.5}\n"
        );
    }

    #[test]
    fn raw_json_over_several_lines_is_one_row() {
        let raw = |text: &str| serde_json::value::RawValue::from_string(text.to_owned()).unwrap();
        let whole = raw("{\n  \"a\": \"b\\n\"\r\n}");
        assert_eq!(
            encoded(&whole, Nulls::Send).unwrap(),
            "{   \"a\": \"b\\n\"\r }\n"
        );
        let field = BTreeMap::from([("A", raw("[1,\n2]"))]);
        assert_eq!(encoded(&field, Nulls::Omit).unwrap(), "{\"A\":[1, 2]}\n");
    }

    #[test]
    fn raw_lines_are_kept_and_cleaned() {
        let kept = RowBatch::from_ndjson("{\"a\":1}\n{\"a\":2}\n").unwrap();
        assert_eq!(
            (kept.len(), kept.as_bytes()),
            (2, &b"{\"a\":1}\n{\"a\":2}\n"[..])
        );
        let cleaned = RowBatch::from_ndjson("{\"a\":1}\r\n\n  \n{\"a\":2}").unwrap();
        assert_eq!(
            (cleaned.len(), cleaned.as_bytes()),
            (2, &b"{\"a\":1}\r\n{\"a\":2}\n"[..])
        );
        assert!(RowBatch::from_ndjson("").unwrap().is_empty());
        let error = RowBatch::from_ndjson("{}\n\nnull\n").unwrap_err();
        assert!(error.to_string().contains("line 3"), "{error}");
        let error = RowBatch::from_ndjson(&b"{}\n{\"\xff\":1}\n"[..]).unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
        assert!(RowBatch::from_ndjson("{oops}\n").is_ok());
        assert!(
            RowBatch::from_ndjson_checked("{}\n{oops}\n")
                .unwrap_err()
                .to_string()
                .contains("line 2")
        );
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_batch_of_lines_or_an_error(bytes: Vec<u8>) {
            if let Ok(batch) = RowBatch::from_ndjson(bytes.clone()) {
                let lines: Vec<_> = batch.as_bytes().split_inclusive(|b| *b == b'\n').collect();
                assert_eq!(lines.len() as u64, batch.len());
                assert!(lines.iter().all(|l| l.ends_with(b"\n")));
            }
            let _ = RowBatch::from_ndjson_checked(bytes);
        }

        #[test]
        fn a_batch_contains_the_rows_of_its_text(rows in proptest::collection::vec("[a-z]{0,5}", 0..20), blanks in "[ \\t\\r\\n]{0,3}") {
            let lines: Vec<_> = rows.iter().map(|r| format!("{{\"k\":\"{r}\"}}\n")).collect();
            let text = lines.join(&blanks);
            let batch = RowBatch::from_ndjson_checked(text).unwrap();
            let kept: String = String::from_utf8(batch.as_bytes().to_vec()).unwrap();
            assert_eq!(kept.replace([' ', '\t', '\r'], ""), lines.concat());
            assert_eq!(batch.len(), rows.len() as u64);
        }
    }
}
