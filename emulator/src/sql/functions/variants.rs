//! VARIANT, OBJECT and ARRAY: JSON texts whose numbers keep the digits they were written with. A JSON null is the text `null`.

use rusqlite::types::Value;
use serde_json::value::RawValue;

use super::arguments::{Outcome, boolean, real};
use super::raised::Raised;
use super::spelling::{content, displayed, is_double, number, quoted, spelled};
use super::{floats, numbers, texts};
use crate::catalog::fields::Fields;
use crate::catalog::json_reading::{self, Unread};

/// What a JSON text is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json<'a> {
    Null,
    Boolean(bool),
    Number(&'a str),
    Text(String),
    Object(&'a str),
    Array(&'a str),
}

impl<'a> Json<'a> {
    pub(crate) fn read(json: &'a str) -> Result<Self, Raised> {
        let json = json.trim();
        Ok(match json.as_bytes().first() {
            Some(b'n') => Self::Null,
            Some(b't') => Self::Boolean(true),
            Some(b'f') => Self::Boolean(false),
            Some(b'{') => Self::Object(json),
            Some(b'[') => Self::Array(json),
            Some(b'"') => Self::Text(content(json)?),
            Some(_) => Self::Number(json),
            None => return Err(broken()),
        })
    }

    /// The value in its one spelling.
    pub(crate) fn normal(&self) -> Result<String, Raised> {
        Ok(match self {
            Self::Null => "null".to_owned(),
            Self::Boolean(is) => is.to_string(),
            Self::Number(digits) => number(digits)?,
            Self::Text(text) => quoted(text),
            Self::Object(json) | Self::Array(json) => spelled(json, number)?,
        })
    }

    /// The value as a message shows it.
    fn shown(&self) -> String {
        match self {
            Self::Number(json) | Self::Object(json) | Self::Array(json) => {
                displayed(json).unwrap_or_else(|_| (*json).to_owned())
            }
            _ => self.normal().unwrap_or_default(),
        }
    }
}

fn broken() -> Raised {
    Raised::internal("a VARIANT that is not JSON")
}

/// The value under a key of an object; none in other values.
pub(crate) fn field(json: &str, key: &str) -> Result<Value, Raised> {
    let Json::Object(object) = Json::read(json)? else {
        return Ok(Value::Null);
    };
    let fields = Fields::read(object)
        .map_err(|why| Raised::unsupported(format!("a path into an object: {}", why.message)))?;
    Ok(fields
        .get(key)
        .map_or(Value::Null, |raw| Value::Text(raw.get().to_owned())))
}

/// The value at a position of an array; none in other values.
pub(crate) fn element(json: &str, position: i64) -> Result<Value, Raised> {
    let Json::Array(array) = Json::read(json)? else {
        return Ok(Value::Null);
    };
    let elements = elements(array)?;
    let found = usize::try_from(position)
        .ok()
        .and_then(|at| elements.get(at));
    Ok(found.map_or(Value::Null, |raw| Value::Text(raw.get().to_owned())))
}

pub(super) fn elements(array: &str) -> Result<Vec<&RawValue>, Raised> {
    serde_json::from_str(array).map_err(|_| broken())
}

/// How many elements an array has; NULL for other values.
pub(crate) fn array_size(json: &str) -> Outcome {
    match Json::read(json)? {
        Json::Array(array) => super::arguments::integer(elements(array)?.len()),
        _ => Ok(Value::Null),
    }
}

/// The name that TYPEOF has for a value.
pub(crate) fn type_of(json: &str) -> Result<&'static str, Raised> {
    Ok(match Json::read(json)? {
        Json::Null => "NULL_VALUE",
        Json::Boolean(_) => "BOOLEAN",
        Json::Number(digits) if is_double(digits) => "DOUBLE",
        Json::Number(digits) => match digits.split_once('.') {
            None => "INTEGER",
            Some((_, fraction)) if fraction.trim_end_matches('0').is_empty() => {
                return Err(Raised::unsupported(format!(
                    "the type of the VARIANT {digits}, a whole number with zeros behind the point"
                )));
            }
            Some(_) => "DECIMAL",
        },
        Json::Text(_) => "VARCHAR",
        Json::Object(_) => "OBJECT",
        Json::Array(_) => "ARRAY",
    })
}

/// A VARIANT as VARCHAR: the content of a string, NULL for a JSON null, JSON for objects and arrays.
pub(crate) fn to_text(json: &str) -> Outcome {
    Ok(match Json::read(json)? {
        Json::Null => Value::Null,
        Json::Text(text) => Value::Text(text),
        other => Value::Text(other.normal()?),
    })
}

pub(crate) fn to_number(json: &str, precision: u8, scale: u8) -> Outcome {
    let found = Json::read(json)?;
    let units = match &found {
        Json::Null => return Ok(Value::Null),
        Json::Boolean(is) => numbers::rescale((*is).into(), 0, scale)
            .ok_or_else(|| Raised::out_of_range(json, precision))?,
        Json::Number(digits) => numbers::parse(digits, precision, scale)?,
        Json::Text(text) => match numbers::parse(text, precision, scale) {
            Err(why) if why.code == "100038" => {
                return Err(Raised::not_cast(&found.shown(), "FIXED"));
            }
            units => units?,
        },
        Json::Object(_) | Json::Array(_) => {
            return Err(Raised::not_cast(&found.shown(), "FIXED"));
        }
    };
    numbers::number(units, precision)
}

pub(crate) fn to_float(json: &str) -> Outcome {
    let found = Json::read(json)?;
    let refused = |_| Raised::not_cast(&found.shown(), "REAL");
    Ok(real(match &found {
        Json::Null => return Ok(Value::Null),
        Json::Boolean(is) => f64::from(u8::from(*is)),
        Json::Number(digits) => floats::parse(digits).map_err(refused)?,
        Json::Text(text) => floats::parse(text).map_err(refused)?,
        Json::Object(_) | Json::Array(_) => {
            return Err(Raised::not_cast(&found.shown(), "REAL"));
        }
    }))
}

pub(crate) fn to_boolean(json: &str) -> Outcome {
    let found = Json::read(json)?;
    let refused = || Raised::not_cast(&found.shown(), "BOOLEAN");
    Ok(boolean(match &found {
        Json::Null => return Ok(Value::Null),
        Json::Boolean(is) => *is,
        Json::Number(digits) => floats::parse(digits)? != 0.0,
        Json::Text(text) => texts::boolean(text).map_err(|_| refused())?,
        Json::Object(_) | Json::Array(_) => return Err(refused()),
    }))
}

/// The text that a date or time is read from; NULL for a JSON null.
pub(crate) fn to_moment_text(json: &str, to: &str) -> Result<Option<String>, Raised> {
    match Json::read(json)? {
        Json::Null => Ok(None),
        Json::Text(text) => Ok(Some(text)),
        Json::Number(_) => Err(Raised::unsupported(format!(
            "the VARIANT number {json} as {to}: cast it to NUMBER and call TO_TIMESTAMP"
        ))),
        other => Err(Raised::not_cast(&other.shown(), to)),
    }
}

/// A VARIANT as OBJECT, which it has to be.
pub(crate) fn to_object(json: &str) -> Outcome {
    match Json::read(json)? {
        Json::Null => Ok(Value::Null),
        Json::Object(json) => Ok(Value::Text(json.to_owned())),
        other => Err(Raised::not_cast(&other.shown(), "OBJECT")),
    }
}

/// A VARIANT that is compared with a value of another type, as that type; NULL for a JSON null.
pub(crate) fn compared(json: &str, with: &str) -> Outcome {
    match (Json::read(json)?, with) {
        (Json::Null, _) => Ok(Value::Null),
        (Json::Text(text), "VARCHAR") => Ok(Value::Text(text)),
        (Json::Boolean(is), "BOOLEAN") => Ok(boolean(is)),
        (Json::Number(digits), "NUMBER") => {
            let behind = digits.split_once('.').map_or("", |(_, behind)| behind);
            if is_double(digits) || behind.len() > usize::from(COMPARED_SCALE) {
                return Err(Raised::unsupported(format!(
                    "the VARIANT number {digits} in a comparison: cast it"
                )));
            }
            numbers::number(
                numbers::parse(digits, numbers::MOST_DIGITS, COMPARED_SCALE)?,
                numbers::MOST_DIGITS,
            )
        }
        (Json::Number(digits), "FLOAT") => floats::parse(digits).map(real),
        (other, _) => Err(Raised::unsupported(format!(
            "a comparison of the VARIANT {} with a value of type {with}: cast it",
            other.shown()
        ))),
    }
}

/// The digits behind the point that a VARIANT number in a comparison has.
pub(crate) const COMPARED_SCALE: u8 = 12;

/// A scalar VARIANT in the one spelling by which equal values are grouped.
pub(crate) fn key(json: &str) -> Outcome {
    match Json::read(json)? {
        Json::Object(_) | Json::Array(_) => Err(Raised::unsupported(
            "objects and arrays in GROUP BY, DISTINCT or a comparison: cast them to VARCHAR",
        )),
        scalar => Ok(Value::Text(scalar.normal()?)),
    }
}

/// `PARSE_JSON`.
pub(crate) fn parse(text: &str) -> Outcome {
    match json_reading::parse(text) {
        Ok(json) => Ok(json.map_or(Value::Null, Value::Text)),
        Err(Unread::Broken(why)) => Err(Raised::new("100069", "22P02", why)),
        Err(Unread::Lenient(what)) => Err(Raised::unsupported(what)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(outcome: Outcome) -> String {
        match outcome {
            Ok(Value::Text(text)) => text,
            Ok(Value::Null) => "NULL".to_owned(),
            Ok(other) => format!("{other:?}"),
            Err(why) => why.message,
        }
    }

    #[test]
    fn values_become_text_as_in_snowflake() {
        for (json, wanted) in [
            ("null", "NULL"),
            ("true", "true"),
            ("1.50", "1.5"),
            ("12345678901234567890", "12345678901234567890"),
            ("\"a\\u00e9\\n\"", "a\u{e9}\n"),
            ("{ \"a\": \" b \" }", "{\"a\":\" b \"}"),
        ] {
            assert_eq!(text(to_text(json)), wanted, "{json}");
        }
    }

    #[test]
    fn paths_tell_null_from_nothing() {
        let json = r#"{"a":null,"b":[1,2.50],"A":1}"#;
        assert_eq!(text(field(json, "a")), "null");
        assert_eq!(text(field(json, "c")), "NULL");
        assert_eq!(text(field("[1]", "a")), "NULL");
        assert_eq!(text(element("[1,2.50]", 1)), "2.50");
        assert_eq!(text(element("[1]", -1)), "NULL");
        assert_eq!(text(element("{}", 0)), "NULL");
        assert!(field(r#"{"a":1,"a":2}"#, "a").unwrap_err().is_unsupported());
    }

    #[test]
    fn only_values_of_one_type_are_compared() {
        assert_eq!(text(compared("\"a\"", "VARCHAR")), "a");
        assert_eq!(text(compared("null", "NUMBER")), "NULL");
        assert!(compared("1", "VARCHAR").unwrap_err().is_unsupported());
        assert!(
            compared("0.1234567890123", "NUMBER")
                .unwrap_err()
                .is_unsupported()
        );
        assert_eq!(text(key("1.0")), text(key("1")));
        assert!(key("[]").unwrap_err().is_unsupported());
    }
}
