//! One zstd compressor with its output buffer.

use bytes::Bytes;

use super::frame;
use crate::types::error::{Error, ErrorKind, Result};

/// A larger output buffer is not kept: batches need less, and a longer row is rare.
const LARGEST_OUT: usize = 17 << 20;

/// Compresses batches with a reused context and output buffer.
pub(crate) struct Compressor {
    context: frame::Context,
    out: Vec<u8>,
    /// The buffer of the last sealed batch, kept for reuse.
    spent: Vec<u8>,
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Compressor")
    }
}

impl Compressor {
    pub(crate) fn new(level: i32) -> Result<Self> {
        let context = frame::Context::new(level).map_err(compression_failed)?;
        Ok(Self {
            context,
            out: Vec::new(),
            spent: Vec::new(),
        })
    }

    /// Returns the buffer of the last sealed batch.
    pub(crate) fn take_spent(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.spent)
    }

    /// Returns one zstd frame, in a buffer of exactly its length, so that the charge equals the memory held.
    pub(crate) fn compress(&mut self, bytes: &[u8]) -> Result<Bytes> {
        self.context
            .compress(bytes, &mut self.out)
            .map_err(compression_failed)?;
        let body = Bytes::copy_from_slice(&self.out);
        if self.out.capacity() > LARGEST_OUT {
            self.out = Vec::new();
        }
        Ok(body)
    }

    /// As [`compress`](Self::compress), for a unit. If it has more than `limit` bytes, it is compressed more thoroughly.
    pub(crate) fn compress_unit(&mut self, unit: &[u8], limit: usize) -> Result<Bytes> {
        let body = self.compress(unit)?;
        if body.len() > limit {
            smaller(body, unit)
        } else {
            Ok(body)
        }
    }

    /// Keeps the buffer of a sealed batch for [`take_spent`](Self::take_spent).
    pub(crate) fn keep_spent(&mut self, bytes: Vec<u8>) {
        self.spent = bytes;
    }
}

/// Compresses a unit more thoroughly, and returns the frame or the earlier one, whichever is smaller. Numbers may become larger.
pub(crate) fn smaller(body: Bytes, unit: &[u8]) -> Result<Bytes> {
    let mut out = Vec::new();
    let mut context = frame::Context::thorough().map_err(compression_failed)?;
    context
        .compress(unit, &mut out)
        .map_err(compression_failed)?;
    if out.len() < body.len() {
        Ok(Bytes::copy_from_slice(&out))
    } else {
        Ok(body)
    }
}

fn compression_failed(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Protocol, "zstd could not compress a batch").with_source(error)
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::Compressor;
    use crate::compress::frame::decompress;

    /// Observed: supabase/etl, `tests/snowflake/large_rows.rs`, `repeated_blocks_beyond_default_window_are_stored`.
    #[test]
    fn a_block_that_repeats_beyond_the_default_window_is_found_when_the_unit_does_not_fit() {
        let mut rng = fastrand::Rng::with_seed(1);
        let block: Vec<u8> = std::iter::repeat_with(|| rng.u8(..))
            .take(1 << 20)
            .collect();
        let unit = block.repeat(4);
        let mut compressor = Compressor::new(1).unwrap();
        let usual = compressor.compress_unit(&unit, 5 << 20).unwrap();
        assert!(usual.len() > 4 << 20);
        let smaller = compressor.compress_unit(&unit, 4 << 20).unwrap();
        assert!(smaller.len() < (1 << 20) + 10_000, "{}", smaller.len());
        assert!(decompress(&smaller, unit.len()).unwrap() == unit);
        let streamed = zstd::stream::decode_all(&smaller[..]).unwrap();
        assert!(streamed == unit, "the window is one that decoders take");
    }

    #[test]
    fn the_smaller_of_two_frames_is_returned() {
        let mut rng = fastrand::Rng::with_seed(1);
        let noise: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(10_000).collect();
        let mut compressor = Compressor::new(1).unwrap();
        let usual = compressor.compress(&noise).unwrap();
        let unit = compressor.compress_unit(&noise, 1).unwrap();
        assert!(unit.len() <= usual.len());
    }
}
