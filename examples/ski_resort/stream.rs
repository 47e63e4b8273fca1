//! One table's way from the queue through its channel: read after its own position, append, and release what is
//! committed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::value::RawValue;
use snowpipe_streaming::{
    Channel, ChannelStatus, ErrorKind, InvalidationCause, OnUncommitted, Receipt, RejectWindow,
    StreamingIngestClient,
};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tracing::{debug, warn};

use crate::counters::{Counters, Publisher};
use crate::misconfigured::Misconfigured;
use crate::queue::{Queue, Span};
use crate::table::Table;

/// How many rows are read at once.
const BATCH: u32 = 10_000;
/// How many rows may wait for their commit before no more are read.
const MOST_IN_FLIGHT: i64 = 160_000;
/// How long an empty queue is left alone.
const IDLE: Duration = Duration::from_millis(100);
/// How long rows that an earlier run of this streamer sent may take to be committed before they are sent again: all of
/// them are still in the queue.
const UNCOMMITTED: OnUncommitted = OnUncommitted::WaitThenDiscard(Duration::from_secs(30));
/// How often the channel is opened again without a commit in between, and the first and longest pause before.
const MOST_REOPENS: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How a stream came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    /// Everything that was generated is committed and released.
    Done,
    /// It was told to stop.
    Stopped,
}

/// One table's stream.
#[derive(Debug)]
pub(crate) struct Stream {
    table: Table,
    queue: Arc<Mutex<Queue>>,
    /// Channels end with the last handle of their client.
    _client: StreamingIngestClient,
    channel: Channel,
    counters: Publisher,
    /// The last row that was appended.
    position: i64,
    /// The last row that is no longer in the queue.
    released: i64,
    /// What was committed when this run began.
    begun: i64,
    /// Not committed yet, oldest first.
    in_flight: VecDeque<InFlight>,
    /// How many of these, from the front, are accepted.
    accepted: usize,
    rejects: u64,
    last_window: Option<RejectWindow>,
    reopens: u32,
}

#[derive(Debug)]
struct InFlight {
    receipt: Receipt,
    /// Its last row.
    through: i64,
    since: Instant,
}

enum Event {
    Stop,
    Committed(snowpipe_streaming::Result<()>),
    Accepted(snowpipe_streaming::Result<()>),
    Invalidated(snowpipe_streaming::Error),
    Look,
}

impl Stream {
    /// Opens the channel and checks that it and the queue belong together. Changes nothing in the queue.
    ///
    /// # Errors
    /// [`Misconfigured`] if they do not.
    pub(crate) async fn open(
        table: Table,
        client: StreamingIngestClient,
        name: &str,
        queue: Queue,
        counters: Publisher,
    ) -> Result<Self> {
        let channel = client
            .open_channel(name)
            .on_uncommitted(UNCOMMITTED)
            .await?;
        check(name, committed(&channel)?, queue.span(table)?)?;
        Ok(Self {
            table,
            queue: Arc::new(Mutex::new(queue)),
            _client: client,
            channel,
            counters,
            position: 0,
            released: 0,
            begun: 0,
            in_flight: VecDeque::new(),
            accepted: 0,
            rejects: 0,
            last_window: None,
            reopens: 0,
        })
    }

    /// Streams until everything is committed that was in the queue when `generated` turned true, or until `stop` does;
    /// then it waits at most `drain` for the commit of what was appended.
    pub(crate) async fn run(
        mut self,
        generated: watch::Receiver<bool>,
        mut stop: watch::Receiver<bool>,
        drain: Duration,
    ) -> Result<Finish> {
        let mut trouble = self.resume().await.err();
        self.begun = self.released;
        self.publish();
        loop {
            let result = match trouble.take() {
                None => self.flow(&generated, &mut stop).await,
                Some(error) => tokio::select! {
                    biased;
                    () = told_to(&mut stop) => Ok(Finish::Stopped),
                    result = self.recover(error) => {
                        result?;
                        continue;
                    }
                },
            };
            match result {
                Ok(Finish::Done) => {
                    if let Err(error) = self.channel.close().await {
                        // Nothing depends on it any more: everything is committed.
                        debug!(table = self.table.name(), %error, "the close was not clean");
                    }
                    return Ok(Finish::Done);
                }
                Ok(Finish::Stopped) => {
                    self.drain(Instant::now() + drain).await?;
                    return Ok(Finish::Stopped);
                }
                Err(error) => trouble = Some(error),
            }
        }
    }

    async fn flow(
        &mut self,
        generated: &watch::Receiver<bool>,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Finish> {
        let mut next_look = Instant::now();
        loop {
            let has_room = self.position - self.released < MOST_IN_FLIGHT;
            let oldest = self.in_flight.front().map(|f| f.receipt.clone());
            let unaccepted = self.in_flight.get(self.accepted).map(|f| f.receipt.clone());
            let event = tokio::select! {
                biased;
                () = told_to(stop) => Event::Stop,
                result = of(oldest, async |receipt| receipt.committed().await) => Event::Committed(result),
                result = of(unaccepted, async |receipt| receipt.accepted().await) => Event::Accepted(result),
                error = self.channel.invalidated() => Event::Invalidated(error),
                () = sleep_until(next_look), if has_room => Event::Look,
            };
            match event {
                Event::Stop => return Ok(Finish::Stopped),
                Event::Committed(result) => self.settle(result).await?,
                Event::Accepted(result) => {
                    result?;
                    self.accepted += 1;
                    self.publish();
                }
                Event::Invalidated(error) => return Err(error.into()),
                Event::Look => {
                    // Asked before the queue is: rows that come between are seen at the next look.
                    let is_complete = *generated.borrow();
                    let rows = self.read().await?;
                    let is_full = rows.len() == BATCH as usize;
                    next_look = Instant::now() + if is_full { Duration::ZERO } else { IDLE };
                    if !rows.is_empty() {
                        tokio::select! {
                            biased;
                            () = told_to(stop) => return Ok(Finish::Stopped),
                            result = self.append(rows) => result?,
                        }
                    } else if is_complete {
                        if self.in_flight.is_empty() {
                            return Ok(Finish::Done);
                        }
                        self.channel.initiate_flush();
                    }
                }
            }
        }
    }

    async fn read(&self) -> Result<Vec<(i64, Box<RawValue>)>> {
        let (table, after) = (self.table, self.position);
        self.with_queue(move |queue| {
            let rows = queue.read_after(table, after, BATCH)?;
            let rows = rows.into_iter().map(|(id, data)| {
                let row = RawValue::from_string(data).with_context(|| {
                    format!("the row {id} of {} in the queue is not JSON", table.name())
                })?;
                Ok((id, row))
            });
            rows.collect()
        })
        .await
    }

    async fn append(&mut self, rows: Vec<(i64, Box<RawValue>)>) -> Result<()> {
        let since = Instant::now();
        let Some(through) = rows.last().map(|(id, _)| *id) else {
            return Ok(());
        };
        let rows = rows.into_iter().map(|(id, row)| (row, id));
        let receipt = self.channel.append_each(rows).await?;
        self.position = through;
        self.in_flight.push_back(InFlight {
            receipt,
            through,
            since,
        });
        self.publish();
        Ok(())
    }

    /// What became of the oldest rows in flight: they leave the queue, after those in doubt were kept.
    async fn settle(&mut self, result: snowpipe_streaming::Result<()>) -> Result<()> {
        let Some(oldest) = self.in_flight.pop_front() else {
            return Ok(());
        };
        self.accepted = self.accepted.saturating_sub(1);
        if let Err(error) = result {
            let Some(window) = error.rejects() else {
                return Err(error.into());
            };
            self.keep(window, oldest.through).await?;
        }
        self.release(oldest.through).await
    }

    /// Keeps the rows of a reject window. Another window may touch the rows through `through` as well.
    async fn keep(&mut self, window: &RejectWindow, through: i64) -> Result<()> {
        let offset = |token: &Option<snowpipe_streaming::OffsetToken>| {
            token.as_ref().and_then(|token| token.parse().ok())
        };
        let after: i64 = offset(&window.after).unwrap_or(0);
        let through = offset(&window.through).unwrap_or(through).max(through);
        if self.last_window.as_ref() != Some(window) {
            self.rejects += window.count;
            self.last_window = Some(window.clone());
        }
        let (table, rejects) = (self.table, self.rejects);
        let reason = window.message.clone().unwrap_or_else(no_reason);
        self.with_queue(move |queue| queue.dead_letter(table, after, through, &reason, rejects))
            .await?;
        Ok(())
    }

    async fn release(&mut self, through: i64) -> Result<()> {
        let table = self.table;
        self.with_queue(move |queue| queue.delete_through(table, through))
            .await?;
        if through > self.released {
            self.released = through;
            self.reopens = 0;
        }
        self.publish();
        Ok(())
    }

    /// Goes on after the committed token of a channel that was just opened.
    async fn resume(&mut self) -> Result<()> {
        let committed = committed(&self.channel)?;
        let status = self.channel.status().await?;
        let (table, name) = (self.table, self.channel.name().to_owned());
        self.rejects = status.rows_error_count();
        self.in_flight.clear();
        self.accepted = 0;
        self.position = self
            .with_queue(move |queue| {
                check(&name, committed, queue.span(table)?)?;
                release_committed(queue, table, committed.unwrap_or(0), &status)?;
                Ok(committed.unwrap_or(0))
            })
            .await?;
        if self.position > self.released {
            self.released = self.position;
            self.reopens = 0;
        }
        self.publish();
        Ok(())
    }

    /// Opens the channel again after it was invalidated.
    ///
    /// # Errors
    /// The trouble itself if that cannot help, or did not help often enough.
    async fn recover(&mut self, mut trouble: anyhow::Error) -> Result<()> {
        loop {
            if !is_mended_by_reopening(&trouble) {
                return Err(trouble);
            }
            self.reopens += 1;
            if self.reopens > MOST_REOPENS {
                return Err(trouble.context(format!(
                    "the channel was opened again {MOST_REOPENS} times and nothing was committed"
                )));
            }
            warn!(table = self.table.name(), error = %trouble, "the channel is opened again");
            sleep((FIRST_PAUSE * 2_u32.pow(self.reopens - 1)).min(LONGEST_PAUSE)).await;
            let reopened = self.channel.reopen().await;
            trouble = match reopened {
                Ok(()) => match self.resume().await {
                    Ok(()) => return Ok(()),
                    Err(error) => error,
                },
                Err(error) => error.into(),
            };
        }
    }

    /// Waits for the commit of what was appended, not beyond `until`. What is not committed then stays in the queue.
    async fn drain(mut self, until: Instant) -> Result<()> {
        self.channel.initiate_flush();
        while let Some(oldest) = self.in_flight.front() {
            let receipt = oldest.receipt.clone();
            match timeout_at(until, receipt.committed()).await {
                Ok(result) if result.as_ref().is_err_and(|error| !error.is_committed()) => break,
                Ok(result) => self.settle(result).await?,
                Err(_) => break,
            }
        }
        let table = self.table.name();
        match timeout_at(until, self.channel.close()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => warn!(table, %error, "the channel did not end cleanly"),
            Err(_) => warn!(table, "not everything was committed in time"),
        }
        Ok(())
    }

    fn publish(&self) {
        let accepted = self.accepted.checked_sub(1);
        let accepted = accepted.and_then(|last| self.in_flight.get(last));
        self.counters.send_replace(Counters {
            appended: self.position,
            accepted: accepted.map_or(self.released, |f| f.through),
            committed: self.released,
            begun: self.begun,
            waiting_since: self.in_flight.front().map(|f| f.since),
        });
    }

    async fn with_queue<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Queue) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let queue = Arc::clone(&self.queue);
        tokio::task::spawn_blocking(move || {
            work(&mut queue.lock().unwrap_or_else(PoisonError::into_inner))
        })
        .await?
    }
}

/// The committed token as what it means here.
fn committed(channel: &Channel) -> Result<Option<i64>> {
    channel.resume_point::<i64>().map_err(|error| {
        Misconfigured::new(format!(
            "the channel {} is not this pipeline's: {error}; give another --channel",
            channel.name()
        ))
    })
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
            "the channel {channel} has committed the offset {reached}, but the queue has only ever issued {issued}: it is \
             not the queue that this channel was fed from. Give the --queue that it was, or another --channel"
        )));
    }
    if reached < released {
        let found = committed.map_or_else(
            || "has no committed offset".to_owned(),
            |offset| format!("has committed only the offset {offset}"),
        );
        return Err(Misconfigured::new(format!(
            "the channel {channel} {found}, but the queue has released the rows through {released}: the channel, its pipe \
             or its tables were replaced since. Give the target (--landing, --profile, --channel) that the queue was \
             streamed to, or begin afresh with another --queue"
        )));
    }
    Ok(())
}

/// Releases the rows through `committed`. If the server has rejected rows that nobody took note of, all of these are in
/// doubt and kept.
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
    "rejected; the server did not say why".to_owned()
}

fn is_mended_by_reopening(trouble: &anyhow::Error) -> bool {
    let Some(error) = trouble.downcast_ref::<snowpipe_streaming::Error>() else {
        return false;
    };
    match error.kind() {
        // The same rows would be refused again.
        ErrorKind::Invalidated(InvalidationCause::Rejected) => false,
        ErrorKind::Invalidated(_) => true,
        _ => error.is_retryable(),
    }
}

/// What comes of a receipt, if there is one.
async fn of(
    receipt: Option<Receipt>,
    wait: impl AsyncFnOnce(Receipt) -> snowpipe_streaming::Result<()>,
) -> snowpipe_streaming::Result<()> {
    match receipt {
        Some(receipt) => wait(receipt).await,
        None => std::future::pending().await,
    }
}

/// Resolves when `flag` turns true. A sender that is gone means the same.
async fn told_to(flag: &mut watch::Receiver<bool>) {
    let _ = flag.wait_for(|told| *told).await;
}
