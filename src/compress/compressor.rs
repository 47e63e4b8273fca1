//! One zstd compressor with its output buffer.

use bytes::Bytes;

use super::frame;
use crate::types::error::{Error, ErrorKind, Result};

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
        Ok(Bytes::copy_from_slice(&self.out))
    }

    /// Keeps the buffer of a sealed batch for [`take_spent`](Self::take_spent).
    pub(crate) fn keep_spent(&mut self, bytes: Vec<u8>) {
        self.spent = bytes;
    }
}

fn compression_failed(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Protocol, "zstd could not compress a batch").with_source(error)
}
