//! The columns of a table, which rows are checked against before they are sent.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::types::error::{Error, ErrorKind, Result};

/// The columns of a table, as [`check_columns`](crate::StreamingIngestClient::check_columns) takes them.
///
/// ```
/// use snowpipe_streaming::Columns;
///
/// // The names as Snowflake stores them; ID is NOT NULL and has no default.
/// let columns = Columns::new(["LIFT", "DAY"]).required(["ID"]);
/// # let _ = columns;
/// ```
///
/// `SqlClient::columns` (feature `sql-api`) asks the account for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// By name: whether each row needs a value.
    required: BTreeMap<String, bool>,
    ignores_case: bool,
}

impl Columns {
    /// Columns that a row may leave out.
    pub fn new<N: Into<String>>(optional: impl IntoIterator<Item = N>) -> Self {
        let none = Self {
            required: BTreeMap::new(),
            ignores_case: false,
        };
        none.optional(optional)
    }

    /// Adds columns that a row may leave out.
    #[must_use]
    pub fn optional<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        let names = names.into_iter();
        self.required.extend(names.map(|name| (name.into(), false)));
        self
    }

    /// Adds columns that are `NOT NULL` and have no default: a row without a value for one is invalid.
    #[must_use]
    pub fn required<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        let names = names.into_iter();
        self.required.extend(names.map(|name| (name.into(), true)));
        self
    }

    /// Matches keys with columns in any case, as the default pipe of a table does, and a pipe with `MATCH_BY_COLUMN_NAME =
    /// CASE_INSENSITIVE`. By default a key needs the case of its column.
    #[must_use]
    pub fn ignoring_case(mut self) -> Self {
        self.ignores_case = true;
        self
    }

    /// Refuses a row that the table would reject, or store without one of its values. `row` is a JSON object. What is no JSON is
    /// left to the server, which counts it.
    pub(crate) fn check(&self, row: &[u8]) -> Result<()> {
        let mut found = Found {
            columns: self,
            has_column: false,
            required: Vec::new(),
            unknown: None,
        };
        let read = each_key(row, |key, is_null| found.note(key, is_null));
        if read.is_err() {
            return Ok(());
        }
        match found.problem() {
            Some(text) => Err(Error::new(ErrorKind::InvalidRow, text)),
            None => Ok(()),
        }
    }

    /// The column of a key.
    fn of(&self, key: &str) -> Option<(&str, bool)> {
        let exact = self.required.get_key_value(key);
        let column = exact.or_else(|| {
            let mut all = self.required.iter().filter(|_| self.ignores_case);
            all.find(|(name, _)| name.eq_ignore_ascii_case(key))
        });
        column.map(|(name, is_required)| (name.as_str(), *is_required))
    }

    /// The column whose name is most like the key, if one is like it.
    fn nearest(&self, key: &str) -> Option<&str> {
        let key = key.to_uppercase();
        let distance = |name: &str| strsim::damerau_levenshtein(&key, &name.to_uppercase());
        let names = self.required.keys().map(|name| (distance(name), name));
        let (distance, name) = names.min()?;
        (distance * 3 <= name.chars().count()).then_some(name)
    }
}

/// What a row has of the columns.
struct Found<'a> {
    columns: &'a Columns,
    has_column: bool,
    /// The required columns that have a value.
    required: Vec<&'a str>,
    unknown: Option<String>,
}

impl<'a> Found<'a> {
    fn note(&mut self, key: &str, is_null: bool) {
        let columns: &'a Columns = self.columns;
        match columns.of(key) {
            Some((name, is_required)) => {
                self.has_column = true;
                if is_required && !is_null && !self.required.contains(&name) {
                    self.required.push(name);
                }
            }
            None if self.unknown.is_none() => self.unknown = Some(key.to_owned()),
            None => {}
        }
    }

    fn problem(&self) -> Option<String> {
        if let Some(key) = &self.unknown {
            let remedy = match self.columns.nearest(key) {
                Some(name) if name.eq_ignore_ascii_case(key) => format!(
                    "the column {name:?} differs in case: set `Keys::Uppercase`, or rename the key"
                ),
                Some(name) => format!("is it {name:?}?"),
                None => "remove the key, or add the column to the table".to_owned(),
            };
            return Some(format!(
                "the row cannot be sent: the table has no column {key:?}; {remedy}"
            ));
        }
        if !self.has_column && !self.columns.required.is_empty() {
            return Some("the row cannot be sent: it has a value for no column".to_owned());
        }
        let all = self
            .columns
            .required
            .values()
            .filter(|is_required| **is_required);
        if self.required.len() < all.count() {
            let names = self.columns.required.iter();
            let names = names.filter(|(_, is_required)| **is_required);
            let names = names.map(|(name, _)| name.as_str());
            let names: Vec<_> = names.filter(|name| !self.required.contains(name)).collect();
            return Some(format!(
                "the row cannot be sent: it lacks the value of columns that are NOT NULL and have no default: {}",
                names.join(", ")
            ));
        }
        None
    }
}

/// The first key of a row with a lower-case letter.
pub(crate) fn lowercase_key(row: &[u8]) -> Option<String> {
    let mut found = None;
    let read = each_key(row, |key, _| {
        if found.is_none() && key.bytes().any(|byte| byte.is_ascii_lowercase()) {
            found = Some(key.to_owned());
        }
    });
    found.filter(|_| read.is_ok())
}

/// Calls `note` with each top-level key of a JSON object, and whether its value is null.
fn each_key(row: &[u8], note: impl FnMut(&str, bool)) -> serde_json::Result<()> {
    let mut json = serde_json::Deserializer::from_slice(row);
    json.deserialize_map(KeysVisitor(note))
}

struct KeysVisitor<F>(F);

impl<'de, F: FnMut(&str, bool)> Visitor<'de> for KeysVisitor<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> std::result::Result<(), A::Error> {
        let mut key = String::new();
        while map.next_key_seed(Key(&mut key))?.is_some() {
            let is_null = map.next_value::<Option<IgnoredAny>>()?.is_none();
            (self.0)(&key, is_null);
        }
        Ok(())
    }
}

/// Reads a key into a buffer.
struct Key<'a>(&'a mut String);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> std::result::Result<(), D::Error> {
        key.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> std::result::Result<(), E> {
        self.0.clear();
        self.0.push_str(key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(columns: &Columns, row: &str) -> String {
        let error = columns.check(row.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRow);
        error.to_string()
    }

    fn columns() -> Columns {
        Columns::new(["LIFT", "LIFT_DAY"]).required(["ID"])
    }

    #[test]
    fn rows_that_fit_pass() {
        for row in [
            r#"{"ID":1}"#,
            r#"{"ID":1,"LIFT":null}"#,
            r#"{"LIFT":"x","ID":{"a":[1,{"b":2}]},"LIFT_DAY":7}"#,
            "{\"\\u0049D\":1}",
            // No JSON: the server counts it.
            r#"{"ID":1"#,
        ] {
            columns().check(row.as_bytes()).unwrap();
        }
        let any_case = columns().ignoring_case();
        any_case.check(br#"{"id":1,"Lift":2}"#).unwrap();
        Columns::new([""; 0]).check(b"{}").unwrap();
    }

    #[test]
    fn a_key_without_a_column_is_refused_with_the_nearest_one() {
        for (row, words) in [
            (
                r#"{"id":1}"#,
                r#"no column "id"; the column "ID" differs in case"#,
            ),
            (
                r#"{"ID":1,"LIFTDAY":1}"#,
                r#"no column "LIFTDAY"; is it "LIFT_DAY"?"#,
            ),
            (
                r#"{"ID":1,"PRICE":1}"#,
                r#"no column "PRICE"; remove the key"#,
            ),
        ] {
            let text = refusal(&columns(), row);
            assert!(text.contains(words), "{text}");
        }
        let text = refusal(&columns().ignoring_case(), r#"{"lift_dya":1}"#);
        assert!(text.contains(r#"is it "LIFT_DAY"?"#), "{text}");
    }

    #[test]
    fn a_row_without_a_required_value_is_refused() {
        for row in [r#"{"LIFT":"x"}"#, r#"{"LIFT":"x","ID":null}"#] {
            let text = refusal(&columns(), row);
            assert!(text.ends_with("no default: ID"), "{text}");
        }
        let two = columns().required(["NAME"]).ignoring_case();
        let text = refusal(&two, r#"{"id":1,"ID":2}"#);
        assert!(text.ends_with("no default: NAME"), "{text}");
        let text = refusal(&Columns::new(["A"]), "{}");
        assert!(text.ends_with("it has a value for no column"), "{text}");
    }

    #[test]
    fn the_first_key_with_a_lower_case_letter_is_found() {
        for (row, key) in [
            (r#"{"A":{"b":1},"C":"d"}"#, None),
            (r#"{"A":1,"b":2,"c":3}"#, Some("b")),
            (r#"{"A":1,"b":2"#, None),
        ] {
            assert_eq!(lowercase_key(row.as_bytes()).as_deref(), key);
        }
    }
}
