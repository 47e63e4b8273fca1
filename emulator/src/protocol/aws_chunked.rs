//! The body of an upload as S3 clients stream it (`aws-chunked`): pieces with their lengths, then a trailer with the
//! checksum of the whole.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Crc;

/// The longest line with the length of a piece. One with a signature has less than 100 bytes.
const MOST_LINE: usize = 1024;
/// The trailer that is checked.
const CRC32: &str = "x-amz-checksum-crc32";

/// Why a body cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("the body ends in the middle of a piece")]
    Short,
    #[error("a piece does not begin with a length in hexadecimal")]
    Length,
    #[error("a piece does not end where its length says")]
    End,
    #[error("the trailer is not made of headers")]
    Trailer,
    #[error("the body does not have the length that its header says")]
    DecodedLength,
    #[error("the body does not have the CRC32 that its trailer says")]
    Checksum,
    #[error("the trailer does not have the CRC32 that a header announces")]
    NoChecksum,
}

/// The content of a body, if it is `length` bytes long and has the checksum that its trailer says, which it must have if it is
/// `announced`.
pub(crate) fn decode(
    mut body: &[u8],
    length: usize,
    announced: bool,
) -> Result<Vec<u8>, Malformed> {
    // The header may say anything; the content is never longer than the body.
    let mut content = Vec::with_capacity(length.min(body.len()));
    loop {
        let size = piece_length(line(&mut body)?)?;
        if size == 0 {
            break;
        }
        let piece = body.split_off(..size).ok_or(Malformed::Short)?;
        content.extend_from_slice(piece);
        let end = body.split_off(..2).ok_or(Malformed::Short)?;
        if end != b"\r\n" {
            return Err(Malformed::End);
        }
    }
    let has_checksum = check_trailer(body, &content)?;
    if content.len() != length {
        return Err(Malformed::DecodedLength);
    }
    if announced && !has_checksum {
        return Err(Malformed::NoChecksum);
    }
    Ok(content)
}

/// Whether `content` has this CRC32, given in base64.
pub(crate) fn has_crc32(content: &[u8], expected: &str) -> bool {
    let mut crc = Crc::new();
    crc.update(content);
    STANDARD.encode(crc.sum().to_be_bytes()) == expected.trim()
}

/// Whether there is a checksum; it is right then.
fn check_trailer(mut trailer: &[u8], content: &[u8]) -> Result<bool, Malformed> {
    let mut has_checksum = false;
    // A body that ends without an empty line is as clear.
    while !trailer.is_empty() {
        let line = line(&mut trailer)?;
        if line.is_empty() {
            break;
        }
        let line = str::from_utf8(line).map_err(|_| Malformed::Trailer)?;
        let (name, value) = line.split_once(':').ok_or(Malformed::Trailer)?;
        if name.eq_ignore_ascii_case(CRC32) {
            if !has_crc32(content, value) {
                return Err(Malformed::Checksum);
            }
            has_checksum = true;
        }
    }
    Ok(has_checksum)
}

/// The next line, without its end.
fn line<'a>(body: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let end = body
        .windows(2)
        .take(MOST_LINE)
        .position(|end| end == b"\r\n")
        .ok_or(Malformed::Short)?;
    let line = body.split_off(..end).ok_or(Malformed::Short)?;
    body.split_off(..2).ok_or(Malformed::Short)?;
    Ok(line)
}

/// `1a0;chunk-signature=…` or `1a0`.
fn piece_length(line: &[u8]) -> Result<usize, Malformed> {
    let digits = line.split(|&byte| byte == b';').next().unwrap_or_default();
    let digits = str::from_utf8(digits).map_err(|_| Malformed::Length)?;
    // `from_str_radix` takes a sign as well.
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(Malformed::Length);
    }
    usize::from_str_radix(digits, 16).map_err(|_| Malformed::Length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Known from the definition of CRC-32: of the nine digits it is cbf43926.
    const NINE: &str = "y/Q5Jg==";

    #[test]
    fn pieces_with_and_without_signatures_come_together() {
        let body = format!(
            "4;chunk-signature=ab12\r\n1234\r\n5\r\n56789\r\n0\r\nX-Amz-Checksum-CRC32: {NINE}\r\n\r\n"
        );
        assert_eq!(decode(body.as_bytes(), 9, true), Ok(b"123456789".to_vec()));
        assert_eq!(
            decode(body.as_bytes(), 8, true),
            Err(Malformed::DecodedLength)
        );
        let other = body.replace("56789", "5678 ");
        assert_eq!(decode(other.as_bytes(), 9, true), Err(Malformed::Checksum));
        assert_eq!(decode(b"0\r\n", 0, false), Ok(Vec::new()));
        let bare = b"9\r\n123456789\r\n0\r\n\r\n";
        assert_eq!(decode(bare, 9, false), Ok(b"123456789".to_vec()));
        assert_eq!(decode(bare, 9, true), Err(Malformed::NoChecksum));
    }

    #[test]
    fn hostile_lengths_are_refused() {
        for (body, why) in [
            (&b""[..], Malformed::Short),
            (b"ffffffffffffffff\r\n", Malformed::Short),
            (b"fffffffffffffffff\r\n", Malformed::Length),
            (b"-1\r\n", Malformed::Length),
            (b"+1\r\na\r\n0\r\n", Malformed::Length),
            (b"\r\n", Malformed::Length),
            (b"1\r\nab\r\n0\r\n", Malformed::End),
            (b"2\r\nab", Malformed::Short),
            (b"0\r\nno header\r\n", Malformed::Trailer),
            (&[b'1'; 5000], Malformed::Short),
        ] {
            assert_eq!(decode(body, 1, false), Err(why), "{}", body.escape_ascii());
        }
        // No memory is taken on a header's word.
        assert_eq!(
            decode(b"1\r\na\r\n0\r\n", usize::MAX, false),
            Err(Malformed::DecodedLength)
        );
    }

    proptest! {
        #[test]
        fn however_it_is_cut_the_content_is_the_same(
            content in proptest::collection::vec(any::<u8>(), 0..300),
            cuts in proptest::collection::vec(1_usize..50, 1..20),
        ) {
            let mut body = Vec::new();
            let mut rest = content.as_slice();
            for cut in cuts.iter().cycle() {
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                if piece.is_empty() {
                    break;
                }
                body.extend(format!("{:X}\r\n", piece.len()).into_bytes());
                body.extend(piece);
                body.extend(b"\r\n");
                rest = after;
            }
            body.extend(b"0\r\n\r\n");
            prop_assert_eq!(decode(&body, content.len(), false), Ok(content.clone()));
            // Cut short anywhere before its end, it is refused; the empty line may be missing.
            for end in 0..body.len() - 2 {
                prop_assert!(decode(&body[..end], content.len(), false).is_err());
            }
        }

        #[test]
        fn whatever_is_sent_there_is_an_answer(
            body in proptest::collection::vec(any::<u8>(), 0..200),
            length in any::<usize>(),
        ) {
            if let Ok(content) = decode(&body, length, false) {
                prop_assert_eq!(content.len(), length);
            }
        }
    }
}
