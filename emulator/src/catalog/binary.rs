//! BINARY in rows: the text formats that Snowflake reads it from.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The text format of BINARY values. Default pipes read [`Base64`](Self::Base64); pipes that CREATE PIPE made read the format
/// of the account, its parameter `BINARY_INPUT_FORMAT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum BinaryFormat {
    /// Hexadecimal digits: an account's default.
    #[default]
    Hex,
    /// Base64 with padding.
    Base64,
    /// The text itself, in UTF-8.
    Utf8,
}

impl BinaryFormat {
    const ALL: [Self; 3] = [Self::Hex, Self::Base64, Self::Utf8];

    /// The bytes that `text` stands for; `None` if it is not in this format.
    pub(crate) fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Hex => from_hex(text),
            // All white space is ignored: <https://docs.snowflake.com/en/sql-reference/binary-input-output>.
            Self::Base64 => {
                let dense: String = text.split_whitespace().collect();
                STANDARD.decode(dense).ok()
            }
            Self::Utf8 => Some(text.as_bytes().to_vec()),
        }
    }
}

/// As Snowflake spells it.
impl fmt::Display for BinaryFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hex => "HEX",
            Self::Base64 => "BASE64",
            Self::Utf8 => "UTF-8",
        })
    }
}

impl FromStr for BinaryFormat {
    type Err = String;

    /// Reads Snowflake's spelling in any case, and `UTF8` as well.
    fn from_str(text: &str) -> Result<Self, String> {
        let upper = text.to_uppercase();
        let wanted = if upper == "UTF8" { "UTF-8" } else { &upper };
        let mut all = Self::ALL.into_iter();
        all.find(|format| format.to_string() == wanted)
            .ok_or_else(|| {
                format!("{text:?} is not a format of BINARY: write HEX, BASE64 or UTF-8")
            })
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

/// The first `most` bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8], most: usize) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for byte in bytes.iter().take(most) {
        // A string takes everything.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
