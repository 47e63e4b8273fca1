//! The keys of a row and their values, found by key.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Fields that are compared with each other one by one. Beyond, they are sorted.
const FEW: usize = 16;

/// A JSON object, its values unread. Each key is there once.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    /// In the order of the text if they are few, else in the order of the keys.
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
    pub(crate) fn read(text: &'a str) -> Result<Self, String> {
        let Object(mut fields) =
            serde_json::from_str(text).map_err(|why| format!("the row is not JSON: {why}"))?;
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
            return Err(format!("the object has the key {key:?} twice"));
        }
        Ok(Self {
            fields,
            next: Cell::new(0),
        })
    }

    /// The keys and their values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.fields.iter().map(|(key, value)| (&**key, *value))
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
            assert_eq!(why, r#"the object has the key "B" twice"#);
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
