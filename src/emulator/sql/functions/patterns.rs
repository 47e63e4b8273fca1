//! LIKE, REPLACE and TRIM, whose time grows with what they are given, and no faster. SQLite looks at the clock between its steps
//! only, so a function that takes hours in a single step would take them whatever the time limit is.

use std::collections::BTreeSet;
use std::str::Chars;
use std::time::Instant;

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, ffi};

/// How many steps of a comparison go by between two looks at the clock.
const STEPS: usize = 100_000;

/// Puts functions that end in time in the place of those of SQLite that do not: by `end`, and with texts of at most
/// `most_bytes`.
pub(crate) fn replace_slow(
    connection: &Connection,
    end: Option<Instant>,
    most_bytes: usize,
) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS;
    for arguments in [2, 3] {
        connection
            .create_scalar_function("like", arguments, flags, move |context| like(context, end))?;
    }
    connection.create_scalar_function("replace", 3, flags, move |context| {
        replace(context, most_bytes)
    })?;
    let trims: [(&str, Trim); 3] = [
        ("trim", |text, set| text.trim_matches(|c| set.contains(&c))),
        ("ltrim", |text, set| {
            text.trim_start_matches(|c| set.contains(&c))
        }),
        ("rtrim", |text, set| {
            text.trim_end_matches(|c| set.contains(&c))
        }),
    ];
    for (name, trim) in trims {
        for arguments in [1, 2] {
            connection.create_scalar_function(name, arguments, flags, move |context| {
                Ok(trimmed(context, trim))
            })?;
        }
    }
    Ok(())
}

type Trim = for<'a> fn(&'a str, &BTreeSet<char>) -> &'a str;

/// An argument as text; none for NULL, and for an argument that there is not.
fn text(context: &Context<'_>, position: usize) -> Option<String> {
    if position >= context.len() {
        return None;
    }
    match context.get_raw(position) {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(format!("{number:?}")),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            Some(String::from_utf8_lossy(bytes).into_owned())
        }
    }
}

fn failure(code: i32) -> Error {
    Error::SqliteFailure(ffi::Error::new(code), None)
}

fn trimmed(context: &Context<'_>, trim: Trim) -> Option<String> {
    let set = match context.len() {
        1 => " ".to_owned(),
        _ => text(context, 1)?,
    };
    let from = text(context, 0)?;
    Some(trim(&from, &set.chars().collect()).to_owned())
}

fn replace(context: &Context<'_>, most_bytes: usize) -> rusqlite::Result<Option<String>> {
    let texts = (text(context, 0), text(context, 1), text(context, 2));
    let (Some(within), Some(from), Some(to)) = texts else {
        return Ok(None);
    };
    if from.is_empty() {
        return Ok(Some(within));
    }
    let mut replaced = String::new();
    let mut parts = within.split(from.as_str());
    replaced.push_str(parts.next().unwrap_or_default());
    for part in parts {
        if replaced.len() + to.len() + part.len() > most_bytes {
            return Err(failure(ffi::SQLITE_TOOBIG));
        }
        replaced.push_str(&to);
        replaced.push_str(part);
    }
    Ok(Some(replaced))
}

/// `text LIKE pattern ESCAPE escape`, whose arguments come as pattern, text and escape. The case matters.
fn like(context: &Context<'_>, end: Option<Instant>) -> rusqlite::Result<Option<bool>> {
    let escape = text(context, 2);
    if context.len() == 3 && escape.is_none() {
        return Ok(None);
    }
    let (Some(pattern), Some(text)) = (text(context, 0), text(context, 1)) else {
        return Ok(None);
    };
    let mut pieces = Vec::new();
    let mut rest = pattern.chars();
    while let Some(sign) = rest.next() {
        let is_escape = |escape: &str| escape.chars().eq([sign]);
        pieces.push(match sign {
            _ if escape.as_deref().is_some_and(is_escape) => match rest.next() {
                Some(literal) => Piece::Is(literal),
                None => return Ok(Some(false)),
            },
            '%' => Piece::Any,
            '_' => Piece::One,
            literal => Piece::Is(literal),
        });
    }
    matches(&pieces, &text, || {
        end.is_some_and(|end| Instant::now() >= end)
    })
    .map(Some)
    .ok_or_else(|| failure(ffi::SQLITE_INTERRUPT))
}

/// A part of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Is(char),
    One,
    Any,
}

/// Whether a text matches a pattern; `None` after the deadline.
fn matches(mut pieces: &[Piece], text: &str, too_late: impl Fn() -> bool) -> Option<bool> {
    let mut rest = text.chars();
    // Where to go on when what follows the last `%` does not match: there, one character later.
    let mut again: Option<(&[Piece], Chars<'_>)> = None;
    for step in 1_usize.. {
        if step.is_multiple_of(STEPS) && too_late() {
            return None;
        }
        let mut after = rest.clone();
        match (pieces.split_first(), after.next()) {
            (Some((Piece::Any, [])), _) | (None, None) => return Some(true),
            (Some((Piece::Any, following)), _) => {
                pieces = following;
                again = Some((following, rest.clone()));
            }
            (Some((Piece::One, following)), Some(_)) => (pieces, rest) = (following, after),
            (Some((Piece::Is(wanted), following)), Some(found)) if *wanted == found => {
                (pieces, rest) = (following, after);
            }
            // There is less left than the pattern wants, and later there is still less.
            (Some(_), None) => return Some(false),
            _ => {
                let Some((following, from)) = &mut again else {
                    return Some(false);
                };
                from.next();
                (pieces, rest) = (*following, from.clone());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(expression: &str) -> rusqlite::Result<Option<String>> {
        let connection = Connection::open_in_memory().expect("a database");
        let end = Instant::now() + std::time::Duration::from_secs(3600);
        replace_slow(&connection, Some(end), 1000).expect("functions");
        let query = format!("SELECT CAST({expression} AS TEXT)");
        connection.query_row(&query, [], |row| row.get(0))
    }

    fn is_like(text: &str, pattern: &str) -> bool {
        let like = format!("'{text}' LIKE '{pattern}' ESCAPE '!'");
        answer(&like).expect("an answer").expect("no NULL") == "1"
    }

    #[test]
    fn a_pattern_matches_all_of_a_text() {
        for (text, pattern) in [
            ("", ""),
            ("", "%%"),
            ("Elkhorn", "Elkhorn"),
            ("Elkhorn", "E%n"),
            ("Elkhorn", "%kh%"),
            ("Elkhorn", "_______"),
            ("aab", "%ab"),
            ("abcabd", "%ab_"),
            ("mississippi", "m%iss%p_"),
            ("gr\u{fc}n\u{20ac}", "gr_n_"),
            ("100%", "100!%"),
            ("a!b", "a!!b"),
        ] {
            assert!(is_like(text, pattern), "{text} {pattern}");
        }
        for (text, pattern) in [
            ("", "_"),
            ("x", ""),
            ("Elkhorn", "elkhorn"),
            ("Elkhorn", "E%k"),
            ("Elkhorn", "________"),
            ("\u{20ac}", "%__"),
            ("100x", "100!%"),
            ("a", "a!"),
            ("ab", "%a"),
        ] {
            assert!(!is_like(text, pattern), "{text} {pattern}");
        }
        assert_eq!(answer("12.0 LIKE '12.0'").unwrap().unwrap(), "1");
        for unknown in ["NULL LIKE 'a'", "'a' LIKE NULL", "'a' LIKE 'a' ESCAPE NULL"] {
            assert_eq!(answer(unknown).unwrap(), None, "{unknown}");
        }
    }

    #[test]
    fn a_comparison_is_given_up_when_it_is_too_late() {
        let pieces = [Piece::Any, Piece::Is('a'), Piece::Is('b')];
        let text = "a".repeat(STEPS);
        assert_eq!(matches(&pieces, &text, || true), None);
        assert_eq!(matches(&pieces, &text, || false), Some(false));
    }

    #[test]
    fn texts_are_trimmed_and_replaced_as_sqlite_does_it() {
        for (expression, wanted) in [
            ("trim('  a b ')", Some("a b")),
            ("trim('xyaxx', 'yx')", Some("a")),
            ("ltrim('xxaxx', 'x')", Some("axx")),
            ("rtrim(12.50, '05')", Some("12.")),
            ("trim('a', NULL)", None),
            ("trim(NULL)", None),
            ("trim('aaa', 'a')", Some("")),
            ("replace('abcabc', 'bc', 'x')", Some("axax")),
            ("replace('abc', '', 'x')", Some("abc")),
            ("replace('aa', 'a', '')", Some("")),
            ("replace(1221, 2, 3)", Some("1331")),
            ("replace('a', NULL, 'x')", None),
        ] {
            assert_eq!(
                answer(expression).unwrap().as_deref(),
                wanted,
                "{expression}"
            );
        }
    }

    #[test]
    fn what_is_replaced_does_not_grow_beyond_the_limit() {
        let grown =
            |by: usize| answer(&format!("replace('aaaaaaaaaa', 'a', '{}')", "b".repeat(by)));
        assert_eq!(grown(100).unwrap().unwrap().len(), 1000);
        let why = grown(101).unwrap_err();
        assert_eq!(why.sqlite_error_code(), Some(rusqlite::ErrorCode::TooBig));
    }
}
