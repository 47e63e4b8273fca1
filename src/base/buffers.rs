//! Reused buffers: the page faults of fresh memory cost more than writing to it.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A batch of this uncompressed size is sealed if no earlier one waits to be sent: large enough that the cost of a request is
/// negligible per row.
pub(crate) const EAGER_BATCH_BYTES: usize = 2 << 20;
/// Smaller batches get fresh memory: there may be many such channels, and a large reused buffer would be mostly empty.
const LARGE: usize = 1 << 20;
/// The minimum capacity of a large batch buffer. glibc maps blocks of 32 MiB and more separately, so they are returned to the
/// operating system when freed, and pages that are not written to use no memory. It may keep smaller blocks in its heap, which
/// fragments.
const MAPPED: usize = if cfg!(all(
    target_os = "linux",
    target_env = "gnu",
    target_pointer_width = "64"
)) {
    33 << 20
} else {
    0
};
/// The largest piece buffer that a channel keeps between two appends.
const SMALL: usize = 4 << 10;
/// The number of idle piece buffers: an append stages at most one piece and one row, and few appends run at once.
const PIECES: usize = 4;

/// The idle buffers of a client.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// The buffer of a sealed batch. One is enough: the next batch is filled while one is compressed.
    batch: Mutex<Vec<u8>>,
    /// The buffers of staged pieces.
    pieces: Mutex<Vec<Vec<u8>>>,
}

impl Buffers {
    /// Returns an empty buffer for a batch of an expected size.
    pub(crate) fn batch(&self, len: usize) -> Vec<u8> {
        if len < LARGE {
            return Vec::with_capacity(len);
        }
        let mut buffer = std::mem::take(&mut *locked(&self.batch));
        buffer.reserve(len.max(MAPPED));
        buffer
    }

    /// Keeps the buffer of a batch for reuse.
    pub(crate) fn keep_batch(&self, mut buffer: Vec<u8>) {
        if (LARGE..2 * EAGER_BATCH_BYTES).contains(&buffer.len()) {
            buffer.clear();
            *locked(&self.batch) = buffer;
        }
    }

    /// Returns an empty buffer for a piece.
    pub(crate) fn piece(&self) -> Vec<u8> {
        locked(&self.pieces).pop().unwrap_or_default()
    }

    /// Keeps the buffer of a piece for reuse, if it is too large for its channel to keep.
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
