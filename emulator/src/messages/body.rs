//! Bodies: decompression within a bound, and the lines of NDJSON.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, StatusCode};
use memchr::memchr;
use serde_json::value::RawValue;

use super::answer::Refusal;

/// How many rows a request may have. A row takes more memory than its text when it lands, and a small body unpacks to
/// many rows. The official SDK has no more than this in flight on a channel.
const MOST_ROWS: usize = 1 << 20;
/// How many bytes the offset tokens of a request may take when every row is rejected, for each then has a copy of them.
const MOST_TOKEN_BYTES: usize = 256 << 20;

/// The body as it was before its `Content-Encoding`, at most `most` bytes of it.
pub(crate) fn decompress(
    headers: &HeaderMap,
    body: &[u8],
    most: usize,
) -> Result<Vec<u8>, Refusal> {
    let encoding = match headers.get(CONTENT_ENCODING) {
        None => "identity",
        Some(value) => value.to_str().unwrap_or_default().trim(),
    };
    match encoding.to_ascii_lowercase().as_str() {
        "identity" => read_within(body, most),
        "gzip" => read_within(MultiGzDecoder::new(body), most),
        "zstd" => unpack_zstd(body, most),
        other => Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "ERR_UNSUPPORTED_CONTENT_ENCODING",
            format!("The content encoding {other:?} is neither gzip nor zstd."),
        )),
    }
}

/// What a body of zstd frames holds, at most `most` bytes of it.
pub(crate) fn unpack_zstd(body: &[u8], most: usize) -> Result<Vec<u8>, Refusal> {
    let decoder = zstd::stream::read::Decoder::with_buffer(body)
        .map_err(|why| Refusal::malformed(format!("The body is not zstd: {why}.")))?;
    read_within(decoder, most)
}

fn read_within(reader: impl Read, most: usize) -> Result<Vec<u8>, Refusal> {
    let mut whole = Vec::new();
    let read = reader.take(most as u64 + 1).read_to_end(&mut whole);
    if whole.len() > most {
        return Err(Refusal::too_large(format!(
            "The body holds more than {most} bytes when decompressed."
        )));
    }
    match read {
        Ok(_) => {
            // It is kept until it commits, and grew by doubling.
            whole.shrink_to_fit();
            Ok(whole)
        }
        Err(why) => Err(Refusal::malformed(format!(
            "The body cannot be decompressed: {why}."
        ))),
    }
}

/// Refuses a body of more rows than can land at once. `token_bytes` is the length of the request's offset tokens.
pub(crate) fn check_rows(body: &[u8], token_bytes: usize) -> Result<(), Refusal> {
    let most = MOST_TOKEN_BYTES
        .checked_div(token_bytes)
        .map_or(MOST_ROWS, |most| most.min(MOST_ROWS));
    if lines(body).nth(most).is_none() {
        return Ok(());
    }
    Err(Refusal::too_large(format!(
        "The body holds more than {most} rows."
    )))
}

/// Refuses a body with a line that is no JSON.
pub(crate) fn check_json(body: &[u8]) -> Result<(), Refusal> {
    for (position, line) in lines(body).enumerate() {
        if let Err(why) = serde_json::from_slice::<&RawValue>(line) {
            return Err(Refusal::malformed(format!(
                "Row {} is no JSON: {why}.",
                position + 1
            )));
        }
    }
    Ok(())
}

/// The lines that hold anything, without their line ends.
pub(crate) fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(body);
    let lines = std::iter::from_fn(move || {
        let body = rest?;
        let Some(end) = memchr(b'\n', body) else {
            rest = None;
            return Some(body);
        };
        rest = body.get(end + 1..);
        body.get(..end)
    });
    lines
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_allowed(rows: usize, token_bytes: usize) -> bool {
        let checked = check_rows(&b"1\n\n".repeat(rows), token_bytes);
        if let Err(refusal) = &checked {
            assert_eq!(refusal.status, StatusCode::PAYLOAD_TOO_LARGE);
        }
        checked.is_ok()
    }

    #[test]
    fn a_request_has_at_most_a_million_rows() {
        assert!(is_allowed(1_048_576, 20) && !is_allowed(1_048_577, 20));
        assert!(is_allowed(1_048_576, 0) && !is_allowed(1_048_577, 0));
    }

    #[test]
    fn lines_end_in_any_way_and_empty_ones_do_not_count() {
        for (body, expected) in [
            ("", &[][..]),
            ("\n \r\n", &[]),
            ("a", &["a"]),
            ("a\n", &["a"]),
            ("\na b\r\n\n  c", &["a b", "c"]),
        ] {
            let found: Vec<_> = lines(body.as_bytes()).collect();
            let expected: Vec<_> = expected.iter().map(|line| line.as_bytes()).collect();
            assert_eq!(found, expected, "{body:?}");
        }
    }

    #[test]
    fn long_tokens_allow_fewer_rows() {
        // 256 MiB of tokens of 8 KiB.
        assert!(is_allowed(32_768, 8_192) && !is_allowed(32_769, 8_192));
    }

    #[test]
    fn frames_without_content_and_frames_after_it_are_read() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, "zstd".parse().expect("a value"));
        let nothing = zstd::encode_all(&b""[..], 1).expect("a frame");
        // A frame to be skipped, of four bytes.
        let skipped = [0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4];
        let row = zstd::encode_all(&b"1\n"[..], 1).expect("a frame");
        let body = [nothing.repeat(100_000), skipped.repeat(1_000), row].concat();
        let read = decompress(&headers, &body, 2).expect("a body");
        assert_eq!(read, b"1\n");
    }

    #[test]
    fn a_frame_that_wants_a_huge_window_is_refused() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, "zstd".parse().expect("a value"));
        // The magic number, no content size, and a window of 2 GiB; then an empty last block.
        let body = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00];
        let refused = decompress(&headers, &body, 1 << 20).expect_err("a refusal");
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    }
}
