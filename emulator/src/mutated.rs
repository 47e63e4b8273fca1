//! Almost valid input for property tests, which gets further into a parser than arbitrary bytes.

use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Input that is hard for parsers: depth, size, unusual numbers, incomplete characters.
const NASTY: &[&[u8]] = &[
    b"((((((((((((((((((((((((((((((((((((((((",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    b"{\"a\":{\"a\":{\"a\":",
    b"1e999999999",
    b"-1e-999999999",
    b"99999999999999999999999999999999999999999999",
    b"18446744073709551615",
    b"-9223372036854775808",
    b"NaN",
    b"null",
    b"\\ud800",
    b"\\u0000",
    b"\0",
    b"\xff",
    b"\xc3",
    "é\u{202e}\u{feff}".as_bytes(),
    b"\"",
    b"'",
    b"\\",
    b"\n",
    b"%",
    b"%2",
    b"..",
    b"://",
    b"@",
    b":",
    b"-----",
    b"",
];

/// One of `samples` with up to six edits: a nasty piece inserted or overwritten, a part removed or duplicated.
pub(crate) fn mutated(samples: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let edit = (0..4_u8, any::<Index>(), 0..40_usize, select(NASTY));
    (select(samples), prop::collection::vec(edit, 0..6)).prop_map(|(mut bytes, edits)| {
        for (kind, at, length, nasty) in edits {
            let start = at.index(bytes.len() + 1);
            let end = (start + length).min(bytes.len());
            match kind {
                0 => drop(bytes.splice(start..start, nasty.iter().copied())),
                1 => drop(bytes.splice(start..end, nasty.iter().copied())),
                2 => drop(bytes.drain(start..end)),
                _ => {
                    let twice = bytes[start..end].to_vec();
                    drop(bytes.splice(start..start, twice));
                }
            }
        }
        bytes
    })
}

/// Like [`mutated`], for text.
pub(crate) fn mutated_text(samples: &[&str]) -> impl Strategy<Value = String> + use<> {
    let samples = samples.iter().map(|s| s.as_bytes().to_vec()).collect();
    mutated(samples).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}
