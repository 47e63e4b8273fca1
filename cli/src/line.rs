//! Parses a line of NDJSON into a row and the value of its offset field.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The position of a line. The numbers of files and lines start at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: u64,
    pub(crate) line: u64,
    /// The number of lines in the files before this one.
    pub(crate) lines_before: u64,
}

impl Place {
    /// The position before the first file.
    pub(crate) const START: Self = Self {
        file: 0,
        line: 0,
        lines_before: 0,
    };

    /// The position before the first line of the next file.
    pub(crate) fn next_file(self) -> Self {
        Self {
            file: self.file + 1,
            line: 0,
            lines_before: self.lines_before + self.line,
        }
    }
}

/// The value of a row's offset field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Field {
    /// The row has no such field, or no field was requested.
    Absent,
    Integer(i128),
    Text(String),
    /// A value of another type.
    Other,
}

/// Parses a line. Its JSON is sent unchanged.
pub(crate) fn parse(text: &str, field: Option<&str>) -> Result<(Box<RawValue>, Field), String> {
    let mut json = serde_json::Deserializer::from_str(text);
    let picked = json
        .deserialize_map(Picker { field })
        .and_then(|picked| json.end().map(|()| picked))
        .map_err(|why| format!("it is not a JSON object: {why}"))?;
    let value = match picked.map(RawValue::get) {
        None => Field::Absent,
        Some(value) => read(value),
    };
    let row = RawValue::from_string(text.trim().to_owned());
    let row = row.map_err(|why| format!("it is not JSON: {why}"))?;
    Ok((row, value))
}

fn read(value: &str) -> Field {
    if let Ok(number) = value.parse() {
        return Field::Integer(number);
    }
    serde_json::from_str(value).map_or(Field::Other, Field::Text)
}

/// Picks one value of an object, and checks the JSON of all others.
struct Picker<'f> {
    field: Option<&'f str>,
}

impl<'de> Visitor<'de> for Picker<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut picked = None;
        while let Some(Name(name)) = map.next_key()? {
            if self.field == Some(&*name) {
                picked = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(picked)
    }
}

/// A key, borrowed if it has no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowing;
        impl<'de> Visitor<'de> for Borrowing {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(Borrowing)
    }
}

#[cfg(test)]
mod tests {
    use super::{Field, parse};

    fn field(text: &str) -> Field {
        parse(text, Some("id")).unwrap().1
    }

    #[test]
    fn the_field_is_found_in_any_form() {
        assert_eq!(field(r#"{"a": [1], "id": 42}"#), Field::Integer(42));
        assert_eq!(field(r#"{"i\u0064": -7}"#), Field::Integer(-7));
        assert_eq!(
            field(r#"{"id": "2026-01\t"}"#),
            Field::Text("2026-01\t".to_owned())
        );
        assert_eq!(
            field(r#"{"id": 18446744073709551616}"#),
            Field::Integer(18_446_744_073_709_551_616)
        );
        for other in [
            r#"{"id": 1.5}"#,
            r#"{"id": null}"#,
            r#"{"id": {"id": 1}}"#,
            r#"{"id": 1e3}"#,
        ] {
            assert_eq!(field(other), Field::Other, "{other}");
        }
        assert_eq!(field(r#"{"ID": 1, "x": {"id": 2}}"#), Field::Absent);
        assert_eq!(parse(r#"{"id": 1}"#, None).unwrap().1, Field::Absent);
    }

    #[test]
    fn a_row_keeps_its_text() {
        let (row, _) = parse(" {\"n\": 1.10, \"big\": 12345678901234567890123} \r", None).unwrap();
        assert_eq!(row.get(), "{\"n\": 1.10, \"big\": 12345678901234567890123}");
    }

    #[test]
    fn lines_that_are_not_rows_are_refused() {
        for text in [
            "",
            "[1]",
            "1",
            "{",
            r#"{"a": }"#,
            r#"{"a": 1} x"#,
            r#"{"a": 1}{"a": 2}"#,
            "null",
        ] {
            let why = parse(text, None).unwrap_err();
            assert!(
                why.starts_with("it is not a JSON object: "),
                "{text:?}: {why}"
            );
        }
    }
}
