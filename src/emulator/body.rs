//! Bodies: decompression within a bound, and the lines of NDJSON.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, StatusCode};

use super::answer::Refusal;

/// The body as it was before its `Content-Encoding`, at most `most` bytes of it.
pub(super) fn decompress(
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
        "zstd" => {
            let decoder = zstd::stream::read::Decoder::with_buffer(body)
                .map_err(|why| Refusal::malformed(format!("The body is not zstd: {why}.")))?;
            read_within(decoder, most)
        }
        other => Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "ERR_UNSUPPORTED_CONTENT_ENCODING",
            format!("The content encoding {other:?} is neither gzip nor zstd."),
        )),
    }
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

/// The lines that hold anything, without their line ends.
pub(super) fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    body.split(|&byte| byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
}
