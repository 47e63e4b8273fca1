//! What an elastic append is told in the end: accepted, or handed back.

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

/// What became of an append.
pub(super) type Outcome<T> = std::result::Result<Accepted<T>, FailedAppend<T>>;

/// The acknowledgement of an append: a future that resolves when the server has all its rows, or when they are given up.
///
/// It may be dropped; the rows are sent all the same. If they fail then, the channel keeps the failure for
/// [`checkpoint`](super::ElasticChannel::checkpoint), and takes no more rows until somebody has asked for it. That also
/// goes for an acknowledgement that is dropped after the failure and before anybody has seen it.
///
/// Rows that failed are part of the memory budget until the acknowledgement is awaited, or a checkpoint hands them over. If they
/// use the budget up, appends fail with [`ErrorKind::Backpressure`](crate::ErrorKind::Backpressure) instead of waiting.
///
/// Cancel safe: it may be awaited by reference, and again.
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
        // The channel, which is kept alive from here, tells every append before it lets go of it.
        let Ok(mut outcome) = answer else {
            return Poll::Pending;
        };
        if let Err(failed) = &mut outcome {
            failed.taken();
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

/// An append whose rows the server has. They are durable, and in the table seconds later.
#[derive(Debug)]
pub struct Accepted<T> {
    pub(super) tag: T,
    pub(super) requests: Vec<Uuid>,
    pub(super) retry_count: u32,
    pub(super) ambiguous: bool,
}

impl<T> Accepted<T> {
    /// What was given with the rows.
    pub fn tag(&self) -> &T {
        &self.tag
    }

    /// What was given with the rows.
    pub fn into_tag(self) -> T {
        self.tag
    }

    /// The ids of the requests that brought the rows, for Snowflake's support: one, unless they were too many for one.
    pub fn request_ids(&self) -> impl Iterator<Item = String> {
        self.requests.iter().map(Uuid::to_string)
    }

    /// How often a request with rows of this append was repeated.
    pub fn retry_count(&self) -> u32 {
        self.retry_count
    }

    /// Whether rows may be in the table twice: a request was repeated after one that went unanswered. Not every repetition
    /// is of that kind; a throttled request, for one, was not carried out.
    pub fn may_be_duplicated(&self) -> bool {
        self.ambiguous
    }
}

/// An append that was given up, with the rows that the server is not known to have.
///
/// What was accepted of the same append is not among them. No conversion drops the rows: where they are not wanted,
/// [`into_error`](Self::into_error) says so.
///
/// ```
/// # use snowpipe_streaming::{ElasticChannel, Result};
/// # async fn example(channel: ElasticChannel, ride: serde_json::Value) -> Result<()> {
/// if let Err(failed) = channel.append_row(&ride, ()).await?.await {
///     // In a file, a queue or another channel: the rows are only here.
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
    /// Of what is remembered of it; `None` once the caller has it.
    pub(super) charge: Option<HandedBack>,
}

impl<T> FailedAppend<T> {
    /// The caller has it now, with its rows, which are no longer part of the memory budget.
    pub(super) fn taken(&mut self) {
        self.charge = None;
        for rows in &mut self.returned {
            rows.charge = None;
        }
    }

    /// What was given with the rows.
    pub fn tag(&self) -> &T {
        &self.tag
    }

    /// What was given with the rows.
    pub fn into_tag(self) -> T {
        self.tag
    }

    /// Why the rows were given up.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// Why the rows were given up. The rows are dropped.
    pub fn into_error(self) -> Error {
        self.error
    }

    /// Whether rows of this append may be in the table all the same, so that appending them again may leave them there
    /// twice.
    pub fn is_ambiguous(&self) -> bool {
        self.error.is_ambiguous()
    }

    /// How often a request with rows of this append was repeated.
    pub fn retry_count(&self) -> u32 {
        self.retry_count
    }

    /// How many rows come back.
    pub fn row_count(&self) -> u64 {
        self.returned.iter().map(|rows| rows.part.rows).sum()
    }

    /// The rows, as they were to be sent. They are unpacked for it. Since the failure was handed over they are no longer part
    /// of the client's memory budget.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Protocol`](crate::ErrorKind::Protocol) if they cannot be unpacked, which means that memory was
    /// overwritten.
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

/// Not everything was acknowledged. Returned by [`checkpoint`](super::ElasticChannel::checkpoint) and
/// [`close`](super::ElasticChannel::close).
pub struct CheckpointError<T> {
    pub(super) error: Error,
    pub(super) failures: u64,
    pub(super) failed: Vec<FailedAppend<T>>,
}

impl<T> CheckpointError<T> {
    /// Why the last of them failed.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// Why the last of them failed. The rows that come back are dropped.
    pub fn into_error(self) -> Error {
        self.error
    }

    /// How many appends failed since the last checkpoint of this handle.
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// Those that are not yet reported. The others were handed to their [`Ack`], or to a checkpoint of another
    /// handle.
    pub fn failed(&self) -> &[FailedAppend<T>] {
        &self.failed
    }

    /// Those that are not yet reported, to append their rows again.
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
            "{} appends failed, and {} of them come back here",
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
