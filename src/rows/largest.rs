//! Finds the largest value of encoded rows, for the error about rows that do not fit.

use std::fmt;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The longest part of a column's name that is shown, in characters.
const NAME: usize = 64;

/// The column of the largest top-level value, quoted, escaped and cut, and the value's length as JSON in bytes. `None` if there is
/// no value that can be read.
pub(crate) fn largest_value(ndjson: &[u8]) -> Option<(String, usize)> {
    let mut largest = None;
    for row in ndjson.split(|byte| *byte == b'\n') {
        let mut json = serde_json::Deserializer::from_slice(row);
        // A row that is not valid JSON has a largest value as well, before the mistake.
        drop(json.deserialize_map(Search(&mut largest)));
    }
    let (column, bytes) = largest?;
    let name: String = column.chars().take(NAME).collect();
    let cut = if name.len() < column.len() { "…" } else { "" };
    Some((format!("{name:?}{cut}"), bytes))
}

/// Remembers the column and length of the largest value.
struct Search<'a>(&'a mut Option<(String, usize)>);

impl<'de> Visitor<'de> for Search<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((column, value)) = map.next_entry::<String, &RawValue>()? {
            let bytes = value.get().len();
            if self.0.as_ref().is_none_or(|(_, most)| bytes > *most) {
                *self.0 = Some((column, bytes));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::largest_value;

    #[test]
    fn the_largest_top_level_value_of_all_rows_is_found() {
        let found = |ndjson: &str| largest_value(ndjson.as_bytes());
        let is = |column: &str, bytes| Some((format!("{column:?}"), bytes));
        assert_eq!(found("{\"A\":1,\"B\":\"xyz\",\"C\":[1]}\n"), is("B", 5));
        let nested = "{\"A\":1}\n{\"A\":22,\"B\":{\"LONG\":\"xyz\"}}\n{\"A\":333}\n";
        assert_eq!(found(nested), is("B", 14));
        assert_eq!(found("{}\n\n"), None);
        assert_eq!(found("{\"A\":22,\"B\":oops}\n[1,2]\n"), is("A", 2));
    }

    #[test]
    fn a_hostile_name_is_escaped_and_cut() {
        let long = format!("{{\"\\u001b[2J\\\"\u{202e}{}\":1}}\n", "x".repeat(1_000));
        let (column, _) = largest_value(long.as_bytes()).unwrap();
        let shown = format!("\"\\u{{1b}}[2J\\\"\\u{{202e}}{}\"…", "x".repeat(58));
        assert_eq!(column, shown);
    }
}
