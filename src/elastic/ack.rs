//! The outcome of an elastic append: accepted, or failed with its rows handed back.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::batch::Returned;
use super::shared::Shared;
use crate::base::budget::HandedBack;
use crate::rows::RowBatch;
use crate::types::error::{Error, Result};

/// The outcome of an append.
pub(super) type Outcome<T> = std::result::Result<Accepted<T>, FailedAppend<T>>;

/// The acknowledgement of an append: a future that resolves when the server has all its rows, or when they are given up.
///
/// It may be dropped, and the rows are still sent. If they then fail, the channel keeps the failure for
/// [`checkpoint`](super::ElasticChannel::checkpoint) and refuses appends until that is called. The same holds if the
/// acknowledgement is dropped after the failure without having been awaited.
///
/// Failed rows count towards the memory budget until the acknowledgement is awaited or a checkpoint returns them. If they
/// use up the budget, appends fail with [`ErrorKind::Backpressure`](crate::ErrorKind::Backpressure) instead of waiting.
///
/// Cancel safe: it may be awaited by reference, and again after a cancellation. Once it has resolved, it has no outcome left and
/// never resolves again.
pub struct Ack<T> {
    receiver: Option<oneshot::Receiver<Outcome<T>>>,
    shared: Arc<Shared<T>>,
}

impl<T> Ack<T> {
    pub(super) fn new(receiver: oneshot::Receiver<Outcome<T>>, shared: Arc<Shared<T>>) -> Self {
        Self {
            receiver: Some(receiver),
            shared,
        }
    }
}

impl<T> Future for Ack<T> {
    type Output = Outcome<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(receiver) = &mut self.receiver else {
            return Poll::Pending;
        };
        let Poll::Ready(answer) = Pin::new(receiver).poll(cx) else {
            return Poll::Pending;
        };
        self.receiver = None;
        // The core, which `shared` keeps alive, sends an outcome for every append before it drops the sender.
        let Ok(mut outcome) = answer else {
            return Poll::Pending;
        };
        if let Err(failed) = &mut outcome {
            failed.release_charge();
        }
        Poll::Ready(outcome)
    }
}

impl<T> Drop for Ack<T> {
    fn drop(&mut self) {
        let Some(receiver) = &mut self.receiver else {
            return;
        };
        receiver.close();
        if let Ok(Err(failed)) = receiver.try_recv() {
            self.shared.update(|core, _| core.keep(failed));
            self.shared.warn_of_lost();
        }
    }
}

impl<T> fmt::Debug for Ack<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ack").finish_non_exhaustive()
    }
}

/// An append that the server has accepted. Its rows are durable, and in the table seconds later.
#[derive(Debug)]
pub struct Accepted<T> {
    pub(super) tag: T,
    pub(super) requests: Vec<Uuid>,
    pub(super) retry_count: u32,
    pub(super) ambiguous: bool,
}

impl<T> Accepted<T> {
    /// The tag of the append.
    pub fn tag(&self) -> &T {
        &self.tag
    }

    /// The tag of the append.
    pub fn into_tag(self) -> T {
        self.tag
    }

    /// The ids of the requests with the rows, for Snowflake's support: one, unless the rows were split.
    pub fn request_ids(&self) -> impl Iterator<Item = String> {
        self.requests.iter().map(Uuid::to_string)
    }

    /// How often a request with rows of this append was repeated.
    pub fn retry_count(&self) -> u32 {
        self.retry_count
    }

    /// Whether rows may be in the table twice, because a request was repeated after an attempt without an answer. Other
    /// repetitions do not count: a throttled request, for example, was not carried out.
    pub fn may_be_duplicated(&self) -> bool {
        self.ambiguous
    }
}

/// An append that was given up, with the rows that the server is not known to have.
///
/// If part of the append was accepted, these rows are not included. No conversion drops the rows implicitly: to discard
/// them, call [`into_error`](Self::into_error).
///
/// ```
/// # use snowpipe_streaming::{ElasticChannel, Result};
/// # async fn example(channel: ElasticChannel, ride: serde_json::Value) -> Result<()> {
/// if let Err(failed) = channel.append_row(&ride, ()).await?.await {
///     // Keep them in a file, a queue or another channel: there is no other copy.
///     std::fs::write("not-sent.ndjson", failed.rows()?.as_bytes()).expect("the disk takes them");
///     return Err(failed.into_error());
/// }
/// # Ok(()) }
/// ```
///
/// `?` alone does not compile:
///
/// ```compile_fail,E0277
/// # use snowpipe_streaming::{ElasticChannel, Result};
/// # async fn example(channel: ElasticChannel, ride: serde_json::Value) -> Result<()> {
/// channel.append_row(&ride, ()).await?.await?;
/// # Ok(()) }
/// ```
pub struct FailedAppend<T> {
    pub(super) tag: T,
    pub(super) error: Error,
    pub(super) returned: Vec<Returned>,
    pub(super) retry_count: u32,
    /// The charge of the append's bookkeeping, `None` once the caller has the failure.
    pub(super) charge: Option<HandedBack>,
}

impl<T> FailedAppend<T> {
    /// Releases the charge when the failure and its rows are handed to the caller.
    pub(super) fn release_charge(&mut self) {
        self.charge = None;
        for rows in &mut self.returned {
            rows.charge = None;
        }
    }

    /// The tag of the append.
    pub fn tag(&self) -> &T {
        &self.tag
    }

    /// The tag of the append.
    pub fn into_tag(self) -> T {
        self.tag
    }

    /// Why the rows were given up.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// Why the rows were given up. This drops the rows.
    pub fn into_error(self) -> Error {
        self.error
    }

    /// Whether rows of this append may be in the table nevertheless, so that appending them again may duplicate them.
    pub fn is_ambiguous(&self) -> bool {
        self.error.is_ambiguous()
    }

    /// How often a request with rows of this append was repeated.
    pub fn retry_count(&self) -> u32 {
        self.retry_count
    }

    /// The number of rows that are handed back.
    pub fn row_count(&self) -> u64 {
        self.returned.iter().map(|rows| rows.part.rows).sum()
    }

    /// The rows, decompressed. They no longer count towards the client's memory budget.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Protocol`](crate::ErrorKind::Protocol) if the rows cannot be decompressed, which means that memory was
    /// corrupted.
    pub fn rows(&self) -> Result<RowBatch> {
        let bytes = match self.returned.as_slice() {
            [single] => single.rows()?,
            several => {
                let mut bytes = BytesMut::new();
                for rows in several {
                    bytes.extend_from_slice(&rows.rows()?);
                }
                Bytes::from(bytes)
            }
        };
        RowBatch::from_ndjson(bytes)
    }
}

/// Omits rows and tags.
impl<T> fmt::Debug for FailedAppend<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FailedAppend")
            .field("rows", &self.row_count())
            .field("retry_count", &self.retry_count)
            .field("ambiguous", &self.is_ambiguous())
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Display for FailedAppend<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<T> std::error::Error for FailedAppend<T> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.error)
    }
}

/// The error of [`checkpoint`](super::ElasticChannel::checkpoint) and [`close`](super::ElasticChannel::close): appends have
/// failed.
pub struct CheckpointError<T> {
    pub(super) error: Error,
    pub(super) failures: u64,
    pub(super) failed: Vec<FailedAppend<T>>,
}

impl<T> CheckpointError<T> {
    /// Why the last append failed.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// Why the last append failed. This drops the rows that are handed back.
    pub fn into_error(self) -> Error {
        self.error
    }

    /// How many appends failed since the last checkpoint of this handle.
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// The failed appends that nothing has reported yet. The others were reported by their [`Ack`] or by a checkpoint of
    /// another handle.
    pub fn failed(&self) -> &[FailedAppend<T>] {
        &self.failed
    }

    /// The failed appends that nothing has reported yet, to append their rows again.
    pub fn into_failed(self) -> Vec<FailedAppend<T>> {
        self.failed
    }
}

impl<T> fmt::Debug for CheckpointError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckpointError")
            .field("failures", &self.failures)
            .field("failed", &self.failed)
            .field("error", &self.error)
            .finish()
    }
}

impl<T> fmt::Display for CheckpointError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} appends failed; the rows of {} of them are handed back here",
            self.failures,
            self.failed.len(),
        )
    }
}

impl<T> std::error::Error for CheckpointError<T> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
