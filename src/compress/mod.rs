//! Who compresses: compressors to be used again and again, and no more of them at work on batches than there are processors.

pub(crate) mod compressor;
pub(crate) mod frame;
pub(crate) mod ratio;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use tokio::sync::Semaphore;

use self::compressor::Compressor;
use crate::base::buffers::Buffers;
use crate::types::error::{Error, ErrorKind, Result};

/// The compressors of a client.
#[derive(Debug)]
pub(crate) struct Compressors {
    level: i32,
    /// Bytes from which on a batch is compressed off the async threads.
    offload_threshold: usize,
    idle: Mutex<Vec<Compressor>>,
    /// What the compressors leave behind.
    buffers: Arc<Buffers>,
    /// Waiting in line is quicker than sharing a processor, and takes less memory.
    turns: Semaphore,
}

impl Compressors {
    pub(crate) fn new(level: i32, offload_threshold: usize, buffers: Arc<Buffers>) -> Arc<Self> {
        let processors = available_parallelism().map_or(1, usize::from);
        Arc::new(Self {
            level,
            offload_threshold,
            idle: Mutex::default(),
            buffers,
            turns: Semaphore::new(processors),
        })
    }

    /// Lends a compressor.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut Compressor) -> Result<R>) -> Result<R> {
        let idle = self.idle().pop();
        let mut compressor = idle.map_or_else(|| Compressor::new(self.level), Ok)?;
        let result = work(&mut compressor);
        self.buffers.keep_batch(compressor.take_spent());
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

    fn idle(&self) -> MutexGuard<'_, Vec<Compressor>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
