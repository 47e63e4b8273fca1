//! The main loop of a run: rows are read, appended to their channels, and released when they are committed.
//!
//! One task drives a source and its channels. It uses the channels as any caller could, except for a reopen under another
//! policy, a close by a given time, and the list of reject windows.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::Poll;

use tokio::time::Instant;
use tracing::debug;

use super::group::quota::QuotaShare;
use super::layout::Layout;
use super::offsets::are_numbers;
use super::options::{Observer, Options};
use super::report::{Finish, Progress, Report};
use super::retrying::{RetryingSource, check_text};
use super::run::Run;
use super::shard::{Event, Shard};
use super::shards::{ReleasePoints, Router};
use super::shutdown::{Shutdown, StopReason};
use super::source::{Batch, Offset, Source};
use crate::base::task::reached;
use crate::client::StreamingIngestClient;
use crate::types::close_report::UncommittedRange;
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::offset::arguments::Shown;

/// The state of a run.
pub(super) struct Flow<'a, S: Source> {
    pub(super) client: StreamingIngestClient,
    pub(super) name: String,
    pub(super) layout: Layout,
    pub(super) source: RetryingSource<'a, S>,
    pub(super) router: Router<'a, S::Row>,
    pub(super) shards: Vec<Shard<S::Offset>>,
    pub(super) marks: ReleasePoints<S::Offset>,
    pub(super) released: Option<S::Offset>,
    /// Of a partition: the source has kept the rejects up to here. Unlike `released`, this is no position.
    pub(super) rejects_kept_through: Option<S::Offset>,
    /// Of a partition: everything up to here was committed before this run.
    pub(super) known: Option<S::Offset>,
    pub(super) tally: Tally,
    pub(super) options: Options,
    pub(super) resumed_after: Option<S::Offset>,
    /// When to retry `dead_letter` after it failed.
    pub(super) keep_rejects_at: Option<Instant>,
    observer: Option<Observer<'a, S::Offset>>,
    quota: Option<QuotaShare>,
    /// Whether the source has no more rows, now or later.
    pub(super) is_end: bool,
    /// Whether the last read returned nothing.
    pub(super) is_idle: bool,
}

/// The counters of the report.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) appended: u64,
    pub(super) committed: u64,
    pub(super) rejected: u64,
    pub(super) reopens: u64,
}

/// What ended a wait of the run.
enum Happened<E> {
    Event((usize, Event)),
    /// `dead_letter` is due.
    RejectsDue,
    /// There may be rows to read, or `ready` failed.
    Ready(Result<(), E>),
    /// Other partitions of the group have fewer rows in flight.
    QuotaFreed,
}

/// Names `Source::ready` in messages.
const WAIT: &str = "wait for rows";

/// The rows of a batch for one channel.
type Group<O, R> = Vec<(O, R)>;

/// A batch divided among the channels.
struct Division<O, R> {
    groups: Vec<Group<O, R>>,
    /// The offsets just before the groups.
    marks: Vec<O>,
}

impl<'a, S: Source> Flow<'a, S> {
    pub(super) fn new(run: Run<'a, S>) -> Self {
        let shutdown = Shutdown::new(run.stop, run.options.drain_timeout);
        let patience = run.options.source_patience;
        let layout = match &run.shards {
            Some((count, _)) => Layout::Sharded(*count),
            None => Layout::Plain,
        };
        Self {
            source: RetryingSource::new(run.source, shutdown, run.client.clone(), patience),
            client: run.client,
            name: run.name,
            layout,
            router: Router::new(run.shards),
            shards: Vec::new(),
            marks: ReleasePoints::new(),
            released: None,
            rejects_kept_through: None,
            known: run.known,
            tally: Tally::default(),
            options: run.options,
            resumed_after: None,
            keep_rejects_at: None,
            observer: run.observer,
            quota: run.quota,
            is_end: false,
            is_idle: false,
        }
    }

    /// Runs from opening the channels to closing them. Their names are free when it returns, with an error as well.
    pub(super) async fn run(mut self) -> Result<Report<S::Offset>> {
        let finish = match self.stream().await {
            Ok(()) => Ok(Finish::Exhausted),
            Err(StopReason::Failed(error)) => Err(error),
            Err(StopReason::Interrupted) => {
                self.source.shutdown.begin_draining();
                match self.drain().await {
                    Err(StopReason::Failed(error)) => Err(error),
                    Ok(()) | Err(StopReason::Interrupted) => Ok(Finish::Stopped),
                }
            }
        };
        let uncommitted = self.close(self.source.shutdown.until()).await;
        Ok(Report {
            finish: finish?,
            resumed_after: self.resumed_after,
            rows_appended: self.tally.appended,
            rows_committed: self.tally.committed,
            rows_rejected: self.tally.rejected,
            reopens: self.tally.reopens,
            released: self.released,
            uncommitted,
        })
    }

    /// Streams until the source is at its end and everything is released.
    async fn stream(&mut self) -> Result<(), StopReason> {
        self.resume().await?;
        while !(self.is_end && self.is_done()) {
            let rejects_due = self.rejects_due();
            let may_read = self.room() > 0 && !self.is_end;
            let quota = &mut self.quota;
            let quota_freed = async {
                match quota {
                    Some(quota) => quota.freed().await,
                    None => std::future::pending().await,
                }
            };
            let RetryingSource {
                source, shutdown, ..
            } = &mut self.source;
            let ready = async {
                if self.is_idle {
                    source.ready().await
                } else {
                    Ok(())
                }
            };
            let happened = tokio::select! {
                biased;
                () = shutdown.requested() => return Err(StopReason::Interrupted),
                event = any(self.shards.iter().enumerate()) => Happened::Event(event),
                () = reached(rejects_due) => Happened::RejectsDue,
                ready = ready, if may_read => Happened::Ready(ready),
                () = quota_freed, if !may_read && !self.is_end => Happened::QuotaFreed,
            };
            match happened {
                Happened::Event((shard, Event::Invalidated(error))) => {
                    if let Some(shard) = self.shards.get_mut(shard) {
                        shard.invalidated();
                    }
                    self.recover(shard, error).await?;
                }
                Happened::Event((shard, event)) => self.on_event(shard, &event).await?,
                Happened::RejectsDue => self.keep_due_rejects().await?,
                Happened::Ready(Ok(())) => {
                    // Otherwise `ready` was not called.
                    if self.is_idle {
                        self.source.succeeded(WAIT);
                    }
                    self.is_idle = false;
                    self.read().await?;
                }
                Happened::Ready(Err(error)) => self.source.pause(WAIT, error).await?,
                Happened::QuotaFreed => {}
            }
            self.publish();
        }
        Ok(())
    }

    /// Waits until the rows in flight are committed, or until the drain timeout.
    async fn drain(&mut self) -> Result<(), StopReason> {
        self.flush();
        while !self.is_done() {
            let rejects_due = self.rejects_due();
            // Skips shards without rows in flight: while draining they have no further events.
            let busy = self.shards.iter().enumerate();
            let busy = busy.filter(|(_, shard)| shard.rows_in_flight() > 0);
            let happened = async {
                tokio::select! {
                    biased;
                    event = any(busy) => Some(event),
                    () = reached(rejects_due) => None,
                }
            };
            match self.source.shutdown.interrupting(happened).await? {
                Some((shard, Event::Invalidated(error))) => {
                    // The next run finds out which of its rows are committed.
                    debug!(%error, "a channel ended while it was drained");
                    self.give_up(shard);
                }
                Some((shard, event)) => self.on_event(shard, &event).await?,
                None => self.keep_due_rejects().await?,
            }
            self.publish();
        }
        Ok(())
    }

    /// Closes the channels, and returns the rows that are not committed by then.
    async fn close(&mut self, until: Instant) -> BTreeMap<String, Vec<UncommittedRange>> {
        let mut uncommitted = BTreeMap::new();
        for shard in std::mem::take(&mut self.shards) {
            let name = shard.channel.name().to_owned();
            let report = match shard.channel.close_by(until).await {
                Ok(report) => report,
                Err(error) => {
                    debug!(channel = name, %error, "the close was not clean");
                    error.close_report().cloned().unwrap_or_default()
                }
            };
            let (appended, committed) = shard.counts.uncounted(&report);
            self.tally.appended += appended;
            self.tally.committed += committed;
            if !report.uncommitted.is_empty() {
                uncommitted.insert(name, report.uncommitted);
            }
        }
        uncommitted
    }

    /// Reads rows and appends them to their channels.
    async fn read(&mut self) -> Result<(), StopReason> {
        let max = usize::try_from(self.room()).unwrap_or(usize::MAX);
        if max == 0 {
            // Meanwhile other partitions of the group have taken the room.
            return Ok(());
        }
        let after = self.position();
        let max = max.min(self.options.batch_rows);
        // Until the rows are in flight, other partitions must not count on this room.
        let in_flight = self.rows_in_flight();
        if let Some(quota) = &mut self.quota {
            quota.reserve(in_flight + max as u64);
        }
        let batch = self.source.read_after(after.as_ref(), max).await?;
        self.is_end = batch.is_end;
        self.is_idle = batch.through.is_none();
        self.hand_out(after, batch).await?;
        if self.is_end {
            self.flush();
        }
        self.release().await?;
        // A source in memory never waits, so let the tasks of the channels run.
        tokio::task::yield_now().await;
        Ok(())
    }

    async fn hand_out(
        &mut self,
        after: Option<S::Offset>,
        batch: Batch<S::Offset, S::Row>,
    ) -> Result<(), StopReason> {
        let Some(through) = batch.through else {
            return Ok(());
        };
        let is_bare = batch.rows.is_empty();
        let Division { groups, marks } = self.divide(after, batch.rows);
        let mut failed = Vec::new();
        for (index, group) in groups.into_iter().enumerate() {
            if let Err(error) = self.append(index, group).await? {
                failed.push((index, error));
            }
        }
        for shard in &mut self.shards {
            shard.reached = shard.reached.take().max(Some(through.clone()));
        }
        for mark in marks {
            self.marks.push(mark, false);
        }
        self.marks.push(through, is_bare);
        // Before the next await: rows that a channel refused are not in flight, and must not be released.
        for (index, _) in &failed {
            self.give_up(*index);
        }
        for (index, error) in failed {
            self.recover(index, error).await?;
        }
        Ok(())
    }

    /// Groups the rows by shard, without those that a shard has already got.
    fn divide(
        &mut self,
        after: Option<S::Offset>,
        rows: Vec<(S::Offset, S::Row)>,
    ) -> Division<S::Offset, S::Row> {
        let mut groups: Vec<Group<_, _>> = self.shards.iter().map(|_| Vec::new()).collect();
        let mut marks = Vec::new();
        let mut before = after;
        for (offset, row) in rows {
            let index = self.router.shard_of(&row);
            let (Some(shard), Some(group)) = (self.shards.get(index), groups.get_mut(index)) else {
                continue;
            };
            let is_new = shard.reached.as_ref() < Some(&offset);
            if is_new && group.is_empty() {
                marks.extend(before.take());
            }
            // With a single shard, no rows of other shards lie in between.
            if self.shards.len() > 1 {
                before = Some(offset.clone());
            }
            if is_new {
                group.push((offset, row));
            }
        }
        Division { groups, marks }
    }

    /// Appends rows to a shard. The inner error means that the channel was invalidated.
    async fn append(
        &mut self,
        index: usize,
        group: Group<S::Offset, S::Row>,
    ) -> Result<Result<(), Error>, StopReason> {
        let (Some(shard), Some((first, _)), Some((last, _))) =
            (self.shards.get_mut(index), group.first(), group.last())
        else {
            return Ok(Ok(()));
        };
        let (first, last, rows) = (first.clone(), last.clone(), group.len() as u64);
        check_text(&last)?;
        let is_number = are_numbers::<S::Offset>();
        let shown = |(offset, row)| (row, Shown { offset, is_number });
        let rows_with_offsets = group.into_iter().map(shown);
        let appended = tokio::select! {
            biased;
            // A run that was asked to stop still appends the rows that it has read, until the drain timeout.
            () = self.source.shutdown.timed_out() => return Err(StopReason::Interrupted),
            appended = shard.channel.append_each(rows_with_offsets) => appended,
        };
        match appended {
            Ok(receipt) => {
                shard.appended(receipt, first, last, rows);
                self.tally.appended += rows;
                Ok(Ok(()))
            }
            Err(error) if matches!(error.kind(), ErrorKind::Invalidated(_)) => Ok(Err(error)),
            Err(error) => Err(error.into()),
        }
    }

    async fn on_event(&mut self, index: usize, event: &Event) -> Result<(), StopReason> {
        match event {
            Event::Committed => {
                self.keep_new_rejects(index).await?;
                if let Some(shard) = self.shards.get_mut(index)
                    && shard.rejects.are_kept()
                {
                    self.tally.committed += shard.settled();
                }
                self.release().await
            }
            Event::Accepted => {
                if let Some(shard) = self.shards.get_mut(index) {
                    shard.accepted();
                }
                Ok(())
            }
            Event::Invalidated(_) => Ok(()),
        }
    }

    async fn keep_due_rejects(&mut self) -> Result<(), StopReason> {
        self.keep_rejects().await?;
        self.release().await
    }

    /// Releases the rows before everything in flight, unless rejects are not kept yet, which may be among them.
    pub(super) async fn release(&mut self) -> Result<(), StopReason> {
        if self.rejects_due().is_some() {
            return Ok(());
        }
        let uncommitted = self.shards.iter().filter_map(Shard::uncommitted).min();
        let Some(mark) = self.marks.below(uncommitted).cloned() else {
            return Ok(());
        };
        if Some(&mark) > self.released.as_ref() {
            self.source.release_through(&mark).await?;
            self.marks.release(&mark);
            self.released = Some(mark);
        }
        Ok(())
    }

    /// The offset up to which no shard needs any more rows.
    pub(super) fn position(&self) -> Option<S::Offset> {
        let reached = self.shards.iter().map(|shard| shard.reached.as_ref()).min();
        reached.flatten().max(self.released.as_ref()).cloned()
    }

    /// Gives up the rows that a shard has in flight. They will be read again.
    pub(super) fn give_up(&mut self, index: usize) {
        if let Some(shard) = self.shards.get_mut(index) {
            shard.give_up();
        }
        // The partitions beside this one may use the room while it recovers.
        let _ = self.room();
        self.marks.rewind(self.position().as_ref());
        (self.is_end, self.is_idle) = (false, false);
    }

    /// Whether nothing is in flight and all rejects are kept.
    fn is_done(&self) -> bool {
        self.rows_in_flight() == 0 && self.rejects_due().is_none()
    }

    /// How many rows may be read now.
    fn room(&mut self) -> u64 {
        let in_flight = self.rows_in_flight();
        let room = self.options.max_in_flight.saturating_sub(in_flight);
        match &mut self.quota {
            Some(quota) => room.min(quota.room(in_flight)),
            None => room,
        }
    }

    fn rows_in_flight(&self) -> u64 {
        self.shards.iter().map(Shard::rows_in_flight).sum()
    }

    fn flush(&self) {
        for shard in &self.shards {
            shard.channel.initiate_flush();
        }
    }

    pub(super) fn publish(&mut self) {
        let Some(observe) = &mut self.observer else {
            return;
        };
        let below = |lowest| self.marks.below(lowest).or(self.released.as_ref()).cloned();
        let reached = self.shards.iter().map(|shard| shard.reached.as_ref()).min();
        let since = self.shards.iter().filter_map(Shard::waiting_since).min();
        observe(&Progress {
            resumed_after: self.resumed_after.clone(),
            appended: reached.flatten().max(self.released.as_ref()).cloned(),
            accepted: below(self.shards.iter().filter_map(Shard::unaccepted).min()),
            committed: below(self.shards.iter().filter_map(Shard::uncommitted).min()),
            released: self.released.clone(),
            rows_appended: self.tally.appended,
            rows_committed: self.tally.committed,
            rows_in_flight: self.shards.iter().map(Shard::rows_in_flight).sum(),
            rows_rejected: self.tally.rejected,
            reopens: self.tally.reopens,
            waiting_for: since.map(|since| since.elapsed()),
        });
    }
}

/// The next event of any shard. If several have one, the first of them wins.
async fn any<'s, O: Offset>(shards: impl Iterator<Item = (usize, &'s Shard<O>)>) -> (usize, Event) {
    let mut events: Vec<_> = shards
        .map(|(index, shard)| (index, Box::pin(shard.event())))
        .collect();
    poll_fn(|cx| {
        for (index, event) in &mut events {
            if let Poll::Ready(event) = event.as_mut().poll(cx) {
                return Poll::Ready((*index, event));
            }
        }
        Poll::Pending
    })
    .await
}
