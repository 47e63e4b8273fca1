//! The elastic channel of a pipe: at least once, in no order, from as many tasks as append.

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

/// Appends rows at least once and in no order: a row may be in the table twice, and rows of one task may be there in
/// another order than they were appended.
///
/// It is the mode for many producers that have nothing to resume from. There are no offsets, and nothing to open: every
/// pipe has one elastic channel, for all clients. A row is *appended* (in memory), *sealed* (compressed into a batch),
/// *sent* and *accepted*. Accepted is durable here, and the last thing a client is told: the rows are in the table seconds
/// later, and those that the table does not take are counted in the [status](Self::status) and listed in the error
/// table. Give each row an id of its own if twice is too often. Rows that must be there once go through a
/// [named channel](crate::StreamingIngestClient::open_channel).
///
/// Cheap to clone. The clones share batches, memory and requests, and many tasks append through them at once; each append
/// carries a tag, whatever that is to the caller, and comes back with it. Several requests are on their way at a time
/// ([`elastic_requests`](crate::ClientBuilder::elastic_requests)); after a 429 one, and gradually more.
///
/// A request that goes unanswered is repeated with the same id, and only then may its rows be in the table twice:
/// [`Accepted::may_be_duplicated`](crate::elastic::Accepted::may_be_duplicated) says so, and [`FailedAppend::is_ambiguous`](crate::elastic::FailedAppend::is_ambiguous) of rows that are handed back. No failure is
/// silent: it goes to the [`Ack`], or if that was dropped to the next [`checkpoint`](Self::checkpoint), and until then
/// appends are refused.
///
/// When the last clone is dropped, what is unsent goes on in the background for the client's close timeout. What fails then
/// can only be logged: to receive it, [`close`](Self::close) the channel. A channel works without its client, which may be
/// dropped before it. When the client is closed or aborted, what has no outcome fails with [`ErrorKind::ClientClosed`] and is
/// handed back.
///
/// ```no_run
/// # use snowpipe_streaming::{ElasticChannel, StreamingIngestClient};
/// # #[derive(serde::Serialize)] #[serde(rename_all = "UPPERCASE")] struct Ride { id: String, lift: String }
/// # async fn example(client: StreamingIngestClient, rides: Vec<Ride>) -> snowpipe_streaming::Result<()> {
/// let channel: ElasticChannel<usize> = client.elastic_channel();
/// for (n, ride) in rides.iter().enumerate() {
///     // Waits for memory; await what it returns to learn of this one row.
///     channel.append_row(ride, n).await?;
/// }
/// match channel.checkpoint().await {
///     Ok(()) => {} // All rows are durable.
///     Err(error) => {
///         for failed in error.into_failed() {
///             // Twice, perhaps, if `failed.is_ambiguous()`.
///             channel.append_batch(&failed.rows()?, *failed.tag()).await?;
///         }
///     }
/// }
/// channel.close().await.map_err(|error| error.into_error())?;
/// # Ok(()) }
/// ```
pub struct ElasticChannel<T = ()> {
    handle: Arc<Handle<T>>,
    /// How many failures this clone's checkpoints have told of.
    told: AtomicU64,
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
            told: AtomicU64::new(self.told.load(Ordering::Relaxed)),
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
        "the elastic channel was closed; ask the context for another",
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
            told: AtomicU64::new(0),
        };
        (channel, settle)
    }

    fn shared(&self) -> &Arc<Shared<T>> {
        &self.handle.shared
    }

    fn append(&self, rows: Result<Rows>, tag: T) -> ElasticAppend<T> {
        ElasticAppend::new(&self.handle.context, self.shared(), rows, tag)
    }

    /// Appends one row. It is encoded now; the future waits for memory only.
    ///
    /// # Errors
    ///
    /// Nothing was appended:
    /// - [`ErrorKind::InvalidRow`], [`ErrorKind::TooLarge`]: the row.
    /// - [`ErrorKind::Backpressure`]: with an append timeout; without one if rows that an elastic channel handed back
    ///   use the memory up, until they are taken.
    /// - [`ErrorKind::ChannelClosed`], [`ErrorKind::ClientClosed`]: no more rows are taken.
    /// - The kind of an earlier append's failure that is not yet reported: call [`checkpoint`](Self::checkpoint).
    pub fn append_row<R: Serialize + ?Sized>(&self, row: &R, tag: T) -> ElasticAppend<T> {
        self.append_rows([row], tag)
    }

    /// Appends one row that is a JSON object already, as brokers and files deliver them. The row is parsed to check it and
    /// not decoded; its nulls stay.
    ///
    /// # Errors
    ///
    /// As [`append_row`](Self::append_row); [`ErrorKind::InvalidRow`] also if it is not valid JSON.
    pub fn append_json(&self, row: impl AsRef<[u8]>, tag: T) -> ElasticAppend<T> {
        let row = rows::json(row.as_ref());
        let rows = row.and_then(|row| Rows::encode(&self.handle.context, [row].into_iter()));
        self.append(rows, tag)
    }

    /// Appends rows that are acknowledged together. They are encoded now, all of them: together they are at most a quarter
    /// of the memory budget, and at most 16 MiB.
    ///
    /// No rows are acknowledged at once.
    ///
    /// # Errors
    ///
    /// As [`append_row`](Self::append_row); nothing was appended.
    pub fn append_rows<I>(&self, rows: I, tag: T) -> ElasticAppend<T>
    where
        I: IntoIterator,
        I::Item: Serialize,
    {
        let rows = Rows::encode(&self.handle.context, rows.into_iter());
        self.append(rows, tag)
    }

    /// Appends rows that are bytes already: of a [`FailedAppend`], say.
    ///
    /// # Errors
    ///
    /// As [`append_rows`](Self::append_rows).
    pub fn append_batch(&self, batch: &RowBatch, tag: T) -> ElasticAppend<T> {
        let rows = Rows::of_batch(&self.handle.context, batch);
        self.append(rows, tag)
    }

    /// Sends what was appended so far without waiting for the lag.
    pub fn initiate_flush(&self) {
        self.shared().update_and_wake(|core, _| core.flush());
    }

    /// Flushes, and waits until everything that was appended before, through any clone, is accepted or has failed.
    ///
    /// Bounded as [`checkpoint`](Self::checkpoint). Cancel safe: to wait for less long, wrap it in `tokio::time::timeout`.
    ///
    /// # Errors
    ///
    /// The error of an append that failed and is not yet reported: [`checkpoint`](Self::checkpoint) reports it and hands
    /// back the rows.
    pub async fn wait_for_flush(&self) -> Result<()> {
        let through = self.shared().flush();
        self.shared().settle(through).await
    }

    /// Flushes, and waits until everything that was appended before, through any clone, has an outcome: `Ok` says that all
    /// of it is accepted, and so was everything since the last checkpoint of this clone.
    ///
    /// Each clone reports every failure once. The rows of failures that no [`Ack`] reported go to the first
    /// checkpoint that asks. Tasks that each rely on checkpoints therefore take a clone each.
    ///
    /// Bounded by the client's `retry_for` and what is ahead in the queue. Cancel safe: cancelled, it has reported
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`], with the appends that failed.
    pub async fn checkpoint(&self) -> Result<(), CheckpointError<T>> {
        let through = self.shared().update_and_wake(|core, _| {
            core.flush();
            core.next()
        });
        self.shared().settled(through).await;
        self.failures()
    }

    /// What has failed since this clone was last told.
    fn failures(&self) -> Result<(), CheckpointError<T>> {
        let (total, last, failed) = self.shared().update(|core, _| core.failures());
        let before = self.told.swap(total, Ordering::Relaxed);
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

    /// Asks the server for the status of the pipe's elastic channel: its counters, over all clients.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if the server does not know the pipe; whatever keeps it from answering.
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

    /// Whether the channel takes no more rows: it was closed, or its client was.
    pub fn is_closed(&self) -> bool {
        self.shared().core().is_closed()
    }

    /// Flushes, waits until everything appended through any clone has an outcome, and ends the channel: clones take no
    /// more rows.
    ///
    /// Bounded by the client's close timeout; what has no outcome by then fails with [`ErrorKind::Timeout`] and is handed
    /// back. Cancelled, the channel goes on to end in the background.
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
