//! Functions of ARRAY and OBJECT, and tests of what a VARIANT holds.
//!
//! An array has no NULL, which Snowflake tells from a JSON null: JSON has no text for it.

use std::collections::BTreeSet;

use rusqlite::functions::Context;
use rusqlite::types::{Value, ValueRef};
use serde_json::value::RawValue;

use super::arguments::{Outcome, boolean, integer, text, whole};
use super::raised::Raised;
use super::scalars::{MOST_BYTES, Scalar};
use super::spelling::{is_double, quoted};
use super::texts::too_long;
use super::variants::{self, Json, elements};
use crate::catalog::fields::Fields;

/// Functions that are NULL where an argument is.
pub(super) const STRICT: &[Scalar] = &[
    // `f(value, name of a type)`
    ("sf_is", 2, |c| is(text(c, 0)?, text(c, 1)?).map(boolean)),
    ("sf_as", 2, |c| {
        let json = text(c, 0)?;
        let is_it = is(json, text(c, 1)?)?;
        Ok(if is_it {
            Value::Text(json.to_owned())
        } else {
            Value::Null
        })
    }),
    ("sf_to_array", 1, |c| {
        let json = text(c, 0)?;
        Ok(match Json::read(json)? {
            Json::Null => Value::Null,
            Json::Array(array) => Value::Text(array.to_owned()),
            _ => Value::Text(format!("[{json}]")),
        })
    }),
    ("sf_array_cat", 2, |c| {
        let mut all = array(text(c, 0)?)?;
        all.extend(array(text(c, 1)?)?);
        joined(&all)
    }),
    ("sf_array_compact", 1, |c| {
        let all = array(text(c, 0)?)?;
        let kept: Vec<&str> = all.into_iter().filter(|json| *json != "null").collect();
        joined(&kept)
    }),
    ("sf_array_slice", 3, |c| {
        let all = array(text(c, 0)?)?;
        let place = |at| Ok(border(whole(c, at)?, all.len()));
        let (from, to) = (place(1)?, place(2)?);
        joined(all.get(from..to.max(from)).unwrap_or_default())
    }),
    ("sf_array_text", 2, |c| {
        let separator = text(c, 1)?;
        let mut written = String::new();
        for (position, json) in array(text(c, 0)?)?.into_iter().enumerate() {
            if position > 0 {
                written.push_str(separator);
            }
            match variants::to_text(json)? {
                Value::Text(text) => written.push_str(&text),
                _ => {
                    return Err(Raised::unsupported(
                        "ARRAY_TO_STRING of an array with a JSON null",
                    ));
                }
            }
            if written.len() > MOST_BYTES {
                return Err(too_long());
            }
        }
        Ok(Value::Text(written))
    }),
    ("sf_object_keys", 1, |c| {
        let json = text(c, 0)?;
        let Json::Object(object) = Json::read(json)? else {
            return Err(Raised::unsupported(format!("OBJECT_KEYS of {json}")));
        };
        let fields = Fields::read(object)
            .map_err(|why| Raised::unsupported(format!("OBJECT_KEYS: {}", why.message)))?;
        let mut keys = List::new('[');
        for (key, _) in fields.in_order() {
            keys.push(&quoted(key))?;
        }
        Ok(keys.end(']'))
    }),
];

/// Functions that look at NULL themselves.
pub(super) const LENIENT: &[Scalar] = &[
    // `f(element, …)`
    ("sf_array", -1, |c| {
        let mut list = List::new('[');
        for at in 0..c.len() {
            list.push(new_element(c, at)?)?;
        }
        Ok(list.end(']'))
    }),
    // `f(key, value, …)`: a field whose key or value is NULL is left out.
    ("sf_object", -1, |c| {
        let (mut fields, mut keys) = (List::new('{'), BTreeSet::new());
        for at in (0..c.len().saturating_sub(1)).step_by(2) {
            if c.get_raw(at) == ValueRef::Null {
                continue;
            }
            let key = text(c, at)?;
            if !keys.insert(key) {
                return Err(Raised::unsupported(format!(
                    "OBJECT_CONSTRUCT with the field key '{key}' twice"
                )));
            }
            if c.get_raw(at + 1) != ValueRef::Null {
                fields.push_field(&quoted(key), text(c, at + 1)?)?;
            }
        }
        Ok(fields.end('}'))
    }),
    // `f(array, element)`; NULL in place of an array is NULL.
    ("sf_array_append", 2, |c| with_element(c, false)),
    ("sf_array_prepend", 2, |c| with_element(c, true)),
    // `f(element, array)`
    ("sf_array_contains", 2, |c| match place(c)? {
        Place::Unknown => Ok(Value::Null),
        Place::At(place) => Ok(boolean(place.is_some())),
    }),
    ("sf_array_position", 2, |c| match place(c)? {
        Place::Unknown | Place::At(None) => Ok(Value::Null),
        Place::At(Some(place)) => integer(place),
    }),
    ("sf_array_dense", -1, |c| {
        let mut list = List::new('[');
        for at in 0..c.len() {
            if c.get_raw(at) != ValueRef::Null {
                list.push(text(c, at)?)?;
            }
        }
        Ok(list.end(']'))
    }),
];

/// Whether a VARIANT holds a value of a type. Those of JSON are no dates, times or bytes.
fn is(json: &str, name: &str) -> Result<bool, Raised> {
    let found = Json::read(json)?;
    Ok(match name {
        "ARRAY" => matches!(found, Json::Array(_)),
        "OBJECT" => matches!(found, Json::Object(_)),
        "BOOLEAN" => matches!(found, Json::Boolean(_)),
        "VARCHAR" | "CHAR" => matches!(found, Json::Text(_)),
        "DOUBLE" | "REAL" => matches!(found, Json::Number(_)),
        "DECIMAL" => matches!(found, Json::Number(digits) if !is_double(digits)),
        "INTEGER" => variants::type_of(json)? == "INTEGER",
        _ => false,
    })
}

/// The elements of an ARRAY, or of a VARIANT that holds one.
fn array(json: &str) -> Result<Vec<&str>, Raised> {
    match Json::read(json)? {
        Json::Array(array) => Ok(elements(array)?.into_iter().map(RawValue::get).collect()),
        _ => Err(Raised::unsupported(format!("{json} in place of an ARRAY"))),
    }
}

fn joined(elements: &[&str]) -> Outcome {
    let mut list = List::new('[');
    for element in elements {
        list.push(element)?;
    }
    Ok(list.end(']'))
}

/// An ARRAY or OBJECT as it grows. Its size is checked before a part is added, because each may be as long as the whole.
pub(super) struct List(String);

impl List {
    pub(super) fn new(open: char) -> Self {
        Self(String::from(open))
    }

    pub(super) fn push(&mut self, json: &str) -> Result<(), Raised> {
        self.push_parts(&[json])
    }

    fn push_field(&mut self, key: &str, json: &str) -> Result<(), Raised> {
        self.push_parts(&[key, ":", json])
    }

    fn push_parts(&mut self, parts: &[&str]) -> Result<(), Raised> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        // With a comma and the end.
        if self.0.len() + length + 2 > MOST_BYTES {
            return Err(too_long());
        }
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.extend(parts.iter().copied());
        Ok(())
    }

    pub(super) fn end(mut self, close: char) -> Value {
        self.0.push(close);
        Value::Text(self.0)
    }
}

/// A position from the start or, if it is negative, from the end, within the array.
fn border(position: i64, length: usize) -> usize {
    let from = usize::try_from(position.unsigned_abs()).unwrap_or(usize::MAX);
    if position < 0 {
        length.saturating_sub(from)
    } else {
        from.min(length)
    }
}

fn new_element<'a>(context: &'a Context<'_>, at: usize) -> Result<&'a str, Raised> {
    match context.get_raw(at) {
        ValueRef::Null => Err(Raised::unsupported("NULL as an element of an array")),
        _ => text(context, at),
    }
}

fn with_element(context: &Context<'_>, is_first: bool) -> Outcome {
    if context.get_raw(0) == ValueRef::Null {
        return Ok(Value::Null);
    }
    let mut all = array(text(context, 0)?)?;
    let at = if is_first { 0 } else { all.len() };
    all.insert(at, new_element(context, 1)?);
    joined(&all)
}

/// Where an array has an element.
enum Place {
    /// The array or the element is NULL.
    Unknown,
    At(Option<usize>),
}

fn place(context: &Context<'_>) -> Result<Place, Raised> {
    if context.get_raw(1) == ValueRef::Null {
        return Ok(Place::Unknown);
    }
    let all = array(text(context, 1)?)?;
    let wanted = match context.get_raw(0) {
        ValueRef::Null => None,
        _ => Some(text(context, 0)?),
    };
    if wanted.is_none_or(|wanted| wanted == "null") && all.contains(&"null") {
        return Err(Raised::unsupported(
            "a search for NULL in an array that has one",
        ));
    }
    let Some(wanted) = wanted else {
        return Ok(Place::Unknown);
    };
    let wanted = variants::key(wanted)?;
    for (place, element) in all.into_iter().enumerate() {
        let is_structured = matches!(Json::read(element)?, Json::Array(_) | Json::Object(_));
        if !is_structured && variants::key(element)? == wanted {
            return Ok(Place::At(Some(place)));
        }
    }
    Ok(Place::At(None))
}
