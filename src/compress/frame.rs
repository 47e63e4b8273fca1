//! zstd frames. Only this part of a channel calls C code, which Miri cannot run. Under Miri a frame contains the uncompressed
//! bytes.

use std::io;

#[cfg(miri)]
pub(crate) use self::stored::{Context, decompress};
#[cfg(not(miri))]
pub(crate) use self::zstandard::{Context, decompress};

#[cfg(not(miri))]
mod zstandard {
    use zstd::zstd_safe::CParameter;

    use super::io;

    /// 128 MiB, the largest window that a decoder of zstd takes unless it is told otherwise. A frame that is shorter has a window
    /// of its own length. The service takes windows of 32 MiB (observed: supabase/etl, `tests/snowflake/large_rows.rs`).
    const LARGEST_WINDOW_LOG: u32 = 27;
    /// Higher levels take seconds for a few megabytes and gain some percent.
    const THOROUGH_LEVEL: i32 = 9;

    /// Compresses one frame after another.
    pub(crate) struct Context(zstd::bulk::Compressor<'static>);

    impl Context {
        pub(crate) fn new(level: i32) -> io::Result<Self> {
            zstd::bulk::Compressor::new(level).map(Self)
        }

        /// Finds repetitions at any distance up to 128 MiB. It is some ten times as slow and uses some 40 MiB.
        pub(crate) fn thorough() -> io::Result<Self> {
            let Self(mut context) = Self::new(THOROUGH_LEVEL)?;
            context.set_parameter(CParameter::WindowLog(LARGEST_WINDOW_LOG))?;
            context.set_parameter(CParameter::EnableLongDistanceMatching(true))?;
            Ok(Self(context))
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

        pub(crate) fn thorough() -> io::Result<Self> {
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
