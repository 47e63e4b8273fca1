//! Compressors that are reused, with at most one large batch per processor compressed at a time.
//!
//! Compressors belong to the client and not to each channel: a zstd context is large, and few batches are compressed at the
//! same moment.

pub(crate) mod compressor;
pub(crate) mod frame;
pub(crate) mod ratio;
pub(crate) mod unit;

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use self::compressor::Compressor;
use crate::base::buffers::Buffers;
use crate::types::error::{Error, ErrorKind, Result};

/// Where a compression is done.
enum Work<W, R> {
    /// On the thread that polls.
    Here(W),
    /// Off the async threads, when a processor is free.
    Queued(W),
    Started(JoinHandle<Result<R>>),
}

/// The compressors of a client.
#[derive(Debug)]
pub(crate) struct Compressors {
    level: i32,
    /// Batches of at least this many bytes are compressed off the async threads.
    offload_threshold: usize,
    idle: Mutex<Vec<Compressor>>,
    /// Takes back the buffers of sealed batches.
    buffers: Arc<Buffers>,
    /// Limits concurrent compression to the number of processors: waiting is faster than sharing a processor and uses less
    /// memory.
    permits: Arc<Semaphore>,
    /// The runtime of the client, for appends that are polled outside of one.
    runtime: Handle,
}

impl Compressors {
    /// Must be called inside a runtime, which it keeps.
    pub(crate) fn new(level: i32, offload_threshold: usize, buffers: Arc<Buffers>) -> Arc<Self> {
        let processors = available_parallelism().map_or(1, usize::from);
        Arc::new(Self {
            level,
            offload_threshold,
            idle: Mutex::default(),
            buffers,
            permits: Arc::new(Semaphore::new(processors)),
            runtime: Handle::current(),
        })
    }

    /// Runs `work` with a compressor.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut Compressor) -> Result<R>) -> Result<R> {
        let idle = self.idle().pop();
        let mut compressor = idle.map_or_else(|| Compressor::new(self.level), Ok)?;
        let result = work(&mut compressor);
        self.buffers.keep_batch(compressor.take_spent());
        let mut idle = self.idle();
        // More than two are needed only during bursts.
        if idle.len() < 2 {
            idle.push(compressor);
        }
        result
    }

    /// Runs `work` on `len` bytes with a compressor, off the async threads if `len` reaches the threshold. There it begins at the call
    /// if a processor is free, and goes on to its end if the future is dropped.
    pub(crate) fn run<R: Send + 'static>(
        self: Arc<Self>,
        len: usize,
        work: impl FnOnce(&mut Compressor) -> Result<R> + Send + 'static,
    ) -> impl Future<Output = Result<R>> + Send {
        let work = if len < self.offload_threshold {
            Work::Here(work)
        } else {
            match Arc::clone(&self.permits).try_acquire_owned() {
                Ok(permit) => Work::Started(self.offload(Some(permit), work)),
                Err(_) => Work::Queued(work),
            }
        };
        async move {
            let started = match work {
                Work::Here(work) => return self.with(work),
                Work::Started(started) => started,
                Work::Queued(work) => {
                    let permit = Arc::clone(&self.permits).acquire_owned().await;
                    self.offload(permit.ok(), work)
                }
            };
            started.await.unwrap_or_else(|_| {
                Err(Error::new(
                    ErrorKind::ClientClosed,
                    "the runtime shut down while a batch was compressed",
                ))
            })
        }
    }

    fn offload<R: Send + 'static>(
        self: &Arc<Self>,
        permit: Option<OwnedSemaphorePermit>,
        work: impl FnOnce(&mut Compressor) -> Result<R> + Send + 'static,
    ) -> JoinHandle<Result<R>> {
        let compressors = Arc::clone(self);
        let runtime = Handle::try_current().unwrap_or_else(|_| self.runtime.clone());
        runtime.spawn_blocking(move || {
            let _permit = permit;
            compressors.with(work)
        })
    }

    /// As [`unit::compress_each`], off the async threads if the units are long.
    pub(crate) async fn compress_units(
        self: Arc<Self>,
        rows: Bytes,
        units: Vec<Range<usize>>,
        limit: usize,
    ) -> Result<Option<Bytes>> {
        let len = units.iter().map(Range::len).sum();
        self.run(len, move |compressor| {
            unit::compress_each(compressor, &rows, &units, limit)
        })
        .await
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Compressor>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The driver of a channel sends a request after it has asked for the compression of the next batch.
    #[tokio::test]
    async fn a_compression_begins_before_its_future_is_polled() {
        let compressors = Compressors::new(1, 0, Arc::default());
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let compression = compressors.run(1, move |_| {
            begun.send(()).ok();
            Ok(())
        });
        let begun = tokio::time::timeout(Duration::from_secs(60), has_begun);
        begun.await.unwrap().unwrap();
        compression.await.unwrap();
    }
}
