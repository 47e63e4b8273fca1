//! `PARSE_JSON`. Snowflake reads more than strict JSON, such as `{a:1}` and `[1,]`: a text that may be of these is refused.

use serde_json::value::RawValue;

use super::coercion::compact;
use super::fields::repeated_within;

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

/// Why a text is not read.
#[derive(Debug, PartialEq)]
pub(crate) enum Unread {
    /// It is no JSON.
    Broken(String),
    /// Snowflake may read it.
    Lenient(String),
}

/// The JSON of a text; none in a text of nothing but white space.
pub(crate) fn parse(text: &str) -> Result<Option<String>, Unread> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let broken = |why: &dyn std::fmt::Display| Unread::Broken(format!("Error parsing JSON: {why}"));
    let raw: Result<&RawValue, _> = serde_json::from_str(text);
    match raw {
        Ok(raw) => match repeated_within(raw.get()) {
            None => Ok(Some(compact(raw.get()))),
            Some(key) => Err(broken(&format!("duplicate object attribute {key:?}"))),
        },
        Err(why) if is_no_json(text, &why) => Err(broken(&why)),
        Err(why) => Err(Unread::Lenient(format!(
            "PARSE_JSON of a text that is not strict JSON ({why})"
        ))),
    }
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
        let read = |text: &str| parse(text).unwrap();
        assert_eq!(read(" \n"), None);
        assert_eq!(read(" [1, 2.50] ").as_deref(), Some("[1,2.50]"));
        assert_eq!(
            read(r#"{"b":1, "a":2}"#).as_deref(),
            Some(r#"{"b":1,"a":2}"#)
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
            match parse(json) {
                Err(Unread::Broken(message)) => assert!(message.contains(why), "{message}"),
                other => panic!("{json}: {other:?}"),
            }
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
            assert!(matches!(parse(json), Err(Unread::Lenient(_))), "{json}");
        }
    }
}
