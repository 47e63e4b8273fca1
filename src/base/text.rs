//! Text of a server, made fit to be shown: in an error, in a log line, on a terminal.

/// The longest code of an error or a status that is kept, in characters.
pub(crate) const CODE: usize = 100;

/// The longest message of a rejected row that is kept, in characters.
pub(crate) const MESSAGE: usize = 1000;

/// The longest piece of a server's answer that an error quotes, in characters.
pub(crate) const QUOTE: usize = 200;

/// The beginning of a text, fit to be shown.
pub(crate) fn quote(text: &str) -> String {
    printable(text, QUOTE)
}

/// The beginning of `text` on one line, at most `max` characters of it. Line breaks and tabs become spaces; what could move
/// a terminal's cursor, or change how the text around it reads, is escaped as Rust escapes it.
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

/// Control characters, line and paragraph separators, and characters without a width: direction marks among them.
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
    fn what_moves_a_cursor_or_turns_the_text_around_is_escaped() {
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
    fn no_more_is_shown_than_was_asked_for() {
        assert_eq!(printable("abcdef", 3), "abc");
        assert_eq!(printable("  雪雪雪", 2), "雪雪");
    }
}
