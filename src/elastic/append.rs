//! The append: rows are encoded on the caller's thread, wait for memory, and move into the open batch.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::oneshot;

use super::ack::Ack;
use super::core::{Append, append_cost};
use super::shared::Shared;
use crate::base::budget::Charge;
use crate::base::time::epoch_millis;
use crate::compress::unit;
use crate::context::ClientContext;
use crate::rows::{self, RowBatch};
use crate::types::error::{Error, ErrorKind, Result};

/// Encoded rows.
#[derive(Debug, Default)]
pub(super) struct Rows {
    bytes: Bytes,
    count: u64,
    /// The rows that may be too large for a request.
    unchecked: Vec<Range<usize>>,
    /// The frame of the rows, if they are a single one that was checked.
    frame: Option<Bytes>,
}

impl Rows {
    /// Encodes the rows of one append.
    pub(super) fn encode<R: Serialize>(
        context: &ClientContext,
        rows: impl Iterator<Item = R>,
    ) -> Result<Self> {
        let (mut bytes, mut count) = (Vec::new(), 0);
        let mut unchecked = Vec::new();
        for row in rows {
            let start = bytes.len();
            rows::encode(&row, context.options.encoding, &mut bytes)?;
            context.check_rows(bytes.get(start..).unwrap_or_default())?;
            // Checked after each row, so that an endless iterator does not fill the memory.
            unit::check_len(&bytes, &context.options)?;
            if bytes.len() - start > context.options.always_fits() {
                unchecked.push(start..bytes.len());
            }
            count += 1;
        }
        Ok(Self {
            bytes: bytes.into(),
            count,
            unchecked,
            frame: None,
        })
    }

    pub(super) fn of_batch(context: &ClientContext, batch: &RowBatch) -> Result<Self> {
        let bytes = batch.to_bytes();
        context.check_rows(&bytes)?;
        unit::check_len(&bytes, &context.options)?;
        let unchecked = unit::rows_longer_than(context.options.always_fits(), &bytes);
        Ok(Self {
            bytes,
            count: batch.len(),
            unchecked,
            frame: None,
        })
    }

    /// Compresses the rows that may be too large for a request, and refuses one that is.
    fn check(&mut self, context: &ClientContext) -> Check {
        let units = std::mem::take(&mut self.unchecked);
        Box::pin(Arc::clone(&context.compressors).compress_units(
            self.bytes.clone(),
            units,
            context.options.max_request_bytes,
        ))
    }

    /// The memory that the rows take in the channel.
    fn held(&self) -> usize {
        self.frame.as_ref().unwrap_or(&self.bytes).len()
    }
}

/// Refuses an append that never fits into the channel's memory and would wait without end.
fn check_cost<T>(shared: &Shared<T>, len: usize) -> Result<()> {
    let cost = len + append_cost::<T>();
    if cost <= shared.share.cap() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::TooLarge,
        format!(
            "an append takes {cost} bytes with its tag, which is more than the channel's {} bytes of memory; put the tag in a `Box`, or raise the memory budget",
            shared.share.cap()
        ),
    ))
}

type Check = Pin<Box<dyn Future<Output = Result<Option<Bytes>>> + Send>>;
type Wait = Pin<Box<dyn Future<Output = Result<Charge>> + Send>>;

/// The future of an append. It resolves to an [`Ack`] once the rows are in memory.
///
/// The rows are encoded at the call and not borrowed. A row of more than about 4 MiB is compressed first, to find out whether it
/// fits into a request. The future waits for that and for the memory budget, and returns at once if the channel accepts no more
/// rows.
///
/// Cancel safe: if the future is dropped before it resolves, nothing is appended.
#[must_use = "rows are appended only when the future is awaited"]
pub struct ElasticAppend<T> {
    context: Arc<ClientContext>,
    shared: Arc<Shared<T>>,
    staged: Option<Result<(Rows, T)>>,
    check: Option<Check>,
    wait: Option<Wait>,
}

impl<T> ElasticAppend<T> {
    pub(super) fn new(
        context: &Arc<ClientContext>,
        shared: &Arc<Shared<T>>,
        rows: Result<Rows>,
        tag: T,
    ) -> Self {
        Self {
            context: Arc::clone(context),
            shared: Arc::clone(shared),
            staged: Some(rows.and_then(|rows| {
                check_cost::<T>(shared, rows.bytes.len())?;
                Ok((rows, tag))
            })),
            check: None,
            wait: None,
        }
    }

    /// Moves charged rows into the open batch.
    fn enter(&self, rows: Rows, tag: T, charge: Charge) -> Result<Ack<T>> {
        let (ack_sender, receiver) = oneshot::channel();
        let append = Append {
            rows: rows.bytes,
            frame: rows.frame,
            count: rows.count,
            tag,
            ack_sender,
        };
        let now_ms = epoch_millis(self.context.time.now());
        let count = append.count;
        let entered = self.shared.update(|core, now| match core.refusal() {
            Some(error) => Err((error, append)),
            None => Ok(core.append(now, now_ms, append, charge)),
        });
        // The tag of a refused append is dropped here, outside the lock.
        if entered.map_err(|(error, _)| error)? {
            self.shared.wake_driver();
        }
        self.context.api.counters().appended(count);
        Ok(Ack::new(receiver, Arc::clone(&self.shared)))
    }
}

impl<T: Send + 'static> ElasticAppend<T> {
    /// Completes the check of the rows.
    fn poll_check(&mut self, rows: &mut Rows, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if !rows.unchecked.is_empty() {
            self.check = Some(rows.check(&self.context));
        }
        if let Some(check) = &mut self.check {
            rows.frame = ready!(check.as_mut().poll(cx))?;
            self.check = None;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_charge(&mut self, bytes: usize, cx: &mut Context<'_>) -> Poll<Result<Charge>> {
        let mut wait = match self.wait.take() {
            Some(wait) => wait,
            None => match self.shared.share.try_charge(bytes) {
                Some(charge) => return Poll::Ready(Ok(charge)),
                None => self.wait_for_memory(bytes),
            },
        };
        let charged = wait.as_mut().poll(cx);
        if charged.is_pending() {
            self.wait = Some(wait);
        }
        charged
    }

    fn wait_for_memory(&self, bytes: usize) -> Wait {
        let shared = Arc::clone(&self.shared);
        let timeout = self.context.options.append_timeout;
        Box::pin(async move {
            let refused = shared.refused();
            shared.share.charge_within(bytes, timeout, refused).await
        })
    }
}

// `poll` pins neither the rows nor the tag.
impl<T> Unpin for ElasticAppend<T> {}

impl<T: Send + 'static> Future for ElasticAppend<T> {
    type Output = Result<Ack<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let (mut rows, tag) = match this.staged.take() {
            Some(Ok(staged)) => staged,
            Some(Err(error)) => return Poll::Ready(Err(error)),
            None => return Poll::Pending,
        };
        match this.poll_check(&mut rows, cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => {
                this.staged = Some(Ok((rows, tag)));
                return Poll::Pending;
            }
        }
        let cost = rows.held() + append_cost::<T>();
        match this.poll_charge(cost, cx) {
            Poll::Ready(charged) => {
                Poll::Ready(charged.and_then(|charge| this.enter(rows, tag, charge)))
            }
            Poll::Pending => {
                this.staged = Some(Ok((rows, tag)));
                Poll::Pending
            }
        }
    }
}

impl<T> fmt::Debug for ElasticAppend<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ElasticAppend").finish_non_exhaustive()
    }
}
