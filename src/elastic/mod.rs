//! The elastic channel of a pipe: rows are delivered at least once, in no order, from any number of tasks.

pub(crate) mod ack;
pub(crate) mod append;
mod batch;
mod core;
mod driver;
mod responses;
mod schedule;
pub(crate) mod shared;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use tokio::time::Instant;

pub use self::ack::{Accepted, Ack, CheckpointError, FailedAppend};
pub use self::append::ElasticAppend;
use self::append::Rows;
use self::core::{Core, Limits};
use self::shared::{Settle, Shared};
use crate::api::ELASTIC;
use crate::context::ClientContext;
use crate::rows::{self, RowBatch};
use crate::types::channel_status::ChannelStatus;
use crate::types::error::{Error, ErrorKind, Result};

/// A channel that delivers rows at least once and in no order: a row may be in the table twice, and rows of one task may
/// land in another order than they were appended.
///
/// It suits many producers that have no source to resume from. There are no offsets and nothing to open: a pipe has one
/// elastic channel for all clients. A row is *appended* (in memory), *sealed* (compressed into a batch), *sent* and
/// *accepted*. Accepted rows are durable, and in the table seconds later. No later state is reported to the client: rows that
/// the table rejects are counted in the [status](Self::status) and listed in the error table. Give each row a unique id if
/// duplicates matter, or use a [named channel](crate::StreamingIngestClient::open_channel), which delivers each row once.
///
/// A channel is cheap to clone. The clones share batches, memory and requests, so that many tasks can append at once. Each
/// append carries a tag of the caller's type, which its outcome returns. Several requests are under way at a time
/// ([`elastic_requests`](crate::ClientBuilder::elastic_requests)); after a 429 only one, and gradually more.
///
/// A request without an answer is repeated with the same id. Only then may its rows be in the table twice, which
/// [`Accepted::may_be_duplicated`](crate::elastic::Accepted::may_be_duplicated) and, for rows that are handed back,
/// [`FailedAppend::is_ambiguous`](crate::elastic::FailedAppend::is_ambiguous) report. No failure is silent: the
/// [`Ack`] reports it or, if that was dropped, the next [`checkpoint`](Self::checkpoint), and until then appends
/// are refused.
///
/// When the last clone is dropped, the channel continues to send in the background for the client's close timeout. Failures
/// during that time are only logged: to receive them, [`close`](Self::close) the channel. The channel keeps working if its
/// client is dropped. When the client is closed or aborted, appends without an outcome fail with
/// [`ErrorKind::ClientClosed`] and their rows are handed back.
///
/// ```no_run
/// # use snowpipe_streaming::{ElasticChannel, StreamingIngestClient};
/// # #[derive(serde::Serialize)] #[serde(rename_all = "UPPERCASE")] struct Ride { id: String, lift: String }
/// # async fn example(client: StreamingIngestClient, rides: Vec<Ride>) -> snowpipe_streaming::Result<()> {
/// let channel: ElasticChannel<usize> = client.elastic_channel();
/// for (n, ride) in rides.iter().enumerate() {
///     // Waits for memory. It returns an `Ack`, to be awaited for the outcome of this row.
///     channel.append_row(ride, n).await?;
/// }
/// match channel.checkpoint().await {
///     Ok(()) => {} // All rows are durable.
///     Err(error) => {
///         for failed in error.into_failed() {
///             // May duplicate rows if `failed.is_ambiguous()`.
///             channel.append_batch(&failed.rows()?, *failed.tag()).await?;
///         }
///     }
/// }
/// channel.close().await.map_err(|error| error.into_error())?;
/// # Ok(()) }
/// ```
pub struct ElasticChannel<T = ()> {
    handle: Arc<Handle<T>>,
    /// How many failures this clone's checkpoints have reported.
    reported: AtomicU64,
}

/// Counts the clones: with the last one the channel drains.
struct Handle<T> {
    context: Arc<ClientContext>,
    shared: Arc<Shared<T>>,
}

impl<T> Drop for Handle<T> {
    fn drop(&mut self) {
        let until = Instant::now() + self.context.options.close_timeout;
        self.shared
            .update_and_wake(|core, _| core.abandon(until, closed()));
        self.shared.warn_of_lost();
    }
}

impl<T> Clone for ElasticChannel<T> {
    fn clone(&self) -> Self {
        Self {
            handle: Arc::clone(&self.handle),
            reported: AtomicU64::new(self.reported.load(Ordering::Relaxed)),
        }
    }
}

impl<T> fmt::Debug for ElasticChannel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.shared.fmt(f)
    }
}

fn closed() -> Error {
    Error::new(
        ErrorKind::ChannelClosed,
        "the elastic channel was closed; get another one from the client",
    )
}

impl<T: Send + 'static> ElasticChannel<T> {
    pub(crate) fn start(context: &Arc<ClientContext>) -> (Self, Arc<dyn Settle>) {
        let options = &context.options;
        let limits = Limits {
            max_client_lag: options.max_client_lag,
            request_limit: context.request_limit.clone(),
            max_uncompressed: options.max_uncompressed,
            retry_for: options.retry_for,
            requests: options.elastic_requests,
        };
        let (seed, _) = context.request_id().as_u64_pair();
        let memory = options.channel_memory.unwrap_or(options.memory_budget);
        let shared = Shared::new(Core::new(limits, seed), context.budget.share(memory));
        driver::spawn(context, &shared);
        let settle: Arc<dyn Settle> = Arc::clone(&shared) as _;
        let handle = Handle {
            context: Arc::clone(context),
            shared,
        };
        let channel = Self {
            handle: Arc::new(handle),
            reported: AtomicU64::new(0),
        };
        (channel, settle)
    }

    fn shared(&self) -> &Arc<Shared<T>> {
        &self.handle.shared
    }

    fn append(&self, rows: Result<Rows>, tag: T) -> ElasticAppend<T> {
        ElasticAppend::new(&self.handle.context, self.shared(), rows, tag)
    }

    /// Appends one row. The row is encoded at the call. For what the future waits, see [`ElasticAppend`].
    ///
    /// # Errors
    ///
    /// Nothing was appended:
    /// - [`ErrorKind::InvalidRow`], [`ErrorKind::TooLarge`]: the row is at fault.
    /// - [`ErrorKind::Backpressure`]: there was no memory within the append timeout. Without a timeout, this error means that
    ///   rows that were handed back use up the memory of the channel or of the client until the caller takes them.
    /// - [`ErrorKind::ChannelClosed`], [`ErrorKind::ClientClosed`]: the channel accepts no more rows.
    /// - The kind of an earlier append's failure that is not yet reported: call [`checkpoint`](Self::checkpoint).
    pub fn append_row<R: Serialize + ?Sized>(&self, row: &R, tag: T) -> ElasticAppend<T> {
        self.append_rows([row], tag)
    }

    /// Appends one row that is already a JSON object, as brokers and files deliver it. The row is validated but not decoded, so
    /// its nulls stay.
    ///
    /// # Errors
    ///
    /// As [`append_row`](Self::append_row). [`ErrorKind::InvalidRow`] also if the row is not valid JSON.
    pub fn append_json(&self, row: impl AsRef<[u8]>, tag: T) -> ElasticAppend<T> {
        let row = rows::json(row.as_ref());
        let rows = row.and_then(|row| Rows::encode(&self.handle.context, [row].into_iter()));
        self.append(rows, tag)
    }

    /// Appends rows that are acknowledged together. All of them are encoded at the call: together they may be at most a quarter
    /// of the memory budget.
    ///
    /// An append without rows is acknowledged at once.
    ///
    /// # Errors
    ///
    /// As [`append_row`](Self::append_row). Nothing was appended.
    pub fn append_rows<I>(&self, rows: I, tag: T) -> ElasticAppend<T>
    where
        I: IntoIterator,
        I::Item: Serialize,
    {
        let rows = Rows::encode(&self.handle.context, rows.into_iter());
        self.append(rows, tag)
    }

    /// Appends encoded rows, for example those of a [`FailedAppend`].
    ///
    /// # Errors
    ///
    /// As [`append_rows`](Self::append_rows).
    pub fn append_batch(&self, batch: &RowBatch, tag: T) -> ElasticAppend<T> {
        let rows = Rows::of_batch(&self.handle.context, batch);
        self.append(rows, tag)
    }

    /// Sends everything appended so far without waiting for
    /// [`max_client_lag`](crate::ClientBuilder::max_client_lag).
    pub fn initiate_flush(&self) {
        self.shared().update_and_wake(|core, _| core.flush());
    }

    /// Flushes, and waits until everything that was appended before, through any clone, is accepted or has failed.
    ///
    /// Bounded as [`checkpoint`](Self::checkpoint). Cancel safe: for a shorter wait, wrap it in `tokio::time::timeout`.
    ///
    /// # Errors
    ///
    /// The error of a failed append that is not yet reported. [`checkpoint`](Self::checkpoint) reports it and hands back its
    /// rows.
    pub async fn wait_for_flush(&self) -> Result<()> {
        let through = self.shared().flush();
        self.shared().settle(through).await
    }

    /// Flushes, and waits until everything that was appended before, through any clone, has an outcome. `Ok` means that all of
    /// it was accepted, and everything else since the last checkpoint of this clone.
    ///
    /// Each clone reports every failure once. The rows of failures that no [`Ack`] has reported go to the first
    /// checkpoint that is called. So tasks that each rely on checkpoints need a clone each.
    ///
    /// Bounded by the client's `retry_for` and the batches ahead in the queue. Cancel safe: a cancelled call has reported
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`] with the appends that failed.
    pub async fn checkpoint(&self) -> Result<(), CheckpointError<T>> {
        let through = self.shared().update_and_wake(|core, _| {
            core.flush();
            core.next()
        });
        self.shared().settled(through).await;
        self.failures()
    }

    /// The failures since the last checkpoint of this clone.
    fn failures(&self) -> Result<(), CheckpointError<T>> {
        let (total, last, failed) = self.shared().update(|core, _| core.failures());
        let before = self.reported.swap(total, Ordering::Relaxed);
        let failures = total.saturating_sub(before).max(failed.len() as u64);
        match last {
            Some(error) if failures > 0 => Err(CheckpointError {
                error,
                failures,
                failed,
            }),
            _ => Ok(()),
        }
    }

    /// Asks the server for the status of the pipe's elastic channel. Its counters cover all clients.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if the server does not know the pipe, and the errors of the call itself.
    pub async fn status(&self) -> Result<ChannelStatus> {
        let context = &self.handle.context;
        let names = [ELASTIC.to_owned()];
        let mut statuses = context
            .retrying(|attempt| context.api.channel_statuses(&names, attempt))
            .await?;
        statuses.remove(ELASTIC).ok_or_else(|| {
            let text = format!(
                "the server knows no elastic channel of pipe {}; check that it is a streaming pipe",
                context.pipe
            );
            Error::new(ErrorKind::NotFound, text)
        })
    }

    /// Whether the channel accepts no more rows because it or its client was closed.
    pub fn is_closed(&self) -> bool {
        self.shared().core().is_closed()
    }

    /// Flushes, waits until everything appended through any clone has an outcome, and ends the channel for all clones.
    ///
    /// Bounded by the client's close timeout: appends without an outcome by then fail with [`ErrorKind::Timeout`], and their
    /// rows are handed back. If the future is cancelled, the channel ends in the background.
    ///
    /// # Errors
    ///
    /// As [`checkpoint`](Self::checkpoint).
    pub async fn close(self) -> Result<(), CheckpointError<T>> {
        let until = Instant::now() + self.handle.context.options.close_timeout;
        self.shared()
            .update_and_wake(|core, _| core.drain(until, closed()));
        self.shared().stopped().await;
        self.failures()
    }
}
