//! Where a run starts to read, and where it continues after a channel was reopened.
//!
//! The committed offset of a channel never goes backward. A higher one after a reopen belongs to another run of the same
//! source, and the run resumes from it. A lower one ends the run, unless the channel was gone and created again: then the
//! offset known to be committed counts, and the source's `check` may object.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::flow::Flow;
use super::layout;
use super::recover::{check_committed, check_not_behind, in_doubt};
use super::rejects::Counter;
use super::shard::Shard;
use super::shutdown::StopReason;
use super::source::Source;
use crate::base::options::OnUncommitted;
use crate::channel::Channel;
use crate::client::StreamingIngestClient;
use crate::types::error::{Error, ErrorKind, Result};

/// The interval at which a taken name is tried again.
const DRAINING: Duration = Duration::from_millis(200);

impl<S: Source> Flow<'_, S> {
    /// Opens the channels and finds the offset to resume from.
    pub(super) async fn resume(&mut self) -> Result<(), StopReason> {
        let released = self.source.released().await?;
        if released.is_some() || self.known.is_some() {
            self.client.expect_pipe();
        }
        if self.options.is_partition {
            self.rejects_kept_through = released;
        } else {
            self.released = released;
        }
        let names = self.layout.names(&self.name);
        let begin = async {
            let (name, released) = (&self.name, self.released.as_ref());
            // A partition of a group has one channel, so there are no channels of other layouts.
            if !self.options.is_partition {
                layout::check_others(&self.client, name, self.layout, released).await?;
            }
            open(&self.client, names, self.options.own_rows).await
        };
        let channels = self.source.shutdown.interrupting(begin).await??;
        let opened = Instant::now();
        for mut channel in channels {
            if self.options.is_partition {
                channel.end_on_drop();
            }
            self.shards.push(Shard::new(channel, self.options.own_rows));
        }
        let mut committed = Vec::new();
        for Shard { channel, .. } in &self.shards {
            let offset = channel.resume_after()?;
            // A token below what is known is no error: records that the source skips move the position and not the token.
            if offset.is_none() {
                check_not_behind(channel.name(), self.known.as_ref(), None)?;
            }
            self.source.check(channel.name(), offset.as_ref()).await?;
            committed.push(offset);
        }
        for (index, committed) in committed.into_iter().enumerate() {
            self.catch_up(index, committed, Some(opened)).await?;
        }
        self.resumed_after = self.position();
        info!(
            name = self.name,
            after = self.resumed_after.as_ref().map(ToString::to_string),
            "the run resumes"
        );
        self.rewind().await
    }

    /// Reopens an invalidated channel, and continues after its committed offset.
    pub(super) async fn recover(
        &mut self,
        index: usize,
        invalidated: Error,
    ) -> Result<(), StopReason> {
        self.give_up(index);
        let mut trouble = invalidated.clone();
        loop {
            let Some(shard) = self.shards.get(index) else {
                return Ok(());
            };
            let ownership = self.source.ownership(shard.channel.name()).await?;
            let unit = self.client.random_unit();
            let Some(shard) = self.shards.get_mut(index) else {
                return Ok(());
            };
            let Some((policy, pause)) = shard.attempts.next(&trouble, ownership, unit) else {
                // The invalidation by another writer is more informative than the failed open because of its uncommitted rows.
                let is_theirs = trouble.kind() == ErrorKind::UncommittedData;
                let error = if is_theirs { invalidated } else { trouble };
                // The error of a failed open has no committed token.
                let committed = error.committed_token().cloned();
                let committed = committed.or_else(|| shard.channel.latest_committed_offset_token());
                return Err(error.with_committed_token(committed).into());
            };
            warn!(channel = shard.channel.name(), error = %trouble, "reopening the channel");
            self.source.shutdown.interrupting(sleep(pause)).await?;
            match self.reopen(index, &invalidated, policy).await {
                Err(StopReason::Failed(error)) => trouble = error,
                done => return done,
            }
        }
    }

    async fn reopen(
        &mut self,
        index: usize,
        invalidated: &Error,
        policy: OnUncommitted,
    ) -> Result<(), StopReason> {
        let Some(shard) = self.shards.get_mut(index) else {
            return Ok(());
        };
        let reopening = shard.channel.reopen_with(policy);
        let (report, is_in_doubt) = self.source.shutdown.interrupting(reopening).await??;
        shard.is_in_doubt |= is_in_doubt;
        let (appended, committed) = std::mem::take(&mut shard.counts).uncounted(&report);
        if committed > 0 {
            shard.attempts.succeeded_before_last();
        }
        self.tally.appended += appended;
        self.tally.committed += committed;
        self.tally.reopens += 1;
        let name = shard.channel.name();
        if shard.is_in_doubt {
            return Err(in_doubt(name).into());
        }
        let committed = shard.channel.resume_after()?;
        check_committed(
            name,
            invalidated,
            shard.settled.as_ref(),
            committed.as_ref(),
        )?;
        self.source.check(name, committed.as_ref()).await?;
        self.catch_up(index, committed, None).await?;
        self.rewind().await
    }

    /// After an open, the first one if `opened` says when: settles everything through `committed`. If the server has rejected
    /// rows that the source does not know of, any of the rows since the settled ones may be rejected, and the source keeps them
    /// all.
    async fn catch_up(
        &mut self,
        index: usize,
        committed: Option<S::Offset>,
        opened: Option<Instant>,
    ) -> Result<(), StopReason> {
        let Some(shard) = self.shards.get_mut(index) else {
            return Ok(());
        };
        let name = shard.channel.name();
        let seen = if opened.is_some() {
            self.source.rejects_seen(name).await?
        } else {
            None
        };
        // Rows that an earlier run has sent and not released: how many they are is not known, so their counts are waited for.
        let known = shard.settled.as_ref().max(self.released.as_ref());
        let known = known.max(self.rejects_kept_through.as_ref());
        let may_be_late = seen.is_some() && committed.as_ref() > known;
        let opened_at = opened.filter(|_| may_be_late);
        let earlier = async {
            if let Some(opened) = opened_at {
                shard.channel.count_earlier_rows(opened).await?;
            }
            shard.channel.earlier_rows_are_counted().await;
            Ok::<_, Error>(())
        };
        self.source.shutdown.interrupting(earlier).await??;
        let committed = match opened_at {
            Some(_) => shard.channel.resume_after()?,
            None => committed,
        };
        let status = shard.channel.status_after_open();
        let status = self.source.shutdown.interrupting(status).await??;
        let counter = Counter::new(&shard.channel, &status);
        if opened.is_some() {
            shard.rejects.set_known(seen.unwrap_or(counter.total()));
        }
        self.keep_uncounted_rejects(index, &counter, committed.as_ref())
            .await?;
        if let Some(shard) = self.shards.get_mut(index) {
            shard.caught_up(committed);
        }
        Ok(())
    }

    /// Continues to read where the slowest shard needs it.
    async fn rewind(&mut self) -> Result<(), StopReason> {
        let position = self.position();
        self.marks.rewind(position.as_ref());
        if let Some(position) = position {
            self.marks.push(position, false);
        }
        self.release().await?;
        self.publish();
        Ok(())
    }
}

/// Opens channels concurrently. An open may have to wait for rows of an earlier run, or until a channel that a dropped or
/// failed run of this client has left is drained.
async fn open(
    client: &StreamingIngestClient,
    names: Vec<String>,
    policy: OnUncommitted,
) -> Result<Vec<Channel>> {
    let drained = Instant::now() + client.close_timeout();
    let mut opening = JoinSet::new();
    for (index, name) in names.into_iter().enumerate() {
        let client = client.clone();
        opening.spawn(async move {
            loop {
                let channel = client.open_channel(&name).on_uncommitted(policy).await;
                let is_taken =
                    matches!(&channel, Err(error) if error.kind() == ErrorKind::ChannelAlreadyOpen);
                if !is_taken || Instant::now() >= drained {
                    return (index, channel);
                }
                sleep(DRAINING).await;
            }
        });
    }
    let mut channels = BTreeMap::new();
    let mut failed = None;
    while let Some(opened) = opening.join_next().await {
        let outcome = opened.unwrap_or_else(|_| {
            let text = "the runtime shut down while channels were being opened";
            (0, Err(Error::new(ErrorKind::ClientClosed, text)))
        });
        match outcome {
            (index, Ok(channel)) => {
                channels.insert(index, channel);
            }
            (_, Err(error)) => {
                failed.get_or_insert(error);
                opening.abort_all();
            }
        }
    }
    match failed {
        None => Ok(channels.into_values().collect()),
        Some(error) => {
            // Nothing was appended. Their names are free when the run returns.
            for mut channel in channels.into_values() {
                channel.end_on_drop();
            }
            Err(error)
        }
    }
}
