//! Makes texts that come from elsewhere safe to show in a terminal.

/// The first `max` characters of `text` on one line. Line breaks and tabs become spaces. Characters that move a terminal's cursor or
/// change the direction of text are escaped as in Rust.
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

/// JSON with the characters escaped that [`printable`] escapes, which JSON may hold as they are.
pub(crate) fn escaped_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\n' || !is_unsafe(c) {
            shown.push(c);
            continue;
        }
        let mut units = [0; 2];
        let units = c.encode_utf16(&mut units).iter();
        shown.extend(units.map(|unit| format!("\\u{unit:04x}")));
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
    use super::{escaped_json, printable};

    #[test]
    fn control_characters_and_direction_marks_are_escaped() {
        for (text, shown) in [
            ("plain, Ünïcödé, 雪", "plain, Ünïcödé, 雪"),
            ("\u{1b}[2Jgone\u{7}", "\\u{1b}[2Jgone\\u{7}"),
            ("two\r\nlines\tand a tab\n", "two  lines and a tab"),
            ("a\u{202e}txt.exe", "a\\u{202e}txt.exe"),
        ] {
            assert_eq!(printable(text, 100), shown);
        }
        assert_eq!(printable("  雪雪雪", 2), "雪雪");
        assert_eq!(
            escaped_json("{\n\"a\":\"\u{202e}\u{e0041}\"}"),
            "{\n\"a\":\"\\u202e\\udb40\\udc41\"}"
        );
    }
}
