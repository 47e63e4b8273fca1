//! Reads a properties file: `key=value` lines by the rules of Java's `.properties`.

use std::iter::Peekable;
use std::str::Chars;

use super::config;
use crate::types::error::Result;

/// The pairs of a properties file, in order.
pub(super) fn pairs(text: &str) -> Result<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    let mut lines = text.trim_start_matches('\u{feff}').lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = line.to_owned();
        while continues(&logical) {
            logical.pop();
            let Some((_, next)) = lines.next() else {
                break;
            };
            logical.push_str(next.trim_start());
        }
        pairs.push(pair(&logical).ok_or_else(|| {
            config(format!(
                "the properties have an invalid \\u escape in line {}; write \\u and four hexadecimal digits",
                number + 1
            ))
        })?);
    }
    Ok(pairs)
}

/// Whether the next line continues this one: it ends in a backslash that is not escaped.
fn continues(line: &str) -> bool {
    let backslashes = line.chars().rev().take_while(|c| *c == '\\').count();
    backslashes % 2 == 1
}

fn pair(line: &str) -> Option<(String, String)> {
    let mut rest = line.chars().peekable();
    let key = unescaped(&mut rest, |c| {
        c == '=' || c == ':' || c.is_ascii_whitespace()
    })?;
    skip_blanks(&mut rest);
    if rest.next_if(|c| matches!(c, '=' | ':')).is_some() {
        skip_blanks(&mut rest);
    }
    let value = unescaped(&mut rest, |_| false)?;
    Some((key, value))
}

fn skip_blanks(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(char::is_ascii_whitespace).is_some() {}
}

/// The text up to an unescaped end, with escapes resolved. `None` if a `\u` is not followed by four digits.
fn unescaped(rest: &mut Peekable<Chars<'_>>, ends: impl Fn(char) -> bool) -> Option<String> {
    let mut text = String::new();
    while let Some(c) = rest.next_if(|c| !ends(*c)) {
        if c != '\\' {
            text.push(c);
            continue;
        }
        match rest.next() {
            Some('n') => text.push('\n'),
            Some('r') => text.push('\r'),
            Some('t') => text.push('\t'),
            Some('f') => text.push('\u{c}'),
            Some('u') => {
                let digits: String = rest.by_ref().take(4).collect();
                // `from_str_radix` accepts a sign.
                let whole = digits.len() == 4 && digits.chars().all(|c| c.is_ascii_hexdigit());
                let unit = u32::from_str_radix(&digits, 16).ok().filter(|_| whole)?;
                text.push(char::from_u32(unit)?);
            }
            Some(other) => text.push(other),
            None => {}
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::pairs;

    #[track_caller]
    fn read(text: &str, expected: &[(&str, &str)]) {
        let read = pairs(text).unwrap();
        let read: Vec<_> = read.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(read, expected);
    }

    #[test]
    fn keys_end_at_an_equals_sign_a_colon_or_a_blank() {
        read(
            "a=1\nb:2\nc 3\n  d  =  4 \ne\nf=x=y:z w\n",
            &[
                ("a", "1"),
                ("b", "2"),
                ("c", "3"),
                ("d", "4 "),
                ("e", ""),
                ("f", "x=y:z w"),
            ],
        );
    }

    #[test]
    fn comments_and_empty_lines_are_ignored() {
        read(
            "\u{feff}# a=1\r\n\r\n  ! b=2\r\nc=3 # not one\r\n",
            &[("c", "3 # not one")],
        );
    }

    #[test]
    fn escapes_are_resolved() {
        read(
            r"path=C:\\keys\\k.p8
pem=one\ntwo\ttab
a\=b\ c=\u0041\u00e4\:",
            &[
                ("path", r"C:\keys\k.p8"),
                ("pem", "one\ntwo\ttab"),
                ("a=b c", "Aä:"),
            ],
        );
    }

    #[test]
    fn a_backslash_at_the_end_joins_lines() {
        read(
            "a=one,\\\n   two\nb=ends in one\\\\\nc=3\\",
            &[("a", "one,two"), ("b", "ends in one\\"), ("c", "3")],
        );
    }

    #[test]
    fn an_invalid_escape_is_located_and_not_quoted() {
        for text in ["a=1\nb=hush\\u12", "a=1\nb=hush\\uzzzz", "\nb=hush\\ud800"] {
            let error = pairs(text).unwrap_err().to_string();
            assert!(error.contains("in line 2"), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
