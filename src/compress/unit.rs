//! Units: rows that may not be split. Whether one fits, and the error if it does not.
//!
//! Nothing bounds a row but its compressed size and the memory budget. A unit that does not fit into a request is compressed
//! again, with a larger window and a higher level, which only such units pay for.

use std::ops::Range;

use bytes::Bytes;
use memchr::memchr_iter;

use super::compressor::Compressor;
use super::frame;
use crate::base::options::Options;
use crate::rows::largest_value;
use crate::types::error::{Error, ErrorKind, Result};

/// Refuses a unit that is too large a part of the memory budget.
pub(crate) fn check_len(unit: &[u8], options: &Options) -> Result<()> {
    let most = options.max_unit();
    if unit.len() <= most {
        return Ok(());
    }
    let (bound, or) = if most < options.memory_budget / 4 {
        ("the most that a client takes", "")
    } else {
        (
            "a quarter of the memory budget",
            ", or raise the memory budget to four times its size",
        )
    };
    let why = format!("it is larger than {most} bytes, {bound}");
    Err(too_large(unit, unit.len(), &why, or))
}

/// The rows that have more than `most` bytes.
pub(crate) fn rows_longer_than(most: usize, ndjson: &[u8]) -> Vec<Range<usize>> {
    // Most pieces are shorter than that.
    if ndjson.len() <= most {
        return Vec::new();
    }
    let mut end = 0;
    let rows = memchr_iter(b'\n', ndjson).map(|line_feed| {
        let start = end;
        end = line_feed + 1;
        start..end
    });
    rows.filter(|row| row.len() > most).collect()
}

/// Compresses the `units` of `rows`, and refuses one that does not fit into a request of `limit` bytes. Returns the frame of the
/// rows if they are a single unit.
pub(crate) fn compress_each(
    compressor: &mut Compressor,
    rows: &[u8],
    units: &[Range<usize>],
    limit: usize,
) -> Result<Option<Bytes>> {
    let mut whole = None;
    for unit in units {
        let bytes = rows.get(unit.clone()).unwrap_or_default();
        let body = compress(compressor, bytes, limit)?;
        whole = (bytes.len() == rows.len()).then_some(body);
    }
    Ok(whole)
}

/// Compresses a unit, and refuses it if it does not fit into a request of `limit` bytes.
fn compress(compressor: &mut Compressor, unit: &[u8], limit: usize) -> Result<Bytes> {
    let body = compressor.compress_unit(unit, limit)?;
    if body.len() <= limit {
        return Ok(body);
    }
    let why = format!(
        "it has {} bytes compressed, which is more than the {limit} bytes of one request",
        body.len()
    );
    Err(too_large(unit, unit.len(), &why, ""))
}

/// Whether a row, as JSON on one line, fits into a request of a client with default options. A program that has many rows finds those
/// that do not fit without losing the others of their batch.
///
/// # Errors
///
/// [`ErrorKind::TooLarge`] names the column of the largest value, its size and the limit.
///
/// ```
/// use snowpipe_streaming::append::check_row;
/// assert!(check_row(br#"{"ID":1,"LIFT":"Elkhorn"}"#).is_ok());
/// ```
pub fn check_row(row: &[u8]) -> Result<()> {
    let options = Options::default();
    check_len(row, &options)?;
    if row.len() <= options.always_fits() {
        return Ok(());
    }
    let mut compressor = Compressor::new(options.compression_level)?;
    compress(&mut compressor, row, options.max_request_bytes).map(drop)
}

/// The error for a compressed unit of `len` bytes that the server does not accept.
pub(crate) fn refused_by_the_server(body: &[u8], len: usize) -> Error {
    let unit = frame::decompress(body, len).unwrap_or_default();
    let why = format!(
        "the server does not accept its {} compressed bytes in one request",
        body.len()
    );
    too_large(&unit, len, &why, "")
}

/// Names the column of the largest value, and no value.
fn too_large(unit: &[u8], len: usize, why: &str, or: &str) -> Error {
    let is_single = memchr_iter(b'\n', unit).nth(1).is_none();
    let (what, remedy) = if is_single {
        ("a row", "a smaller row")
    } else {
        ("an append", "fewer rows at once")
    };
    let largest = largest_value(unit).map_or_else(String::new, |(column, bytes)| {
        format!("the largest value has {bytes} bytes, in the column {column}; ")
    });
    Error::new(
        ErrorKind::TooLarge,
        format!("{what} of {len} bytes does not fit: {why}; {largest}append {remedy}{or}"),
    )
}

#[cfg(test)]
mod tests {
    use super::check_len;
    use crate::base::options::Options;

    fn with_budget(memory_budget: usize) -> Options {
        Options {
            memory_budget,
            ..Options::default()
        }
    }

    /// A VARCHAR of 16,777,216 characters lands (observed: supabase/etl, `tests/snowflake/large_rows.rs`).
    #[test]
    fn a_row_with_the_longest_varchar_fits_into_the_default_budget() {
        let row = vec![b'x'; 16_777_216 + 1_000];
        assert!(check_len(&row, &Options::default()).is_ok());
    }

    #[test]
    fn the_budget_that_the_error_asks_for_is_enough() {
        let row = vec![b'x'; 300_000];
        let refused = check_len(&row, &with_budget(1 << 20)).unwrap_err();
        let text = refused.to_string();
        assert!(text.contains("300000 bytes does not fit"), "{text}");
        assert!(text.contains("262144 bytes, a quarter"), "{text}");
        assert!(text.contains("four times its size"), "{text}");
        assert!(check_len(&row, &with_budget(4 * 300_000)).is_ok());
    }
}
