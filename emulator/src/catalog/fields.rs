//! The keys of a row and their values, found by key.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::row_error::RowError;
use crate::answers::DuplicateKey;

/// Fields that are compared with each other one by one. Beyond, they are sorted.
const FEW: usize = 16;

/// A JSON object, its values unread. Each key is there once.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    /// In the order of the keys if they are many, else in any order.
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
    /// The place behind the field that was found last: most rows have their keys in the order of the columns.
    next: Cell<usize>,
}

/// The fields as they are read.
struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// A key, borrowed from the text where it has no escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Fields<'a> {
    /// Reads a JSON object.
    ///
    /// # Errors
    ///
    /// Why `text` is none, or which key it has twice: Snowflake refuses these unless `ALLOW_DUPLICATE` is set, which a streaming
    /// pipe cannot have.
    pub(crate) fn read(text: &'a str) -> Result<Self, RowError> {
        let Object(mut fields) = serde_json::from_str(text).map_err(RowError::json)?;
        let twice = if fields.len() <= FEW {
            repeated(&fields)
        } else {
            fields.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
            let mut pairs = fields.windows(2);
            pairs.find_map(|pair| match pair {
                [(one, _), (other, _)] if one == other => Some(one),
                _ => None,
            })
        };
        if let Some(key) = twice {
            return Err(RowError::json(format!(
                "duplicate object attribute {key:?}"
            )));
        }
        Ok(Self {
            fields,
            next: Cell::new(0),
        })
    }

    /// Reads a row, which is a JSON object whose nested objects have no key twice, however deep they are.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read), also of the nested objects. By the answer `last`, the row itself may have a key twice.
    pub(crate) fn of_row(row: &'a str, duplicates: DuplicateKey) -> Result<Self, RowError> {
        let fields = match duplicates {
            DuplicateKey::Reject => Self::read(row)?,
            DuplicateKey::Last => {
                let Object(fields) = serde_json::from_str(row).map_err(RowError::json)?;
                let last: BTreeMap<_, _> = fields.into_iter().collect();
                Self {
                    fields: last.into_iter().collect(),
                    next: Cell::new(0),
                }
            }
        };
        let mut nested = fields.iter();
        let twice = nested.find_map(|(_, value)| repeated_within(value.get()));
        drop(nested);
        match twice {
            Some(key) => Err(RowError::json(format!(
                "duplicate object attribute {key:?}"
            ))),
            None => Ok(fields),
        }
    }

    /// The keys and their values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.fields.iter().map(|(key, value)| (&**key, *value))
    }

    /// The keys in order, and their values.
    #[cfg(feature = "server")]
    pub(crate) fn in_order(&self) -> Vec<(&str, &'a RawValue)> {
        let mut fields: Vec<_> = self.iter().collect();
        fields.sort_unstable_by_key(|(key, _)| *key);
        fields
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&'a RawValue> {
        let next = self.next.get();
        if let Some((known, value)) = self.fields.get(next)
            && known == key
        {
            self.next.set(next + 1);
            return Some(*value);
        }
        let position = if self.fields.len() <= FEW {
            self.fields.iter().position(|(known, _)| known == key)
        } else {
            let found = self
                .fields
                .binary_search_by(|(known, _)| (**known).cmp(key));
            found.ok()
        };
        let (_, value) = self.fields.get(position?)?;
        self.next.set(position? + 1);
        Some(*value)
    }

    /// The values by their keys in upper case. Of several keys that differ in case, the last in order counts.
    pub(crate) fn folded(&self) -> BTreeMap<String, &'a RawValue> {
        let mut fields: Vec<_> = self.fields.iter().collect();
        fields.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        fields
            .into_iter()
            .map(|(key, value)| (key.to_uppercase(), *value))
            .collect()
    }
}

/// A key that occurs more than once among few fields.
fn repeated<'f>(fields: &'f [(Cow<'_, str>, &RawValue)]) -> Option<&'f Cow<'f, str>> {
    let mut keys = fields.iter().map(|(key, _)| key).enumerate();
    let twice = keys.find(|(position, key)| {
        let mut before = fields.iter().take(*position);
        before.any(|(other, _)| other == *key)
    });
    twice.map(|(_, key)| key)
}

/// A key that an object in `value`, which is JSON, has more than once. No recursion, because the depth is the client's choice.
pub(crate) fn repeated_within(value: &str) -> Option<String> {
    if !value.starts_with(['{', '[']) {
        return None;
    }
    // The keys of each object that is open; none for an array.
    let mut open: Vec<Vec<Cow<'_, str>>> = Vec::new();
    let mut rest = value;
    while let Some(place) = rest.find(['{', '}', '[', ']', '"']) {
        let (found, behind) = (rest.as_bytes().get(place), rest.get(place + 1..)?);
        rest = behind;
        match found {
            Some(b'{' | b'[') => open.push(Vec::new()),
            Some(b'}' | b']') => {
                let mut keys = open.pop()?;
                keys.sort_unstable();
                let mut pairs = keys.windows(2);
                let twice = pairs.find_map(|pair| match pair {
                    [one, other] if one == other => Some(one.to_string()),
                    _ => None,
                });
                if twice.is_some() {
                    return twice;
                }
            }
            _ => {
                let end = end_of_string(behind)?;
                rest = behind.get(end + 1..)?;
                if rest.trim_start().starts_with(':') {
                    let text = value.get(value.len() - behind.len() - 1..value.len() - rest.len());
                    let Key(key) = serde_json::from_str(text?).ok()?;
                    open.last_mut()?.push(key);
                }
            }
        }
    }
    None
}

/// Where the quote stands that ends the string whose content `text` begins with.
fn end_of_string(text: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let place = from + text.get(from..)?.find(['"', '\\'])?;
        if text.as_bytes().get(place) == Some(&b'"') {
            return Some(place);
        }
        from = place + 2;
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut fields = Vec::with_capacity(FEW);
                while let Some((Key(key), value)) = map.next_entry()? {
                    fields.push((key, value));
                }
                Ok(Object(fields))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get<'a>(fields: &Fields<'a>, key: &str) -> Option<&'a str> {
        fields.get(key).map(RawValue::get)
    }

    #[test]
    fn values_are_found_in_any_order() {
        let many: Vec<String> = (0..100).map(|n| format!(r#","{}":{n}"#, 99 - n)).collect();
        let many = many.concat();
        for more in ["", &many] {
            let text = format!(r#"{{"B": [3, 4] , "A": 5, "\u0043": null, "": "e"{more}}}"#);
            let fields = Fields::read(&text).expect("an object");
            for _ in 0..2 {
                assert_eq!(get(&fields, "A"), Some("5"));
                assert_eq!(get(&fields, "C"), Some("null"));
                assert_eq!(get(&fields, ""), Some(r#""e""#));
                assert_eq!(get(&fields, "b"), None);
                assert_eq!(get(&fields, "B"), Some("[3, 4]"));
                let number = (!more.is_empty()).then_some("92");
                assert_eq!(get(&fields, "7"), number);
            }
        }
    }

    #[test]
    fn a_key_that_occurs_twice_is_refused() {
        let many: Vec<String> = (0..100).map(|n| format!(r#""{n}":{n},"#)).collect();
        let many = many.concat();
        for more in ["", &many] {
            let text = format!(r#"{{"B":1,{more}"A":2,"\u0042":1}}"#);
            let why = Fields::read(&text).expect_err("a key twice");
            assert_eq!(
                why.message,
                r#"Error parsing JSON: duplicate object attribute "B""#
            );
        }
    }

    #[test]
    fn a_key_that_occurs_twice_in_a_nested_object_is_refused() {
        let deep = |inner: &str| format!("{}{inner}{}", "[".repeat(100_000), "]".repeat(100_000));
        for (nested, key) in [
            (r#"{"a":1,"a":1}"#.to_owned(), Some("a")),
            (
                r#"[0, {"b" : {"a":[], "x":"{", "\u0061" :1}}]"#.to_owned(),
                Some("a"),
            ),
            (r#"{"a\"":1,"b":2,"a\"":3}"#.to_owned(), Some("a\"")),
            (r#"{"é\\":1,"é\\":3}"#.to_owned(), Some("é\\")),
            (deep(r#"{"a":1,"a":1}"#), Some("a")),
            (
                r#"{"a":{"a":"a","b":["a","a"]},"b":{"a":1},"A":"\"a\":1,\"a\":2"}"#.to_owned(),
                None,
            ),
            (r#"[{"a":1},{"a":1},"a","a"]"#.to_owned(), None),
            (r#""{\"a\":1,\"a\":2}""#.to_owned(), None),
            (deep("1"), None),
        ] {
            let row = format!(r#"{{"first": 1, "V": {nested}, "last": 2}}"#);
            let why = Fields::of_row(&row, DuplicateKey::Reject)
                .err()
                .map(|why| why.message);
            let expected =
                key.map(|key| format!("Error parsing JSON: duplicate object attribute {key:?}"));
            assert_eq!(why, expected, "{row:.100}");
        }
    }

    #[test]
    fn of_keys_that_differ_in_case_the_last_in_order_counts() {
        let text = r#"{"day": 1, "Day": 2, "dAY": 3, "straße": 4}"#;
        let fields = Fields::read(text).expect("an object");
        let folded = fields.folded();
        let folded: Vec<_> = folded
            .iter()
            .map(|(key, raw)| (&**key, raw.get()))
            .collect();
        assert_eq!(folded, [("DAY", "1"), ("STRASSE", "4")]);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in ["", "{", "[]", "7", r#"{"A"}"#, r#"{"A":1}x"#, r"{1:2}"] {
            assert!(Fields::read(text).is_err(), "{text}");
        }
    }
}
