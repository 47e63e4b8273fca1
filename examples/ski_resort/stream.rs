//! One table's rows in the queue as a source: read after an offset, deleted when they are committed, and kept as dead letters
//! if the server rejected some.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use serde_json::value::RawValue;
use snowpipe_streaming::ChannelStatus;
use snowpipe_streaming::ingest::{Batch, Rejected, Source};
use tokio::sync::{mpsc, watch};

use crate::misconfigured::Misconfigured;
use crate::queue::{Queue, Span, Turn};
use crate::table::Table;

/// One table's rows in the queue.
#[derive(Debug)]
pub(crate) struct Stream {
    table: Table,
    queue: Arc<Mutex<Queue>>,
    turn: Turn,
    /// Whether all rows have been generated.
    generated: watch::Receiver<bool>,
    gate: Gate,
}

/// Holds back all streams until each has checked its channel. If one check fails, nothing is streamed or deleted.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    /// Receives a message from each stream that is ready.
    pub(crate) ready: mpsc::Sender<()>,
    /// Becomes true when the streams may start.
    pub(crate) open: watch::Receiver<bool>,
}

/// Why the queue failed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct QueueError(#[from] anyhow::Error);

impl QueueError {
    /// The error of the command line or the files, if that is the cause.
    pub(crate) fn misconfigured(&self) -> Option<Misconfigured> {
        self.0.downcast_ref().cloned()
    }
}

impl Stream {
    pub(crate) fn new(
        table: Table,
        queue: Queue,
        turn: Turn,
        generated: watch::Receiver<bool>,
        gate: Gate,
    ) -> Self {
        Self {
            table,
            queue: Arc::new(Mutex::new(queue)),
            turn,
            generated,
            gate,
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Queue, Table) -> Result<T> + Send + 'static,
    ) -> Result<T, QueueError> {
        let result = tokio::task::spawn_blocking(self.with_queue(work)).await;
        Ok(result.context("the queue's task was stopped")??)
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Queue, Table) -> Result<T> + Send + 'static,
    ) -> Result<T, QueueError> {
        Ok(self.turn.write(self.with_queue(work)).await?)
    }

    fn with_queue<T, W>(&self, work: W) -> impl FnOnce() -> Result<T> + Send + use<T, W>
    where
        W: FnOnce(&mut Queue, Table) -> Result<T> + Send,
    {
        let (table, queue) = (self.table, Arc::clone(&self.queue));
        move || {
            work(
                &mut queue.lock().unwrap_or_else(PoisonError::into_inner),
                table,
            )
        }
    }
}

impl Source for Stream {
    type Offset = i64;
    type Row = Box<RawValue>;
    type Error = QueueError;

    async fn read_after(
        &mut self,
        after: Option<&i64>,
        max: usize,
    ) -> Result<Batch<i64, Box<RawValue>>, QueueError> {
        let after = after.copied().unwrap_or(0);
        let most = u32::try_from(max).unwrap_or(u32::MAX);
        // Read before the queue: rows added in between are found by the next read.
        let is_complete = *self.generated.borrow();
        let rows: Vec<_> = self
            .read(move |queue, table| {
                let rows = queue.read_after(table, after, most)?;
                let rows = rows.into_iter().map(|(id, data)| {
                    let row = RawValue::from_string(data).with_context(|| {
                        format!("the row {id} of {} in the queue is not JSON", table.name())
                    })?;
                    Ok((id, row))
                });
                rows.collect::<Result<_>>()
            })
            .await?;
        Ok(if rows.is_empty() && is_complete {
            Batch::end()
        } else {
            Batch::new(rows)
        })
    }

    async fn release_through(&mut self, through: &i64) -> Result<(), QueueError> {
        let through = *through;
        self.write(move |queue, table| queue.delete_through(table, through))
            .await?;
        Ok(())
    }

    async fn released(&mut self) -> Result<Option<i64>, QueueError> {
        let span = self.read(|queue, table| queue.span(table)).await?;
        Ok(Some(span.released).filter(|released| *released > 0))
    }

    async fn dead_letter(
        &mut self,
        rejected: &Rejected<i64>,
        rows: Vec<(i64, Box<RawValue>)>,
    ) -> Result<(), QueueError> {
        let (after, through) = match (rows.first(), rows.last()) {
            (Some((first, _)), Some((last, _))) => (first - 1, *last),
            _ => (rejected.through, rejected.through),
        };
        let reason = rejected.message.clone().unwrap_or_else(no_reason);
        let total = rejected.total;
        self.write(move |queue, table| queue.dead_letter(table, after, through, &reason, total))
            .await?;
        Ok(())
    }

    async fn rejects_seen(&mut self, _: &str) -> Result<Option<u64>, QueueError> {
        self.read(|queue, table| queue.rejects(table))
            .await
            .map(Some)
    }

    async fn check(&mut self, channel: &str, committed: Option<&i64>) -> Result<(), QueueError> {
        let (channel, committed) = (channel.to_owned(), committed.copied());
        self.read(move |queue, table| check(&channel, committed, queue.span(table)?))
            .await?;
        if !*self.gate.open.borrow() {
            // Sending fails only if the pipeline is gone, which also ends this task.
            let _ = self.gate.ready.send(()).await;
            let _ = self.gate.open.wait_for(|open| *open).await;
        }
        Ok(())
    }

    /// Only errors of the file may be temporary.
    fn is_fatal(&self, error: &QueueError) -> bool {
        let mut causes = error.0.chain();
        !causes.any(<dyn std::error::Error>::is::<rusqlite::Error>)
    }
}

/// Whether a channel's committed token can be that of this queue.
///
/// # Errors
/// [`Misconfigured`] if rows would be lost or streamed twice.
pub(crate) fn check(channel: &str, committed: Option<i64>, span: Span) -> Result<()> {
    let Span { issued, released } = span;
    let reached = committed.unwrap_or(0);
    if reached > issued {
        return Err(Misconfigured::new(format!(
            "the channel {channel} has committed the offset {reached}, but the queue has issued only {issued}: another queue was \
             streamed to this channel. Give that --queue, or another --channel"
        )));
    }
    if reached < released {
        let found = committed.map_or_else(
            || "has no committed offset".to_owned(),
            |offset| format!("has committed only the offset {offset}"),
        );
        return Err(Misconfigured::new(format!(
            "the channel {channel} {found}, but the queue has released the rows through {released}: the channel, its pipe \
             or its tables have been replaced. Give the target (--landing, --profile, --channel) that the queue was \
             streamed to, or start over with another --queue"
        )));
    }
    Ok(())
}

/// Releases the rows through `committed`. If the server has rejected rows that are not accounted for, all released rows are
/// kept as dead letters.
pub(crate) fn release_committed(
    queue: &mut Queue,
    table: Table,
    committed: i64,
    status: &ChannelStatus,
) -> Result<()> {
    let rejects = status.rows_error_count();
    if rejects > queue.rejects(table)? {
        let released = queue.span(table)?.released;
        let reason = status
            .last_error_message()
            .map_or_else(no_reason, str::to_owned);
        queue.dead_letter(table, released, committed, &reason, rejects)?;
    }
    queue.delete_through(table, committed)?;
    Ok(())
}

fn no_reason() -> String {
    "rejected; the server gave no reason".to_owned()
}
