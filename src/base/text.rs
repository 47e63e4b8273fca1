//! Makes a server's text safe to show in errors, log lines and terminals.
//!
//! Text that is only shown (codes, messages) is cut and escaped as it is read, so that log lines and terminals can trust it.

/// The maximum length of an error or status code, in characters.
pub(crate) const CODE: usize = 100;

/// The maximum length of the message of a rejected row, in characters.
pub(crate) const MESSAGE: usize = 1000;

/// The maximum length of a quotation from a server's answer in an error, in characters.
pub(crate) const QUOTE: usize = 200;

/// Shown instead of a secret.
pub(crate) const REDACTED: &str = "[redacted]";

/// The beginning of a text, safe to show.
pub(crate) fn quote(text: &str) -> String {
    printable(text, QUOTE)
}

/// The first `max` characters of `text` on one line. Line breaks and tabs become spaces. Characters that move a terminal's
/// cursor or change the direction of text are escaped as in Rust.
pub(crate) fn printable(text: &str, max: usize) -> String {
    let mut shown = String::new();
    for c in text.trim().chars().take(max) {
        match c {
            '\n' | '\r' | '\t' => shown.push(' '),
            c if is_unsafe(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

/// Control characters, line and paragraph separators, and zero-width characters such as direction marks.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn control_characters_and_direction_marks_are_escaped() {
        for (text, shown) in [
            (
                "plain, Ünïcödé, 雪, ‘quoted’ \"\\\"",
                "plain, Ünïcödé, 雪, ‘quoted’ \"\\\"",
            ),
            ("\u{1b}[2Jgone\u{7}", "\\u{1b}[2Jgone\\u{7}"),
            ("two\r\nlines\tand a tab\n", "two  lines and a tab"),
            ("a\u{9b}31mb", "a\\u{9b}31mb"),
            ("a\u{202e}txt.exe", "a\\u{202e}txt.exe"),
            ("a\u{2028}b\u{feff}", "a\\u{2028}b\\u{feff}"),
            ("", ""),
        ] {
            assert_eq!(printable(text, 100), shown);
        }
    }

    #[test]
    fn text_is_cut_at_the_maximum_length() {
        assert_eq!(printable("abcdef", 3), "abc");
        assert_eq!(printable("  雪雪雪", 2), "雪雪");
    }
}
