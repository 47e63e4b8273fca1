//! Rejected rows, which the source keeps as dead letters before they are released.
//!
//! If the source fails to keep them, the call is retried later. Meanwhile the run continues to follow its channels and to
//! read, but settles no rows of the shard and releases nothing.
//!
//! Before rows are settled, each reject window above the counter that the source knows is read again and handed to the source.
//! Its pieces carry the old counter, and only the last one the new: with the new counter in each, a crash after the first piece
//! would lose the others. After a crash before the last piece the window is in doubt, and the next run hands it over again.
//! After every open the counter of the status is compared with the one that the source knows.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::flow::Flow;
use super::retrying::Setback;
use super::shard::Shard;
use super::shutdown::StopReason;
use super::source::{Offset, Rejected, Source};
use crate::channel::Channel;
use crate::types::channel_status::ChannelStatus;
use crate::types::offset::OffsetToken;

/// The rejects of one shard's channel.
#[derive(Debug)]
pub(super) struct Rejects<O> {
    /// The channel's reject counter as of the last reject that was queued.
    counted: u64,
    /// The rejects that the source has not kept yet, oldest first.
    queue: VecDeque<Unkept<O>>,
}

/// Rejected rows that the source has not kept yet.
#[derive(Debug)]
struct Unkept<O> {
    rejected: Rejected<O>,
    /// Rows up to here are kept.
    kept: Option<O>,
}

impl<O: Offset> Rejects<O> {
    pub(super) fn new() -> Self {
        Self {
            counted: 0,
            queue: VecDeque::new(),
        }
    }

    /// Whether the source has kept everything that was rejected.
    pub(super) fn are_kept(&self) -> bool {
        self.queue.is_empty()
    }

    /// Sets how many rejects the source already knows.
    pub(super) fn set_known(&mut self, total: u64) {
        self.counted = total;
    }

    /// Queues rejects that were counted while the shard did not follow its channel, with all rows after the settled ones through
    /// `through`. A counter that went backward is that of a channel that was dropped and created again, which starts at 0.
    fn queue_uncounted(
        &mut self,
        channel: &str,
        counter: &Counter,
        settled: Option<O>,
        through: Option<&O>,
    ) {
        if counter.total < self.counted {
            self.counted = 0;
        }
        let count = counter.total - self.counted;
        self.counted = counter.total;
        if let Some(through) = through.filter(|_| count > 0) {
            self.queue.push_back(Unkept {
                kept: settled.clone(),
                rejected: Rejected {
                    channel: channel.to_owned(),
                    count,
                    after: settled,
                    through: through.clone(),
                    message: counter.message.clone(),
                    total: counter.total,
                },
            });
        }
    }

    /// Queues the rejects that the channel has observed since. `reached` is the last row that was appended to the channel.
    fn queue_windows(&mut self, channel: &Channel, reached: Option<&O>) {
        for window in channel.rejects_above(self.counted) {
            let offset = |token: Option<&OffsetToken>| token?.parse::<O>().ok();
            let through = offset(window.through.as_ref()).or(reached.cloned());
            let Some(through) = through else {
                continue;
            };
            let after = offset(window.after.as_ref());
            self.queue.push_back(Unkept {
                kept: after.clone(),
                rejected: Rejected {
                    channel: channel.name().to_owned(),
                    count: window.total.saturating_sub(self.counted),
                    after,
                    through,
                    message: window.message,
                    total: window.total,
                },
            });
            self.counted = window.total;
        }
    }
}

/// The server's count of rejected rows, right after an open.
pub(super) struct Counter {
    total: u64,
    /// The committed token that belongs to the count, if the status is current. Another writer may have committed more than the
    /// open showed.
    through: Option<OffsetToken>,
    message: Option<String>,
}

impl Counter {
    /// Combines the counter of the open, which is always current, with that of a status, which may be from a lagging replica or
    /// from an earlier channel of the same name.
    pub(super) fn new(channel: &Channel, status: &ChannelStatus) -> Self {
        let opened_with = channel.rows_rejected();
        let shown = status.rows_error_count();
        let is_current = channel.is_shown_by(status);
        let through = status.latest_committed_offset_token();
        Self {
            total: opened_with.max(if is_current { shown } else { 0 }),
            through: through.filter(|_| is_current).cloned(),
            message: status
                .last_error_message()
                .filter(|_| is_current)
                .map(str::to_owned),
        }
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }
}

impl<S: Source> Flow<'_, S> {
    /// After an open: has the source keep the rows that were rejected while the shard did not follow its channel.
    pub(super) async fn keep_uncounted_rejects(
        &mut self,
        index: usize,
        counter: &Counter,
        committed: Option<&S::Offset>,
    ) -> Result<(), StopReason> {
        if let Some(shard) = self.shards.get_mut(index) {
            let settled = shard.settled.clone().max(self.released.clone());
            // An engine's offset beyond the token is of a channel that is no longer there.
            let kept = self.rejects_kept_through.clone();
            let settled = settled.max(kept.filter(|kept| Some(kept) <= committed));
            let name = shard.channel.name();
            let shown = counter.through.as_ref().and_then(|t| t.parse().ok());
            let through = committed.max(shown.as_ref());
            shard
                .rejects
                .queue_uncounted(name, counter, settled, through);
        }
        self.keep_rejects().await
    }

    /// Has the source keep the rows that the server has rejected since.
    pub(super) async fn keep_new_rejects(&mut self, index: usize) -> Result<(), StopReason> {
        if let Some(shard) = self.shards.get_mut(index) {
            let reached = shard.reached.as_ref();
            shard.rejects.queue_windows(&shard.channel, reached);
        }
        self.keep_rejects().await
    }

    /// When to call `dead_letter` next, if there are rejects that the source has not kept.
    pub(super) fn rejects_due(&self) -> Option<Instant> {
        let are_kept = self.shards.iter().all(|shard| shard.rejects.are_kept());
        (!are_kept).then(|| self.keep_rejects_at.unwrap_or_else(Instant::now))
    }

    /// Has the source keep all queued rejects, unless a pause after a failure has not passed yet, or the run is interrupted.
    pub(super) async fn keep_rejects(&mut self) -> Result<(), StopReason> {
        while self.rejects_due().is_some_and(|at| at <= Instant::now()) {
            // A window is in doubt until its last piece is kept, so a run may stop between pieces.
            let go_on = std::future::ready(());
            self.source.shutdown.interrupting(go_on).await?;
            match self.keep_next_rejects().await {
                Ok(()) => self.keep_rejects_at = None,
                Err(Setback::Retry(pause)) => self.keep_rejects_at = Some(Instant::now() + pause),
                Err(Setback::Stop(reason)) => return Err(reason),
            }
        }
        Ok(())
    }

    /// Reads the next rows of the oldest rejects again and has the source keep them. The counter moves with the last of them.
    async fn keep_next_rejects(&mut self) -> Result<(), Setback> {
        let is_pending = |(_, shard): &(usize, &mut Shard<S::Offset>)| !shard.rejects.are_kept();
        let Some((index, shard)) = self.shards.iter_mut().enumerate().find(is_pending) else {
            return Ok(());
        };
        let Some(unkept) = shard.rejects.queue.front_mut() else {
            return Ok(());
        };
        let after = unkept.kept.as_ref().max(self.released.as_ref());
        let most = self.options.batch_rows;
        let batch = self.source.try_read_after(after, most).await?;
        let through = &unkept.rejected.through;
        let mut rows = batch.rows;
        rows.retain(|(offset, row)| offset <= through && self.router.shard_of(row) == index);
        // If there is nothing left to read, another run has released the missing rows.
        let is_last = batch.through.as_ref().is_none_or(|read| read >= through);
        if is_last || !rows.is_empty() {
            let mut rejected = unkept.rejected.clone();
            if !is_last {
                rejected.total = rejected.total.saturating_sub(rejected.count);
            }
            self.source.try_dead_letter(&rejected, rows).await?;
        }
        unkept.kept = batch.through;
        if is_last && let Some(kept) = shard.rejects.queue.pop_front() {
            self.tally.rejected += kept.rejected.count;
        }
        Ok(())
    }
}
