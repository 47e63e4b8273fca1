//! Channels and their rules: sequencers, accepted batches, commits, counters. Of HTTP, only the refusals are used.

use std::collections::BTreeMap;
use std::time::Duration;

use super::channel::{Channel, Rules, SUCCESS, created, is_elastic, sequencers};
use super::committed_rows::{CommitObserver, CommittedRows};
use super::events::{Events, What};
use super::failed_commits::FailedCommits;
use super::landing::Destination;
use super::numbers;
use super::pipes::FormerPipes;
use super::refusals::{conflict, failed, must_reopen, uncommitted};
use crate::answers::{AfterSkippedToken, NameCase, ReplayedToken, SkippedToken, SupersededToken};
use crate::catalog::object_name::ObjectName;
use crate::catalog::tables::{Catalog, Pipe};
use crate::messages::answer::Refusal;
use crate::storage::interface::{Storage, StorageError};
use crate::storage::records::{AcceptedBatch, ChannelRecord, Commit};

const ROW_SEQ_GAP: &str = "ERR_CHANNEL_MUST_BE_REOPENED_DUE_TO_ROW_SEQ_GAP";
const INVALID_ROW_SEQUENCER: &str = "ERR_CHANNEL_HAS_INVALID_ROW_SEQUENCER";

/// A channel that receives no rows for this long is deleted with its token.
const IDLE_EXPIRY_MS: u64 = 30 * 24 * 60 * 60 * 1000;

/// A pipe and a channel's name, in upper case if case does not matter in addresses.
pub(crate) type Key = (ObjectName, String);

/// An append to a channel.
pub(crate) struct Append<'a> {
    pub(crate) continuation_token: Option<&'a str>,
    pub(crate) start_token: Option<String>,
    pub(crate) end_token: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// The position of an append in its channel.
pub(crate) enum Standing {
    /// The next one, with this sequencer.
    Next(u64),
    /// Accepted before; this is the continuation token after it.
    Known(String),
}

/// Channels, their accepted batches, and the storage of both.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) rules: Rules,
    pub(crate) catalog: Catalog,
    pub(crate) storage: Box<dyn Storage>,
    pub(crate) channels: BTreeMap<Key, Channel>,
    pub(crate) now_ms: u64,
    /// When the pipes were created: at the first request, the last DDL or the last reset. An elastic channel without rows has the same
    /// creation time.
    pub(crate) pipes_since_ms: Option<u64>,
    /// What is called after each commit.
    pub(crate) observer: Option<CommitObserver>,
    /// Whether commits only come from `commit_all`.
    pub(crate) is_held: bool,
    /// How many commits there were.
    pub(crate) commits: u64,
    /// The initial delay and period of commits.
    pub(super) first_pace: (Duration, Duration),
    failed_commits: FailedCommits,
    /// What the event table and the channel history show.
    pub(crate) events: Events,
    pub(super) former_pipes: FormerPipes,
}

impl State {
    /// Loads what is stored. `lose_buffer` deletes the batches of named channels that were accepted and not committed; these
    /// channels must be reopened. What an elastic channel has accepted is never lost.
    pub(crate) fn load(
        rules: Rules,
        catalog: Catalog,
        mut storage: Box<dyn Storage>,
        lose_buffer: bool,
    ) -> Result<Self, StorageError> {
        numbers::resume(&catalog, storage.as_mut())?;
        let mut channels = BTreeMap::new();
        for stored in storage.load()? {
            let mut channel = Channel::new(stored.record);
            let is_durable = is_elastic(&channel.record.channel);
            if lose_buffer && !is_durable && !stored.accepted.is_empty() {
                ROW_SEQ_GAP.clone_into(&mut channel.record.status_code);
                storage.put_channel(&channel.record, true)?;
            } else {
                for batch in stored.accepted {
                    channel.push(rules.due_ms(batch.accepted_at_ms), batch);
                }
            }
            let record = &channel.record;
            channels.insert(key(&rules, &record.pipe, &record.channel), channel);
        }
        Ok(Self {
            first_pace: (rules.commit_delay, rules.commit_every),
            failed_commits: FailedCommits::default(),
            events: Events::default(),
            former_pipes: FormerPipes::default(),
            rules,
            catalog,
            storage,
            observer: None,
            channels,
            now_ms: 0,
            pipes_since_ms: None,
            is_held: false,
            commits: 0,
        })
    }

    /// A channel by the name in an address.
    pub(crate) fn channel(&self, pipe: &Pipe, name: &str) -> Option<&Channel> {
        self.channels.get(&self.key(pipe, name))
    }

    /// The key of a channel.
    pub(super) fn key(&self, pipe: &Pipe, channel: &str) -> Key {
        key(&self.rules, &pipe.name, channel)
    }

    pub(crate) fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.channels.values()
    }

    /// Opens or reopens a channel. The earlier holder becomes stale.
    pub(crate) fn open(
        &mut self,
        pipe: &Pipe,
        name: &str,
        offset_token: Option<String>,
        fail_on_uncommitted: bool,
    ) -> Result<&Channel, Refusal> {
        let key = self.key(pipe, name);
        let mut record = match self.channels.get(&key) {
            Some(channel) if fail_on_uncommitted && !channel.pending.is_empty() => {
                return Err(uncommitted(channel));
            }
            Some(channel) => ChannelRecord {
                client_sequencer: channel.record.client_sequencer + 1,
                row_sequencer: 1,
                status_code: SUCCESS.to_owned(),
                ..channel.record.clone()
            },
            None => {
                self.has_room(pipe)?;
                created(pipe, name, self.now_ms)
            }
        };
        if offset_token.is_some() {
            record.offset_token = offset_token;
        }
        self.storage.put_channel(&record, true).map_err(failed)?;
        let channel = self
            .channels
            .entry(key)
            .or_insert_with(|| Channel::new(record.clone()));
        channel.change(self.now_ms, record);
        channel.pending.clear();
        channel.loses_rows = false;
        let of = (pipe, channel.record.channel.as_str());
        self.events.record(self.now_ms, of, What::Opened);
        tracing::info!(
            channel = name,
            sequencer = channel.record.client_sequencer,
            "open"
        );
        Ok(channel)
    }

    fn has_room(&self, pipe: &Pipe) -> Result<(), Refusal> {
        let open = self
            .channels
            .keys()
            .filter(|(of, name)| *of == pipe.name && !is_elastic(name))
            .count();
        match self.rules.limits.channels_per_pipe {
            Some(most) if open >= most => Err(Refusal::bad_request(
                "ERR_CHANNEL_LIMIT_EXCEEDED_FOR_PIPE",
                format!("The pipe has {open} channels, which is the most it may have."),
            )),
            _ => Ok(()),
        }
    }

    /// The position of an append with this continuation token, if the channel accepts it.
    pub(crate) fn stand(
        &mut self,
        pipe: &Pipe,
        name: &str,
        continuation_token: Option<&str>,
    ) -> Result<Standing, Refusal> {
        let key = self.key(pipe, name);
        let channel = self.channels.get_mut(&key);
        let channel = channel.ok_or_else(Refusal::no_channel)?;
        let limits = &self.rules.limits;
        if !channel.pace.admits(limits, self.now_ms) {
            return Err(Refusal::throttled(limits.retry_after));
        }
        let (client, row) = sequencers(continuation_token)?;
        let record = &channel.record;
        let answers = &self.rules.answers;
        if client < record.client_sequencer {
            return match answers.wire.superseded_token {
                SupersededToken::Stale => Err(Refusal::stale()),
                SupersededToken::Conflict => {
                    Err(conflict("ERR_CHANNEL_HAS_INVALID_CLIENT_SEQUENCER"))
                }
                SupersededToken::DropWithOwners => {
                    Ok(Standing::Known(channel.continuation_token()))
                }
                SupersededToken::DropWithOld => {
                    let next = format!("{client}_{}", row.saturating_add(1));
                    Ok(Standing::Known(next))
                }
            };
        }
        if client > record.client_sequencer {
            return Err(Refusal::bad_request(
                "ERR_CHANNEL_HAS_INVALID_CLIENT_SEQUENCER",
                "The continuation token is ahead of the channel: reopen the channel.",
            ));
        }
        if record.status_code != SUCCESS && !channel.loses_rows {
            return Err(must_reopen(&record.status_code));
        }
        if row < record.row_sequencer {
            return match answers.wire.replayed_token {
                ReplayedToken::Accept => {
                    let next = format!("{client}_{}", row.saturating_add(1));
                    Ok(Standing::Known(next))
                }
                ReplayedToken::Stale => Err(Refusal::stale()),
                ReplayedToken::Conflict => Err(conflict(INVALID_ROW_SEQUENCER)),
            };
        }
        if row > record.row_sequencer {
            let (code, refusal): (_, fn(&str) -> Refusal) = match answers.wire.skipped_token {
                SkippedToken::Gap => (ROW_SEQ_GAP, must_reopen),
                SkippedToken::Invalid => (INVALID_ROW_SEQUENCER, must_reopen),
                SkippedToken::Conflict => (ROW_SEQ_GAP, conflict),
            };
            if answers.wire.after_skipped_token == AfterSkippedToken::Refuses {
                let mut record = record.clone();
                code.clone_into(&mut record.status_code);
                self.storage.put_channel(&record, false).map_err(failed)?;
                channel.record = record;
            }
            return Err(refusal(code));
        }
        Ok(Standing::Next(row))
    }

    /// Accepts a batch or recognizes a repetition, and returns the next continuation token.
    pub(crate) fn append(
        &mut self,
        pipe: &Pipe,
        name: &str,
        append: Append<'_>,
    ) -> Result<String, Refusal> {
        let row = match self.stand(pipe, name, append.continuation_token)? {
            Standing::Next(row) => row,
            Standing::Known(next) => return Ok(next),
        };
        let key = self.key(pipe, name);
        let channel = self.channels.get_mut(&key);
        let channel = channel.ok_or_else(Refusal::no_channel)?;
        let record = ChannelRecord {
            row_sequencer: row + 1,
            last_used_ms: self.now_ms,
            ..channel.record.clone()
        };
        if channel.loses_rows {
            channel.record = record;
            return Ok(channel.continuation_token());
        }
        let batch = AcceptedBatch {
            row_sequencer: row,
            start_token: append.start_token,
            end_token: append.end_token,
            accepted_at_ms: self.now_ms,
            body: append.body,
        };
        self.storage.accept(&record, &batch).map_err(failed)?;
        channel.record = record;
        channel.pace.charge(batch.body.len());
        channel.push(self.rules.due_ms(self.now_ms), batch);
        tracing::debug!(channel = name, row_sequencer = row, "accepted");
        Ok(channel.continuation_token())
    }

    /// Deletes a channel, its token and its accepted batches.
    pub(crate) fn drop_channel(
        &mut self,
        pipe: &Pipe,
        name: &str,
        fail_on_uncommitted: bool,
    ) -> Result<(), Refusal> {
        let key = self.key(pipe, name);
        let channel = self.channels.get(&key).ok_or_else(Refusal::no_channel)?;
        if fail_on_uncommitted && !channel.pending.is_empty() {
            return Err(uncommitted(channel));
        }
        let name = &channel.record.channel;
        self.storage
            .drop_channel(&pipe.name, name)
            .map_err(failed)?;
        self.events.record(self.now_ms, (pipe, name), What::Dropped);
        self.channels.remove(&key);
        Ok(())
    }

    /// Commits what is due at `now_ms`, and deletes channels that were idle for too long.
    pub(crate) fn advance(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        self.pipes_since_ms.get_or_insert(now_ms);
        let mut due = Vec::new();
        let mut expired = Vec::new();
        for (key, channel) in &self.channels {
            let ripe = if self.is_held {
                Vec::new()
            } else {
                channel.ripe_instants(now_ms)
            };
            due.extend(ripe.into_iter().map(|at| (at, key.clone())));
            let idle_ms = now_ms.saturating_sub(channel.record.last_used_ms);
            let may_expire = channel.pending.is_empty() && !is_elastic(&key.1);
            if may_expire && idle_ms > IDLE_EXPIRY_MS {
                expired.push(key.clone());
            }
        }
        // In order of time and not of channel, so that the order of rows does not depend on how often this is called.
        due.sort();
        for (at, key) in due {
            self.commit_or_log(&key, at, at);
        }
        for key in expired {
            self.expire(&key);
        }
    }

    /// Commits everything that is accepted, due or not.
    pub(crate) fn commit_all(&mut self) {
        let keys: Vec<Key> = self.channels.keys().cloned().collect();
        for key in keys {
            self.commit_or_log(&key, u64::MAX, self.now_ms);
        }
    }

    /// When the next batch is due. Batches that are held without limit are not.
    pub(crate) fn next_due_ms(&self) -> Option<u64> {
        if self.is_held {
            return None;
        }
        self.channels
            .values()
            .filter_map(Channel::next_due_ms)
            .filter(|&due| due < u64::MAX)
            .min()
    }

    fn commit_or_log(&mut self, key: &Key, due_ms: u64, at_ms: u64) {
        let result = self.commit(key, due_ms, at_ms);
        // A channel may have been dropped meanwhile, or its rows discarded.
        let waits = |key: &Key| {
            let channel = self.channels.get(key);
            channel.is_some_and(|c| !c.pending.is_empty())
        };
        match result {
            Ok(()) => {
                if self
                    .failed_commits
                    .is_over(|other| other != key && waits(other))
                {
                    tracing::info!("accepted rows can be committed again");
                }
            }
            // The batches stay accepted, and the next call tries again.
            Err(why) => {
                self.failed_commits.is_over(waits);
                if self.failed_commits.is_news(key, &why.message) {
                    self.record_failure(key, at_ms, why.message.clone());
                    let channel = self.channels.get(key).map(|c| c.record.channel.as_str());
                    tracing::error!(%why, channel, "accepted rows cannot be committed, and are tried again until they can");
                }
            }
        }
    }

    /// Commits a channel's batches that are due at `due_ms`, as of `at_ms`.
    fn commit(&mut self, key: &Key, due_ms: u64, at_ms: u64) -> Result<(), StorageError> {
        let Some(pipe) = self.catalog.pipe(&key.0) else {
            return Ok(());
        };
        if !self.evolve(key, &pipe, due_ms, at_ms)? {
            return Ok(());
        }
        let Some(channel) = self.channels.get_mut(key) else {
            return Ok(());
        };
        let Some(table) = self.catalog.table(&pipe.table) else {
            return Ok(());
        };
        let destination = Destination {
            table,
            pipe: &pipe,
            at_ms,
        };
        let Some(landed) = channel.land(due_ms, destination) else {
            return Ok(());
        };
        let sequences = table.sequences().chain(pipe.sequences());
        numbers::keep(sequences, self.storage.as_mut())?;
        self.storage.commit(&Commit {
            record: &landed.record,
            table: &pipe.table,
            rows: &landed.rows,
            rejected: &landed.rejected,
            through: landed.through,
        })?;
        tracing::debug!(
            channel = landed.record.channel,
            through = landed.through,
            rows = landed.rows.len(),
            rejected = landed.rejected.len(),
            "committed"
        );
        if let Some(observer) = &self.observer {
            observer.call(&CommittedRows::new(&pipe.table, table, &landed));
        }
        let of = (&pipe, landed.record.channel.as_str());
        self.events
            .record(at_ms, of, What::committed(at_ms, &landed));
        channel.settle(at_ms, landed);
        self.commits += 1;
        Ok(())
    }

    fn expire(&mut self, key: &Key) {
        let Some(channel) = self.channels.get(key) else {
            return;
        };
        match self.storage.drop_channel(&key.0, &channel.record.channel) {
            Ok(()) => {
                self.channels.remove(key);
            }
            Err(why) => {
                tracing::error!(%why, channel = key.1, "an idle channel could not be forgotten");
            }
        }
    }
}

/// The key of a channel of a pipe.
fn key(rules: &Rules, pipe: &ObjectName, channel: &str) -> Key {
    let name = match rules.answers.channels.name_case {
        NameCase::Folded => channel.to_uppercase(),
        NameCase::Exact => channel.to_owned(),
    };
    (pipe.clone(), name)
}
