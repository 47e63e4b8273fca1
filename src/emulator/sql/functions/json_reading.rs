//! `PARSE_JSON`. Snowflake reads more than strict JSON, such as `{a:1}` and `[1,]`: a text that may be of these is refused.

use rusqlite::types::Value;
use serde_json::value::RawValue;

use super::arguments::Outcome;
use super::raised::Raised;
use crate::emulator::catalog::coercion::compact;
use crate::emulator::catalog::fields::repeated_within;

/// The words that Snowflake may read, in lower case.
const WORDS: &[&str] = &[
    "true",
    "false",
    "null",
    "undefined",
    "nan",
    "inf",
    "infinity",
];

/// `PARSE_JSON`: NULL for a text of nothing but white space.
pub(crate) fn parse(text: &str) -> Outcome {
    let text = text.trim();
    if text.is_empty() {
        return Ok(Value::Null);
    }
    let raw: Result<&RawValue, _> = serde_json::from_str(text);
    match raw {
        Ok(raw) => match repeated_within(raw.get()) {
            None => Ok(Value::Text(compact(raw.get()))),
            Some(key) => Err(broken(&format!("duplicate object attribute {key:?}"))),
        },
        Err(why) if is_no_json(text, &why) => Err(broken(&why.to_string())),
        Err(why) => Err(Raised::unsupported(format!(
            "PARSE_JSON of a text that is not strict JSON ({why})"
        ))),
    }
}

fn broken(why: &str) -> Raised {
    Raised::new("100069", "22P02", format!("Error parsing JSON: {why}"))
}

/// Whether a text that is not strict JSON is none for Snowflake either: it ends too early, lacks a value before a `}`, is a word that
/// is no value, or goes on behind an object or array with a further value.
fn is_no_json(text: &str, why: &serde_json::Error) -> bool {
    let word: String = text.chars().take_while(char::is_ascii_alphabetic).collect();
    if !word.is_empty() {
        return !WORDS.contains(&word.to_lowercase().as_str());
    }
    if why.is_eof() {
        return true;
    }
    let lines = text.split_inclusive('\n').map(str::len);
    let before: usize = lines.take(why.line().saturating_sub(1)).sum();
    let at = before + why.column().saturating_sub(1);
    let Some((before, from)) = text.split_at_checked(at) else {
        return false;
    };
    let lacks_value = from.starts_with('}') && before.trim_end().ends_with(':');
    let is_nested = text.starts_with(['{', '[']);
    let goes_on = why.to_string().starts_with("trailing characters");
    lacks_value || (is_nested && goes_on && from.starts_with(['{', '[', '"']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_read_once_and_strictly() {
        let text = |text: &str| Value::Text(text.to_owned());
        assert_eq!(parse(" \n").unwrap(), Value::Null);
        assert_eq!(parse(" [1, 2.50] ").unwrap(), text("[1,2.50]"));
        assert_eq!(
            parse(r#"{"b":1, "a":2}"#).unwrap(),
            text(r#"{"b":1,"a":2}"#)
        );
        for (json, why) in [
            ("{", "EOF"),
            ("[1,2", "EOF"),
            (r#"{"a": "json", "close": 10 "#, "EOF"),
            (r#""a"#, "EOF"),
            (r#"{"Malformed -- Missing value": }"#, "expected value"),
            ("{\n\"a\":\n }", "expected value"),
            ("hello", "expected value"),
            ("not json", "expected ident"),
            (r#"{"a":1} {"a":2}"#, "trailing characters"),
            (r#"{"a":1,"a":2}"#, r#"duplicate object attribute "a""#),
            (
                r#"[{"b":{"a":1,"\u0061":2}}]"#,
                r#"duplicate object attribute "a""#,
            ),
        ] {
            let raised = parse(json).unwrap_err();
            assert_eq!(raised.code, "100069", "{json}: {raised:?}");
            assert!(raised.message.contains(why), "{json}: {raised:?}");
        }
    }

    #[test]
    fn what_snowflake_may_read_is_refused() {
        for json in [
            "{a:1}",
            "[1,2,]",
            "[1, ,77]",
            "[-1, FALSE]",
            "TRUE",
            "NaN",
            "undefined",
            "'a'",
            "{'a':1}",
            "01",
            "+1",
            ".5",
            "[1] // one",
            "\"a\nb\"",
        ] {
            assert!(parse(json).unwrap_err().is_unsupported(), "{json}");
        }
    }
}
