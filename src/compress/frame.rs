//! zstd frames. Only this part of a channel calls C code, which Miri cannot run. Under Miri a frame contains the uncompressed
//! bytes.

use std::io;

#[cfg(miri)]
pub(crate) use self::stored::{Context, decompress};
#[cfg(not(miri))]
pub(crate) use self::zstandard::{Context, decompress};

#[cfg(not(miri))]
mod zstandard {
    use super::io;

    /// Compresses one frame after another.
    pub(crate) struct Context(zstd::bulk::Compressor<'static>);

    impl Context {
        pub(crate) fn new(level: i32) -> io::Result<Self> {
            zstd::bulk::Compressor::new(level).map(Self)
        }

        /// Compresses `bytes` into one frame, which replaces the content of `out`.
        pub(crate) fn compress(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
            out.clear();
            out.reserve(zstd::zstd_safe::compress_bound(bytes.len()));
            self.0.compress_to_buffer(bytes, out).map(|_| ())
        }
    }

    /// Decompresses a frame of at most `len` bytes.
    pub(crate) fn decompress(frame: &[u8], len: usize) -> io::Result<Vec<u8>> {
        zstd::bulk::decompress(frame, len)
    }
}

#[cfg(miri)]
mod stored {
    use super::io;

    pub(crate) struct Context;

    impl Context {
        pub(crate) fn new(_: i32) -> io::Result<Self> {
            Ok(Self)
        }

        pub(crate) fn compress(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
            out.clear();
            out.extend_from_slice(bytes);
            Ok(())
        }
    }

    pub(crate) fn decompress(frame: &[u8], len: usize) -> io::Result<Vec<u8>> {
        if frame.len() > len {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(frame.to_vec())
    }
}
