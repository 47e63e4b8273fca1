//! LIKE and ILIKE, and REPLACE and TRIM, whose time grows with what they are given, and no faster, unlike that of SQLite's functions.

use std::collections::BTreeSet;
use std::str::Chars;

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, ffi};

use super::arguments;
use super::deadline::Deadline;
use super::raised::Raised;
use super::scalars::raised;
use super::texts::change_case;

/// How many steps of a comparison go by between two looks at the clock.
const STEPS: usize = 100_000;
/// How many steps a comparison may take in a pipe, whatever the clock says.
const MOST_STEPS_OF_ROW: usize = 1 << 26;

/// Makes LIKE and ILIKE known to a connection, and puts functions that end in time in the place of those of SQLite that do not.
/// Texts have at most `most_bytes`.
pub(crate) fn register(
    connection: &Connection,
    deadline: Deadline,
    most_bytes: usize,
) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS;
    for (function, ignores_case) in [("sf_like", false), ("sf_ilike", true)] {
        for arguments in [2, 3] {
            connection.create_scalar_function(function, arguments, flags, move |context| {
                like(context, ignores_case, deadline)
            })?;
        }
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

/// `f(text, pattern[, escape])`, which is NULL where an argument is.
fn like(
    context: &Context<'_>,
    ignores_case: bool,
    deadline: Deadline,
) -> rusqlite::Result<Option<bool>> {
    if (0..context.len()).any(|at| context.get_raw(at) == ValueRef::Null) {
        return Ok(None);
    }
    let argument = |at| arguments::text(context, at).map_err(raised);
    let (text, pattern) = (argument(0)?, argument(1)?);
    let escape = match context.len() {
        3 => Some(argument(2)?),
        _ => None,
    };
    let mut pieces = pieces(pattern, escape).map_err(raised)?;
    let mut lower = None;
    if ignores_case {
        for piece in &mut pieces {
            if let Piece::Is(letter) = piece {
                *letter = lower_case(*letter).map_err(raised)?;
            }
        }
        lower = Some(change_case(text, false).map_err(raised)?);
    }
    let name = if ignores_case { "ILIKE" } else { "LIKE" };
    let is_given_up = |steps| {
        let is_too_far = matches!(deadline, Deadline::Commit) && steps >= MOST_STEPS_OF_ROW;
        is_too_far || deadline.is_over()
    };
    matches(&pieces, lower.as_deref().unwrap_or(text), is_given_up)
        .map(Some)
        .ok_or_else(|| deadline.stopped(name))
}

/// The parts of a pattern.
fn pieces(pattern: &str, escape: Option<&str>) -> Result<Vec<Piece>, Raised> {
    let escape = match escape.map(|escape| (escape, escape.chars().next())) {
        None => None,
        Some((escape, Some(only))) if escape.len() == only.len_utf8() => Some(only),
        Some((other, _)) => {
            return Err(Raised::unsupported(format!(
                "ESCAPE '{other}', which is not one character"
            )));
        }
    };
    let mut pieces = Vec::new();
    let mut rest = pattern.chars();
    while let Some(sign) = rest.next() {
        pieces.push(match sign {
            _ if escape == Some(sign) => Piece::Is(rest.next().ok_or_else(|| {
                Raised::unsupported(format!(
                    "the pattern '{pattern}', which ends with its escape"
                ))
            })?),
            '%' => Piece::Any,
            '_' => Piece::One,
            literal => Piece::Is(literal),
        });
    }
    Ok(pieces)
}

fn lower_case(letter: char) -> Result<char, Raised> {
    let lower = change_case(letter.encode_utf8(&mut [0; 4]), false)?;
    Ok(lower.chars().next().unwrap_or(letter))
}

/// A part of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Is(char),
    One,
    Any,
}

/// Whether a text matches a pattern; `None` if the comparison is given up after so many steps.
fn matches(mut pieces: &[Piece], text: &str, is_given_up: impl Fn(usize) -> bool) -> Option<bool> {
    let mut rest = text.chars();
    // Where to go on when what follows the last `%` does not match: there, one character later.
    let mut again: Option<(&[Piece], Chars<'_>)> = None;
    for step in 1_usize.. {
        if step.is_multiple_of(STEPS) && is_given_up(step) {
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
        register(&connection, Deadline::Commit, 1000).expect("functions");
        let query = format!("SELECT CAST({expression} AS TEXT)");
        connection.query_row(&query, [], |row| row.get(0))
    }

    fn is_like(text: &str, pattern: &str) -> bool {
        let like = format!("sf_like('{text}', '{pattern}', '!')");
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
            ("ab", "%a"),
        ] {
            assert!(!is_like(text, pattern), "{text} {pattern}");
        }
        for unknown in [
            "sf_like(NULL, 'a')",
            "sf_ilike('a', NULL)",
            "sf_like('a', 'a', NULL)",
        ] {
            assert_eq!(answer(unknown).unwrap(), None, "{unknown}");
        }
    }

    #[test]
    fn an_escape_keeps_its_case() {
        for (call, wanted) in [
            ("sf_ilike('A%', 'aX%', 'X')", "1"),
            ("sf_ilike('Axb', 'aX%', 'X')", "0"),
            ("sf_ilike('AxB', 'axb', 'X')", "1"),
            ("sf_ilike('\u{c9}', '\u{e9}')", "1"),
            ("sf_like('a%', 'A%')", "0"),
        ] {
            assert_eq!(answer(call).unwrap().as_deref(), Some(wanted), "{call}");
        }
        for (call, what) in [
            ("sf_like('a', 'a', '!!')", "one character"),
            ("sf_like('a', 'a', '')", "one character"),
            ("sf_like('a', 'a!', '!')", "ends with its escape"),
            ("sf_ilike('\u{130}', 'i')", "the other case"),
        ] {
            let why = answer(call).unwrap_err().to_string();
            assert!(why.contains(what), "{call}: {why}");
        }
    }

    #[test]
    fn a_comparison_in_a_pipe_takes_only_so_many_steps() {
        let connection = Connection::open_in_memory().unwrap();
        register(&connection, Deadline::Commit, 1000).unwrap();
        let query = "SELECT sf_like(?1, ?2)";
        let answer = |text: &str, pattern: &str| {
            let read = |row: &rusqlite::Row<'_>| row.get::<_, bool>(0);
            connection.query_row(query, [text, pattern], read)
        };
        let text = "a".repeat(200_000);
        assert!(answer(&text, "%a%a%b").is_ok_and(|is_like| !is_like));
        let why = answer(&text, &format!("%{}b", "a".repeat(1_000))).unwrap_err();
        assert!(why.to_string().contains("LIKE"), "{why}");
    }

    #[test]
    fn a_comparison_is_given_up_when_it_is_too_late() {
        let pieces = [Piece::Any, Piece::Is('a'), Piece::Is('b')];
        let text = "a".repeat(STEPS);
        assert_eq!(matches(&pieces, &text, |_| true), None);
        assert_eq!(matches(&pieces, &text, |_| false), Some(false));
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
