//! Functions that encode texts and bytes, and that make checksums of them.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use rusqlite::functions::Context;
use rusqlite::types::{Value, ValueRef};

use super::arguments::{Outcome, text, whole};
use super::arrays::List;
use super::raised::Raised;
use super::scalars::Scalar;
use super::spelling::quoted;
use crate::catalog::binary::{BinaryFormat, hex};

/// Functions that are NULL where an argument is.
pub(super) const STRICT: &[Scalar] = &[
    ("sf_text_binary", 1, |c| {
        decoded(text(c, 0)?, BinaryFormat::Hex)
    }),
    ("sf_to_binary", 2, |c| {
        decoded(text(c, 0)?, format(text(c, 1)?)?)
    }),
    ("sf_binary_text", 2, |c| {
        let bytes = bytes(c, 0)?;
        Ok(Value::Text(match format(text(c, 1)?)? {
            BinaryFormat::Hex => hex(bytes, usize::MAX).to_uppercase(),
            BinaryFormat::Base64 => STANDARD.encode(bytes),
            BinaryFormat::Utf8 => utf8(bytes)?,
        }))
    }),
    ("sf_hex_encode", 2, |c| {
        let encoded = hex(bytes(c, 0)?, usize::MAX);
        match whole(c, 1)? {
            1 => Ok(Value::Text(encoded.to_uppercase())),
            0 => Ok(Value::Text(encoded)),
            other => Err(Raised::unsupported(format!(
                "HEX_ENCODE with the case {other}"
            ))),
        }
    }),
    ("sf_hex_decode", 1, |c| {
        let found = text(c, 0)?;
        let bytes = BinaryFormat::Hex.decode(found);
        utf8(&bytes.ok_or_else(|| not_encoded(found, BinaryFormat::Hex))?).map(Value::Text)
    }),
    ("sf_md5", 1, |c| Ok(digested(&Md5::digest(bytes(c, 0)?)))),
    ("sf_sha1", 1, |c| {
        let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes(c, 0)?);
        Ok(digested(digest.as_ref()))
    }),
    ("sf_sha2", 2, |c| {
        let algorithm = match whole(c, 1)? {
            224 => &digest::SHA224,
            256 => &digest::SHA256,
            384 => &digest::SHA384,
            512 => &digest::SHA512,
            other => return Err(Raised::unsupported(format!("SHA2 of {other} bits"))),
        };
        Ok(digested(digest::digest(algorithm, bytes(c, 0)?).as_ref()))
    }),
    ("sf_ascii", 1, |c| match text(c, 0)?.chars().next() {
        Some(other) if !other.is_ascii() => Err(Raised::unsupported(format!("ASCII of {other:?}"))),
        first => Ok(Value::Integer(u32::from(first.unwrap_or('\0')).into())),
    }),
    ("sf_unicode", 1, |c| {
        let first = text(c, 0)?.chars().next().unwrap_or('\0');
        Ok(Value::Integer(u32::from(first).into()))
    }),
    ("sf_chr", 1, |c| {
        let code = whole(c, 0)?;
        let found = u32::try_from(code).ok().and_then(char::from_u32);
        let found = found.ok_or_else(|| {
            let message = format!("Invalid character code {code} in the CHR input");
            Raised::new("100120", "22023", message)
        })?;
        Ok(Value::Text(found.to_string()))
    }),
    ("sf_split", 2, |c| {
        let (text, separator) = (text(c, 0)?, text(c, 1)?);
        let mut parts = List::new('[');
        if separator.is_empty() {
            parts.push(&quoted(text))?;
            return Ok(parts.end(']'));
        }
        for part in text.split(separator) {
            parts.push(&quoted(part))?;
        }
        Ok(parts.end(']'))
    }),
];

/// Those of which `TRY_` gives NULL.
pub(super) const TRIED: &[(&str, &str)] = &[
    ("sf_try_text_binary", "sf_text_binary"),
    ("sf_try_to_binary", "sf_to_binary"),
    ("sf_try_hex_decode", "sf_hex_decode"),
];

/// The bytes of a text or of BINARY.
fn bytes<'a>(context: &'a Context<'_>, at: usize) -> Result<&'a [u8], Raised> {
    match context.get_raw(at) {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Ok(bytes),
        _ => Err(Raised::internal("bytes in another form")),
    }
}

fn digested(digest: &[u8]) -> Value {
    Value::Text(hex(digest, usize::MAX))
}

/// Of other formats `TRY_` gives NULL, as it is documented; whether UTF8 is one in a function is not.
fn format(name: &str) -> Result<BinaryFormat, Raised> {
    if name.eq_ignore_ascii_case("UTF8") {
        return Err(Raised::unsupported(
            "the binary format UTF8 in a function: write UTF-8",
        ));
    }
    let known = name.parse();
    known.map_err(|_| Raised::not_a("Binary format", "100115", "22000", name))
}

fn decoded(text: &str, format: BinaryFormat) -> Outcome {
    let bytes = format.decode(text);
    bytes
        .map(Value::Blob)
        .ok_or_else(|| not_encoded(text, format))
}

fn not_encoded(text: &str, format: BinaryFormat) -> Raised {
    let name = format.to_string().to_lowercase();
    let message = format!("The following string is not a legal {name}-encoded value: '{text}'");
    Raised::new("100115", "22000", message)
}

fn utf8(bytes: &[u8]) -> Result<String, Raised> {
    let text = str::from_utf8(bytes).map(str::to_owned);
    text.map_err(|_| {
        let message = format!(
            "Invalid UTF8 detected in string '0x{}'",
            hex(bytes, 50).to_uppercase()
        );
        Raised::new("100144", "22000", message)
    })
}
