//! The keys of a row and their values, found by key.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// How many fields there is room for before more is allocated: most rows have fewer.
const USUAL: usize = 16;

/// A JSON object, its values unread. Of several fields with the same key, the last one counts.
#[derive(Debug)]
pub(crate) struct Fields<'a>(
    /// In order of the keys, each of which is there once.
    Vec<(Cow<'a, str>, &'a RawValue)>,
);

/// A key, borrowed from the text where it has no escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Fields<'a> {
    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&'a RawValue> {
        let found = self.0.binary_search_by(|(known, _)| (**known).cmp(key));
        self.0.get(found.ok()?).map(|(_, value)| *value)
    }

    /// The values by their keys in upper case. Of several keys that differ in case, the last in order counts.
    pub(crate) fn folded(&self) -> BTreeMap<String, &'a RawValue> {
        let fields = self.0.iter();
        fields
            .map(|(key, value)| (key.to_uppercase(), *value))
            .collect()
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::with_capacity(USUAL);
                while let Some((Key(key), value)) = map.next_entry()? {
                    fields.push((key, value));
                }
                // Stable, so that fields with the same key stay in the order of the text.
                fields.sort_by(|(one, _), (other, _)| one.cmp(other));
                fields.dedup_by(|later, earlier| {
                    let is_same = later.0 == earlier.0;
                    if is_same {
                        std::mem::swap(later, earlier);
                    }
                    is_same
                });
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get<'a>(fields: &Fields<'a>, key: &str) -> Option<&'a str> {
        fields.get(key).map(RawValue::get)
    }

    #[test]
    fn of_the_same_key_the_last_value_counts() {
        let text = r#"{"B": 1, "A": 2, "B" : [3, 4] , "A": 5, "B": "last", "\u0043": null}"#;
        let fields: Fields<'_> = serde_json::from_str(text).expect("an object");
        assert_eq!(get(&fields, "A"), Some("5"));
        assert_eq!(get(&fields, "B"), Some(r#""last""#));
        assert_eq!(get(&fields, "C"), Some("null"));
        assert_eq!(get(&fields, "b"), None);
        assert_eq!(get(&fields, ""), None);
        assert_eq!(fields.0.len(), 3);
    }

    #[test]
    fn of_keys_that_differ_in_case_the_last_in_order_counts() {
        let text = r#"{"day": 1, "Day": 2, "dAY": 3, "straße": 4}"#;
        let fields: Fields<'_> = serde_json::from_str(text).expect("an object");
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
            assert!(serde_json::from_str::<Fields<'_>>(text).is_err(), "{text}");
        }
    }
}
