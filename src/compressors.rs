//! Who compresses: compressors to be used again and again, and no more of them at work on batches than there are processors.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use tokio::sync::Semaphore;

use crate::channel::{Compressor, EAGER};
use crate::error::{Error, ErrorKind, Result};

/// Smaller batches begin with nothing: their channels may be many, and the buffer would be held for nothing.
const LARGE: usize = 1 << 20;

/// The compressors of a client.
#[derive(Debug)]
pub(crate) struct Compressors {
    level: i32,
    /// Bytes from which on a batch is compressed off the async threads.
    offload_threshold: usize,
    idle: Mutex<Vec<Compressor>>,
    /// A buffer of rows that were sealed. To write into fresh memory costs the operating system more than the writing.
    spent: Mutex<Vec<u8>>,
    /// Waiting in line is quicker than sharing a processor, and takes less memory.
    turns: Semaphore,
}

impl Compressors {
    pub(crate) fn new(level: i32, offload_threshold: usize) -> Arc<Self> {
        let processors = available_parallelism().map_or(1, usize::from);
        Arc::new(Self {
            level,
            offload_threshold,
            idle: Mutex::default(),
            spent: Mutex::default(),
            turns: Semaphore::new(processors),
        })
    }

    /// Lends a compressor.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut Compressor) -> Result<R>) -> Result<R> {
        let idle = self.idle().pop();
        let mut compressor = idle.map_or_else(|| Compressor::new(self.level), Ok)?;
        let result = work(&mut compressor);
        self.keep(compressor.take_spent());
        let mut idle = self.idle();
        // All further ones were made for a rush that may never come again.
        if idle.len() < 2 {
            idle.push(compressor);
        }
        result
    }

    /// Lends a compressor for `len` bytes: off the async threads if they are many.
    pub(crate) async fn run<R: Send + 'static>(
        self: Arc<Self>,
        len: usize,
        work: impl FnOnce(&mut Compressor) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        if len < self.offload_threshold {
            return self.with(work);
        }
        let _turn = self.turns.acquire().await;
        let compressors = Arc::clone(&self);
        let done = tokio::task::spawn_blocking(move || compressors.with(work)).await;
        done.unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::ClientClosed,
                "the runtime shut down while a batch was compressed",
            ))
        })
    }

    /// An empty buffer for rows that are expected to become `len` bytes.
    pub(crate) fn buffer(&self, len: usize) -> Vec<u8> {
        if len < LARGE {
            return Vec::new();
        }
        let mut buffer = std::mem::take(&mut *self.spent());
        buffer.reserve(len);
        buffer
    }

    fn keep(&self, mut buffer: Vec<u8>) {
        if (LARGE..2 * EAGER).contains(&buffer.capacity()) {
            buffer.clear();
            *self.spent() = buffer;
        }
    }

    fn spent(&self) -> MutexGuard<'_, Vec<u8>> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Compressor>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
