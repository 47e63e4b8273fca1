//! One zstd compressor, with the buffer that it writes into.

use bytes::Bytes;

use super::frame;
use crate::types::error::{Error, ErrorKind, Result};

/// Compresses batches with one re-used context and output buffer.
pub(crate) struct Compressor {
    context: frame::Context,
    out: Vec<u8>,
    /// Where the rows were that it sealed last.
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

    /// Parts with the buffer of the rows that it sealed last.
    pub(crate) fn take_spent(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.spent)
    }

    /// One zstd frame, in a buffer of exactly its length: what is charged is what is held.
    pub(crate) fn compress(&mut self, bytes: &[u8]) -> Result<Bytes> {
        self.context
            .compress(bytes, &mut self.out)
            .map_err(compression_failed)?;
        Ok(Bytes::copy_from_slice(&self.out))
    }

    /// Keeps the buffer of rows that were sealed, for [`take_spent`](Self::take_spent).
    pub(crate) fn keep_spent(&mut self, bytes: Vec<u8>) {
        self.spent = bytes;
    }
}

fn compression_failed(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Protocol, "zstd could not compress a batch").with_source(error)
}
