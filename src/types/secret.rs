//! Secrets: keys, tokens, passphrases and passwords.

use std::fmt;

use memchr::memmem;
use secrecy::{ExposeSecret as _, SecretString};
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

/// The shortest piece of a secret that is replaced, in characters.
const PIECE: usize = 8;

/// A key, token, passphrase or password. `Debug` omits it, and its memory is overwritten when it is dropped.
///
/// ```
/// use snowpipe_streaming::auth::Secret;
/// let token = Secret::from("s3cret");
/// assert_eq!(token.expose(), "s3cret");
/// assert!(!format!("{token:?}").contains("s3cret"));
/// ```
#[derive(Clone, Default)]
pub struct Secret(SecretString);

impl Secret {
    /// The secret itself. Do not log it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// `text` with `instead` in the place of this secret. For the texts of servers, which may repeat a secret: plain or percent-encoded,
    /// as a whole or, if it is cut off or escaped in another way, in pieces of eight characters or more.
    ///
    /// ```
    /// use snowpipe_streaming::auth::Secret;
    /// let token = Secret::from("pat/0123456789");
    /// assert_eq!(token.remove_from("invalid token pat%2F0123456789", "***"), "invalid token ***");
    /// ```
    pub fn remove_from(&self, text: &str, instead: &str) -> String {
        let encoded = byte_serialize(self.expose().as_bytes()).collect();
        let encoded: Zeroizing<String> = Zeroizing::new(encoded);
        let forms = [self.expose(), &encoded];
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
}

/// The length of the longest piece of `secret` with which `text` starts, or 0.
fn piece_at_start(text: &str, secret: &str) -> usize {
    let shortest = secret.chars().take(PIECE).count().max(1);
    let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
    let pieces = ends.skip(shortest - 1).take_while(|end| {
        let piece = text.get(..*end);
        piece.is_some_and(|piece| memmem::find(secret.as_bytes(), piece.as_bytes()).is_some())
    });
    pieces.last().unwrap_or_default()
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([redacted])")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn a_secret_and_its_pieces_are_hidden() {
        let hide = |text: &str| Secret::from("pat/0123456789+abc=").remove_from(text, "***");
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
        assert_eq!(
            Secret::from("hush").remove_from("a hush b", "***"),
            "a *** b"
        );
        assert_eq!(Secret::from("hush").remove_from("hus", "***"), "hus");
        assert_eq!(Secret::from("").remove_from("text", "***"), "text");
    }
}
