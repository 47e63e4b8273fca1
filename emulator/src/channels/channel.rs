//! One channel: its record, its continuation token, and the batches that wait for their commit.

use std::collections::VecDeque;
use std::time::Duration;

use super::landing::{Destination, Landed};
use super::limits::{Limits, Pace};
use crate::answers::Answers;
use crate::catalog::tables::Pipe;
use crate::messages::answer::Refusal;
use crate::storage::records::{AcceptedBatch, ChannelRecord};

/// The channel of a pipe that is never opened.
pub(crate) const ELASTIC: &str = "ELASTIC";

/// Whether a name means the elastic channel.
pub(crate) fn is_elastic(channel: &str) -> bool {
    channel.eq_ignore_ascii_case(ELASTIC)
}

/// The status of a channel whose table was replaced, as accounts show it.
pub(crate) const DOES_NOT_EXIST: &str = "ERR_CHANNEL_DOES_NOT_EXIST_OR_NOT_AUTHORIZED";

/// The status of a channel that takes rows.
pub(crate) const SUCCESS: &str = "SUCCESS";

/// How the server behaves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    pub(crate) commit_delay: Duration,
    pub(crate) commit_every: Duration,
    pub(crate) limits: Limits,
    /// The answers to what is not published.
    pub(crate) answers: Answers,
    /// How long schema evolution takes.
    pub(crate) evolution_delay: Duration,
    /// Whether the role of the clients lacks `EVOLVE SCHEMA`.
    pub(crate) may_not_evolve: bool,
    /// Whether requests are checked strictly against the documentation.
    pub(crate) is_strict: bool,
}

impl Rules {
    /// When a batch accepted at `accepted_ms` commits: at the first tick that finds it old enough.
    pub(crate) fn due_ms(&self, accepted_ms: u64) -> u64 {
        let ripe = accepted_ms.saturating_add(millis(self.commit_delay));
        match millis(self.commit_every) {
            0 => ripe,
            every => ripe.div_ceil(every).saturating_mul(every),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How many earlier states of a channel are kept for the answers of a lagging replica.
const PAST: usize = 16;

/// A channel as the server holds it.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) record: ChannelRecord,
    pub(crate) pending: VecDeque<Pending>,
    pub(crate) pace: Pace,
    /// What the record was before its last changes, each with the time that ended it, oldest first.
    past: VecDeque<(u64, ChannelRecord)>,
    /// No batch commits before this instant.
    held_until_ms: u64,
    /// How long the batches of the last commit waited, on average.
    pub(crate) latency_ms: Option<u64>,
    /// When the table changes for the rows that wait, if it has to.
    pub(crate) evolves_at_ms: Option<u64>,
    /// Whether the channel loses the rows that it accepts until it is opened again, because its table was replaced or dropped.
    pub(crate) loses_rows: bool,
}

/// An accepted batch and when it commits.
#[derive(Debug)]
pub(crate) struct Pending {
    due_ms: u64,
    batch: AcceptedBatch,
}

impl Channel {
    pub(crate) fn new(record: ChannelRecord) -> Self {
        Self {
            // A stored status outlives a restart, and so does the loss.
            loses_rows: record.status_code == DOES_NOT_EXIST,
            record,
            pending: VecDeque::new(),
            pace: Pace::default(),
            past: VecDeque::new(),
            held_until_ms: 0,
            latency_ms: None,
            evolves_at_ms: None,
        }
    }

    /// Replaces the record with what a status shows from `now_ms` on.
    pub(crate) fn change(&mut self, now_ms: u64, record: ChannelRecord) {
        if self.past.len() == PAST {
            self.past.pop_front();
        }
        let before = std::mem::replace(&mut self.record, record);
        self.past.push_back((now_ms, before));
    }

    /// Loses the rows that are accepted and not committed, and those that are accepted before the channel is opened again. The
    /// status of `record` is [`DOES_NOT_EXIST`].
    pub(crate) fn lose_rows(&mut self, now_ms: u64, record: ChannelRecord) {
        self.change(now_ms, record);
        self.pending.clear();
        self.loses_rows = true;
    }

    /// Follows the end of its table: as [`lose_rows`](Self::lose_rows), and without token and counters. With `refuses` it refuses the
    /// rows instead of losing them.
    #[cfg(feature = "server")]
    pub(crate) fn forget(&mut self, pipe: &Pipe, now_ms: u64, refuses: bool) {
        let record = ChannelRecord {
            client_sequencer: self.record.client_sequencer,
            row_sequencer: self.record.row_sequencer,
            status_code: DOES_NOT_EXIST.to_owned(),
            ..created(pipe, &self.record.channel, now_ms)
        };
        self.lose_rows(now_ms, record);
        self.loses_rows = !refuses;
    }

    /// The record as a status showed it at `at_ms`, as far back as is remembered.
    pub(crate) fn record_at(&self, at_ms: u64) -> &ChannelRecord {
        let mut past = self.past.iter();
        past.find(|(until_ms, _)| *until_ms > at_ms)
            .map_or(&self.record, |(_, record)| record)
    }

    /// The record as a status shows it at `at_ms`, whose counters are those of `lag_ms` before.
    pub(crate) fn record_with_late_counters(&self, at_ms: u64, lag_ms: u64) -> ChannelRecord {
        let shown = self.record_at(at_ms);
        let counted = self.record_at(at_ms.saturating_sub(lag_ms));
        if counted.created_on_ms != shown.created_on_ms {
            return shown.clone();
        }
        ChannelRecord {
            offset_token: shown.offset_token.clone(),
            status_code: shown.status_code.clone(),
            ..counted.clone()
        }
    }

    /// Queues a batch to commit at `due_ms`, but never before the one in front of it.
    pub(crate) fn push(&mut self, due_ms: u64, batch: AcceptedBatch) {
        let earliest = self
            .pending
            .back()
            .map_or(self.held_until_ms, |last| last.due_ms);
        self.pending.push_back(Pending {
            due_ms: due_ms.max(earliest),
            batch,
        });
    }

    /// Gives the batches that wait the times that `rules` say.
    pub(crate) fn retime(&mut self, rules: &Rules) {
        let mut earliest = self.held_until_ms;
        for pending in &mut self.pending {
            pending.due_ms = rules.due_ms(pending.batch.accepted_at_ms).max(earliest);
            earliest = pending.due_ms;
        }
    }

    /// How many bytes of rows wait for their commit.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.pending.iter().map(|next| next.batch.body.len()).sum()
    }

    /// Lets no batch commit before `until_ms`, neither those already accepted nor those to come.
    pub(crate) fn hold(&mut self, until_ms: u64) {
        self.held_until_ms = until_ms;
        for pending in &mut self.pending {
            pending.due_ms = pending.due_ms.max(until_ms);
        }
    }

    /// When the first batch commits.
    pub(crate) fn next_due_ms(&self) -> Option<u64> {
        Some(self.pending.front()?.due_ms)
    }

    /// The instants up to `now_ms` at which batches commit.
    pub(crate) fn ripe_instants(&self, now_ms: u64) -> Vec<u64> {
        let due = self.pending.iter().map(|pending| pending.due_ms);
        let mut instants: Vec<u64> = due.take_while(|&due_ms| due_ms <= now_ms).collect();
        instants.dedup();
        instants
    }

    /// The batches that are due at `due_ms` as they land; `None` if there are none.
    pub(crate) fn land(&self, due_ms: u64, destination: Destination<'_>) -> Option<Landed> {
        let mut due = self.due(due_ms).peekable();
        due.peek()?;
        Some(Landed::new(self.record.clone(), due, destination))
    }

    /// The batches that are due at `due_ms`.
    pub(crate) fn due(&self, due_ms: u64) -> impl Iterator<Item = &AcceptedBatch> {
        let is_due = move |pending: &&Pending| pending.due_ms <= due_ms;
        self.pending
            .iter()
            .take_while(is_due)
            .map(|pending| &pending.batch)
    }

    /// Takes over what a commit at `at_ms` has made durable.
    pub(crate) fn settle(&mut self, at_ms: u64, landed: Landed) {
        self.pending.drain(..landed.batches);
        self.latency_ms = landed.waited_ms.checked_div(landed.batches as u64);
        self.change(at_ms, landed.record);
    }

    /// The token that the next append must carry.
    pub(crate) fn continuation_token(&self) -> String {
        let record = &self.record;
        format!("{}_{}", record.client_sequencer, record.row_sequencer)
    }
}

/// A channel that did not exist before.
pub(crate) fn created(pipe: &Pipe, channel: &str, now_ms: u64) -> ChannelRecord {
    ChannelRecord {
        pipe: pipe.name.clone(),
        channel: channel.to_owned(),
        created_on_ms: now_ms,
        client_sequencer: 0,
        row_sequencer: 1,
        offset_token: None,
        rows_parsed: 0,
        rows_inserted: 0,
        rows_error_count: 0,
        last_error_offset_upper_bound: None,
        last_error_message: None,
        last_error_timestamp_ms: None,
        last_used_ms: now_ms,
        status_code: SUCCESS.to_owned(),
    }
}

/// The two numbers of a continuation token.
pub(crate) fn sequencers(token: Option<&str>) -> Result<(u64, u64), Refusal> {
    let token = token.ok_or_else(|| Refusal::malformed("The continuationToken is missing."))?;
    token
        .split_once('_')
        .and_then(|(client, row)| Some((client.parse().ok()?, row.parse().ok()?)))
        .ok_or_else(|| Refusal::malformed(format!("{token:?} is not a continuation token.")))
}
