//! Makes a server's text safe to show in errors, log lines and terminals.
//!
//! Text that is only shown (codes, messages) is cut and escaped as it is read, so that log lines and terminals can trust it.

use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

use crate::types::secret::Secret;

/// The maximum length of an error or status code, in characters.
pub(crate) const CODE: usize = 100;

/// The maximum length of the message of a rejected row, in characters.
pub(crate) const MESSAGE: usize = 1000;

/// The maximum length of a quotation from a server's answer in an error, in characters.
pub(crate) const QUOTE: usize = 200;

/// Shown instead of a secret.
pub(crate) const REDACTED: &str = "[redacted]";

/// The shortest piece of a secret that is hidden, in characters.
const PIECE: usize = 8;

/// A server's text without `secret`, which the server may repeat: plain or percent-encoded, as a whole or, if it is cut off or
/// escaped in another way, in pieces.
pub(crate) fn without(text: &str, secret: &Secret, instead: &str) -> String {
    let encoded = byte_serialize(secret.expose().as_bytes()).collect();
    let encoded: Zeroizing<String> = Zeroizing::new(encoded);
    let forms = [secret.expose(), &encoded];
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let piece = forms.iter().map(|form| piece_at_start(rest, form)).max();
        let (is_secret, length) = match piece.unwrap_or_default() {
            0 => (false, first.len_utf8()),
            piece => (true, piece),
        };
        let (start, end) = rest.split_at(length);
        shown.push_str(if is_secret { instead } else { start });
        rest = end;
    }
    shown
}

/// The length of the longest piece of `secret` with which `text` starts, or 0.
fn piece_at_start(text: &str, secret: &str) -> usize {
    let shortest = secret.chars().take(PIECE).count().max(1);
    let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
    let pieces = ends.skip(shortest - 1).take_while(|end| {
        let piece = text.get(..*end);
        piece.is_some_and(|piece| secret.contains(piece))
    });
    pieces.last().unwrap_or_default()
}

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

/// JSON with the characters escaped that [`printable`] escapes, which JSON may hold as they are.
#[cfg(feature = "cli")]
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
    use super::{printable, without};

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
    fn a_secret_and_its_pieces_are_hidden() {
        let hide = |text: &str| without(text, &"pat/0123456789+abc=".into(), "***");
        for (text, shown) in [
            ("Invalid pat/0123456789+abc=.", "Invalid ***."),
            ("bearer=pat%2F0123456789%2Babc%3D&x", "bearer=***&x"),
            (
                "it starts with \"Bearer pat/01234",
                "it starts with \"Bearer ***",
            ),
            ("…0123456789+abc= is invalid", "…*** is invalid"),
            ("pat/0123456789&#43;abc=", "***&#43;abc="),
            ("pat/012 is short", "pat/012 is short"),
            ("雪pat/0123456789+abc=雪", "雪***雪"),
            ("", ""),
        ] {
            assert_eq!(hide(text), shown);
        }
        assert_eq!(without("a hush b", &"hush".into(), "***"), "a *** b");
        assert_eq!(without("hus", &"hush".into(), "***"), "hus");
        assert_eq!(without("text", &"".into(), "***"), "text");
    }

    #[test]
    fn text_is_cut_at_the_maximum_length() {
        assert_eq!(printable("abcdef", 3), "abc");
        assert_eq!(printable("  雪雪雪", 2), "雪雪");
    }
}
