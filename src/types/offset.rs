//! Offset tokens: bookmarks in the caller's source that are opaque to the server, and the types that convert to them.

pub(crate) mod arguments;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

use super::error::{Error, ErrorKind, Result};

/// The characters that are not escaped in a query component: RFC 3986's unreserved characters.
pub(crate) const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The longest token, percent-encoded as in a URL. Proxies and servers refuse longer URLs.
pub(crate) const MAX_ENCODED_LEN: usize = 4096;

/// A bookmark in the caller's source. Snowflake stores the last committed token of a channel and returns it when the channel is
/// opened again.
///
/// A token is text whose meaning only its writer knows. It has no `Ord`, because `"10" < "9"` as text: [`parse`] it to compare
/// it. A committed token says that everything up to it is committed.
///
/// Two tokens are equal if their texts are equal. A channel checks that tokens made from integers rise. For all other tokens,
/// including text that consists of digits, it checks that they were not used before.
///
/// ```
/// use snowpipe_streaming::OffsetToken;
/// let token = OffsetToken::from(42_i64);
/// assert_eq!(token.as_str(), "42");
/// assert_eq!(token.parse::<u64>()?, 42);
/// # Ok::<(), snowpipe_streaming::Error>(())
/// ```
///
/// With serde a token is its text. An integer is deserialized as the token made from it.
///
/// [`parse`]: OffsetToken::parse
#[derive(Clone)]
pub struct OffsetToken {
    text: Arc<str>,
    /// Whether the token was made from an integer and is compared as one. Text that consists of digits is text.
    is_integer: bool,
}

impl OffsetToken {
    /// Creates a token from text.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOffset`] if it is empty, or longer than 4096 bytes when percent-encoded, because it is part of a
    /// URL.
    pub fn new(text: impl AsRef<str>) -> Result<Self> {
        let text = text.as_ref();
        if text.is_empty() {
            return Err(Error::new(
                ErrorKind::InvalidOffset,
                "the offset token is empty, which the server cannot distinguish from no token; use at least one character",
            ));
        }
        let encoded: usize = utf8_percent_encode(text, QUERY).map(str::len).sum();
        if encoded > MAX_ENCODED_LEN {
            return Err(Error::new(
                ErrorKind::InvalidOffset,
                format!(
                    "the offset token is {encoded} bytes long when percent-encoded, more than {MAX_ENCODED_LEN}; use a shorter bookmark, such as a sequence number"
                ),
            ));
        }
        Ok(Self::from_server(text))
    }

    /// Creates a token of twenty digits with leading zeros, which sorts as text in the order of the numbers. Use it for sources
    /// or SQL queries that compare tokens as text. [`parse`](Self::parse) returns the number.
    ///
    /// ```
    /// use snowpipe_streaming::OffsetToken;
    /// let (nine, ten) = (OffsetToken::padded(9), OffsetToken::padded(10));
    /// assert!(nine.as_str() < ten.as_str());
    /// assert_eq!(ten.parse::<u64>()?, 10);
    /// # Ok::<(), snowpipe_streaming::Error>(())
    /// ```
    pub fn padded(value: u64) -> Self {
        Self::from_server(&format!("{value:020}"))
    }

    /// A token from the server, unchecked.
    pub(crate) fn from_server(text: &str) -> Self {
        Self {
            text: text.into(),
            is_integer: false,
        }
    }

    /// The decimal text of a number.
    pub(crate) fn from_integer(value: i128) -> Self {
        Self {
            text: value.to_string().into(),
            is_integer: true,
        }
    }

    /// The text of the token.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Parses the token.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOffset`] if the token does not parse; the error names token and type.
    pub fn parse<T: FromStr>(&self) -> Result<T>
    where
        T::Err: fmt::Display,
    {
        self.text.parse().map_err(|why: T::Err| {
            let kind = std::any::type_name::<T>();
            Error::new(
                ErrorKind::InvalidOffset,
                format!("the offset token {:?} is not a {kind}: {why}; was this channel written by another program?", &*self.text),
            )
        })
    }

    /// The integer from which the token was made.
    pub(crate) fn as_integer(&self) -> Option<i128> {
        self.reads_as_integer().filter(|_| self.is_integer)
    }

    /// The token as an integer, if its text is exactly what this crate writes for an integer. For a token from the server this
    /// is the only evidence that it was made from one.
    pub(crate) fn reads_as_integer(&self) -> Option<i128> {
        canonical_integer(&self.text)
    }
}

impl PartialEq for OffsetToken {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for OffsetToken {}

impl Hash for OffsetToken {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

/// `text` as an integer, if printing that integer gives `text` again. At most 120 bits wide.
pub(crate) fn canonical_integer(text: &str) -> Option<i128> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let canonical = match digits.as_bytes() {
        [b'0'] => text.len() == 1,
        [first, rest @ ..] => matches!(first, b'1'..=b'9') && rest.iter().all(u8::is_ascii_digit),
        [] => false,
    };
    // Larger numbers are text, so that incrementing cannot overflow.
    let in_range = |value: &i128| value.unsigned_abs() < 1 << 120;
    if canonical {
        text.parse().ok().filter(in_range)
    } else {
        None
    }
}

impl fmt::Display for OffsetToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for OffsetToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text, f)
    }
}

impl Serialize for OffsetToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for OffsetToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct TokenVisitor;

        impl Visitor<'_> for TokenVisitor {
            type Value = OffsetToken;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an offset token: text or an integer")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> std::result::Result<OffsetToken, E> {
                OffsetToken::new(text).map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> std::result::Result<OffsetToken, E> {
                Ok(value.into())
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> std::result::Result<OffsetToken, E> {
                Ok(value.into())
            }
        }

        deserializer.deserialize_any(TokenVisitor)
    }
}

impl AsRef<str> for OffsetToken {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl From<&OffsetToken> for OffsetToken {
    fn from(token: &OffsetToken) -> Self {
        token.clone()
    }
}

impl TryFrom<&str> for OffsetToken {
    type Error = Error;

    fn try_from(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

impl TryFrom<String> for OffsetToken {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Self::new(text)
    }
}

impl FromStr for OffsetToken {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

macro_rules! from_integer {
    ($($int:ty),*) => {$(
        impl From<$int> for OffsetToken {
            fn from(value: $int) -> Self {
                Self::from_integer(arguments::to_i128(value))
            }
        }
    )*};
}

from_integer!(i32, u32, i64, u64, usize);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn serde_writes_the_text_and_reads_text_and_integers() {
        let token = OffsetToken::from(42);
        assert_eq!(serde_json::to_string(&token).unwrap(), "\"42\"");
        let read = |json: &str| serde_json::from_str::<OffsetToken>(json);
        assert_eq!(read("\"0/1A\"").unwrap(), OffsetToken::new("0/1A").unwrap());
        for (json, integer) in [("42", Some(42)), ("-7", Some(-7)), ("\"42\"", None)] {
            assert_eq!(read(json).unwrap().as_integer(), integer, "{json}");
        }
        for json in ["\"\"", "1.5", "null", "[1]"] {
            assert!(read(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_token_is_text_with_bounds() {
        assert_eq!(
            OffsetToken::new("").unwrap_err().kind(),
            ErrorKind::InvalidOffset
        );
        assert!(OffsetToken::new("a".repeat(4096)).is_ok());
        let error = OffsetToken::new("a".repeat(4097)).unwrap_err();
        assert!(error.to_string().contains("4097 bytes"), "{error}");
        // Each character takes three bytes when percent-encoded.
        assert!(OffsetToken::new("/".repeat(1365)).is_ok());
        assert!(OffsetToken::new("/".repeat(1366)).is_err());
        assert_eq!(OffsetToken::from(-3_i64).as_str(), "-3");
        assert_eq!(OffsetToken::from(u64::MAX).as_str(), "18446744073709551615");
    }

    #[test]
    fn a_token_that_does_not_parse_is_named_in_the_error() {
        let token = OffsetToken::new("order_17").unwrap();
        let error = token.parse::<u64>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOffset);
        assert!(
            error.to_string().contains("\"order_17\" is not a u64"),
            "{error}"
        );
    }

    #[test]
    fn text_of_digits_is_text_and_equal_to_the_integer_token() {
        let (text, integer) = (OffsetToken::new("7").unwrap(), OffsetToken::from(7));
        assert_eq!((text.as_integer(), integer.as_integer()), (None, Some(7)));
        assert_eq!(text, integer);
        assert_eq!(text.reads_as_integer(), Some(7));
        let both: std::collections::HashSet<_> = [text, integer].into();
        assert_eq!(both.len(), 1);
    }

    #[test]
    fn only_canonical_integers_are_read_as_integers() {
        for text in ["0", "7", "-7", "18446744073709551615"] {
            assert_eq!(canonical_integer(text), text.parse().ok(), "{text}");
        }
        for text in [
            "",
            "-",
            "-0",
            "00",
            "07",
            "+7",
            " 7",
            "7 ",
            "7a",
            "1e3",
            "170141183460469231731687303715884105728",
        ] {
            assert_eq!(canonical_integer(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn integers_round_trip(value: i64) {
            let token = OffsetToken::from(value);
            prop_assert_eq!(token.as_integer(), Some(i128::from(value)));
            prop_assert_eq!(token.parse::<i64>().unwrap(), value);
        }

        #[test]
        fn padded_numbers_keep_their_order(a: u64, b: u64) {
            let (x, y) = (OffsetToken::padded(a), OffsetToken::padded(b));
            prop_assert_eq!(x.as_str().cmp(y.as_str()), a.cmp(&b));
            prop_assert_eq!(x.parse::<u64>().unwrap(), a);
        }

        #[test]
        fn any_text_is_a_token_or_refused(text in "\\PC{0,40}|-?[0-9e+.]{0,60}|[\\x00-\\x20]{0,4}") {
            if let Ok(token) = OffsetToken::new(&text) {
                prop_assert_eq!(token.as_str(), &text);
                let _ = (token.parse::<u64>(), token.parse::<f64>(), token.as_integer());
            }
            let token = OffsetToken::from_server(&text);
            prop_assert_eq!(token.as_str(), &text);
        }

        #[test]
        fn an_integer_prints_as_its_token(text in "-?[0-9]{0,42}|\\PC*") {
            if let Some(value) = canonical_integer(&text) {
                prop_assert_eq!(value.to_string(), text);
            }
        }
    }
}
