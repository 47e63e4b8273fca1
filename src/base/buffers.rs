//! Buffers that are used again: to write into fresh memory costs the operating system more than the writing.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A batch of this uncompressed size is sealed if all before it are on their way: large enough that its request costs next
/// to nothing a row.
pub(crate) const EAGER_BATCH_BYTES: usize = 2 << 20;
/// Smaller batches get memory of their own: their channels may be many, and a used buffer would be held for little.
const LARGE: usize = 1 << 20;
/// What a buffer of a batch is made for, used or not. glibc maps blocks from 32 MiB on by themselves, so that they go back to
/// the operating system, and what is not written to is never there. Smaller ones it may keep among its own, with holes.
const MAPPED: usize = if cfg!(all(
    target_os = "linux",
    target_env = "gnu",
    target_pointer_width = "64"
)) {
    33 << 20
} else {
    0
};
/// A channel between two appends holds no more than this of its own.
const SMALL: usize = 4 << 10;
/// No append stages more than a piece and a row beside it, and few are under way at once.
const PIECES: usize = 4;

/// The idle buffers of a client.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// Of a batch that was sealed. One is enough: while a batch is compressed, the next one is filled.
    batch: Mutex<Vec<u8>>,
    /// Of pieces that were staged.
    pieces: Mutex<Vec<Vec<u8>>>,
}

impl Buffers {
    /// An empty buffer for a batch that is expected to become `len` bytes.
    pub(crate) fn batch(&self, len: usize) -> Vec<u8> {
        if len < LARGE {
            return Vec::with_capacity(len);
        }
        let mut buffer = std::mem::take(&mut *locked(&self.batch));
        buffer.reserve(len.max(MAPPED));
        buffer
    }

    /// Takes the buffer of a batch back.
    pub(crate) fn keep_batch(&self, mut buffer: Vec<u8>) {
        if (LARGE..2 * EAGER_BATCH_BYTES).contains(&buffer.len()) {
            buffer.clear();
            *locked(&self.batch) = buffer;
        }
    }

    /// An empty buffer for a piece.
    pub(crate) fn piece(&self) -> Vec<u8> {
        locked(&self.pieces).pop().unwrap_or_default()
    }

    /// Takes the buffer of a piece back, if it is too large for its channel to keep.
    pub(crate) fn keep_piece(&self, buffer: &mut Vec<u8>) {
        if buffer.capacity() <= SMALL {
            return;
        }
        let mut buffer = std::mem::take(buffer);
        buffer.clear();
        let mut pieces = locked(&self.pieces);
        if pieces.len() < PIECES && buffer.capacity() < LARGE {
            pieces.push(buffer);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
