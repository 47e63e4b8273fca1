//! FLATTEN: the elements of arrays and the fields of objects.

use std::fmt::Write as _;

use rusqlite::functions::Context;
use rusqlite::types::{Value, ValueRef};

use super::arguments::{Outcome, text, whole};
use super::raised::Raised;
use super::scalars::{MOST_BYTES, Scalar};
use super::spelling::{MOST_DEPTH, quoted};
use super::texts::too_long;
use super::variants::{Json, elements};
use crate::catalog::fields::Fields;

/// Stands in a path that is not documented: one with a key that is no name, and one of a value that OUTER keeps beside a PATH.
const ODD: char = '\u{1}';

/// Functions that look at NULL themselves.
pub(super) const LENIENT: &[Scalar] = &[("sf_flatten", 6, flatten)];

/// Functions that are NULL where an argument is.
pub(super) const STRICT: &[Scalar] = &[("sf_flat_path", 1, |c| {
    let path = text(c, 0)?;
    if path.contains(ODD) {
        return Err(Raised::unsupported(
            "the PATH of FLATTEN with a key that is no name, or of OUTER beside the argument PATH",
        ));
    }
    Ok(Value::Text(path.to_owned()))
})];

/// Which values are flattened.
#[derive(Clone, Copy)]
struct Kinds {
    has_objects: bool,
    has_arrays: bool,
    is_recursive: bool,
}

/// The rows, as a JSON array that SQLite's `json_each` takes apart. A row is `[key, path, index, value]`, the last as a string of
/// JSON, for SQLite would change its numbers.
struct Rows(String);

impl Rows {
    fn push(
        &mut self,
        key: Option<&str>,
        path: &str,
        index: Option<usize>,
        value: &str,
    ) -> Result<(), Raised> {
        let separator = if self.0.len() > 1 { "," } else { "" };
        let key = key.map_or("null".to_owned(), quoted);
        let index = index.map_or("null".to_owned(), |index| index.to_string());
        let (path, value) = (quoted(path), quoted(value));
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{separator}[{key},{path},{index},{value}]");
        if self.0.len() > MOST_BYTES {
            return Err(too_long());
        }
        Ok(())
    }
}

/// `f(value, path, is outer, is recursive, has objects, has arrays)`
fn flatten(context: &Context<'_>) -> Outcome {
    let is = |at: usize| whole(context, at).map(|number| number != 0);
    let kinds = Kinds {
        is_recursive: is(3)?,
        has_objects: is(4)?,
        has_arrays: is(5)?,
    };
    let mut rows = Rows("[".to_owned());
    let path = text(context, 1)?;
    let mut is_container = false;
    if context.get_raw(0) != ValueRef::Null {
        let json = text(context, 0)?;
        is_container = matches!(Json::read(json)?, Json::Array(_) | Json::Object(_));
        expand(&mut rows, json, path, kinds, 0)?;
    }
    if rows.0.len() == 1 && is(2)? {
        let path = match (path, is_container) {
            ("", true) => quoted(""),
            ("", false) => "null".to_owned(),
            _ => quoted(&ODD.to_string()),
        };
        // Writing to a String cannot fail.
        let _ = write!(rows.0, "[null,{path},null,null]");
    }
    rows.0.push(']');
    Ok(Value::Text(rows.0))
}

fn expand(
    rows: &mut Rows,
    json: &str,
    path: &str,
    kinds: Kinds,
    depth: usize,
) -> Result<(), Raised> {
    if depth > MOST_DEPTH {
        return Err(Raised::unsupported(format!(
            "FLATTEN of a value of more than {MOST_DEPTH} levels"
        )));
    }
    match Json::read(json)? {
        Json::Array(array) if kinds.has_arrays => {
            for (index, value) in elements(array)?.into_iter().enumerate() {
                let path = format!("{path}[{index}]");
                rows.push(None, &path, Some(index), value.get())?;
                if kinds.is_recursive {
                    expand(rows, value.get(), &path, kinds, depth + 1)?;
                }
            }
        }
        Json::Object(object) if kinds.has_objects => {
            let fields = Fields::read(object).map_err(|why| {
                Raised::unsupported(format!("FLATTEN of an object: {}", why.message))
            })?;
            for (key, value) in fields.in_order() {
                let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let is_plain = key.chars().all(is_name)
                    && key.starts_with(|first: char| !first.is_ascii_digit());
                let shown = if is_plain {
                    key.to_owned()
                } else {
                    ODD.to_string()
                };
                let path = match path {
                    "" => shown,
                    path => format!("{path}.{shown}"),
                };
                rows.push(Some(key), &path, None, value.get())?;
                if kinds.is_recursive {
                    expand(rows, value.get(), &path, kinds, depth + 1)?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}
