//! One channel of a run, with its rows in flight.
//!
//! A shard has two offsets: *settled*, up to which its rows are committed and their rejects reported, and *reached*, up to
//! which it needs no more rows. The run reads after the lowest *reached* of all shards, or after what is released. An
//! invalidated shard falls back to what it has settled; the others drop the rows that are read a second time.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::recover::Attempts;
use super::rejects::Rejects;
use super::source::Offset;
use crate::base::options::OnUncommitted;
use crate::channel::Channel;
use crate::channel::receipt::Receipt;
use crate::types::close_report::CloseReport;
use crate::types::error::{Error, Result};

/// One channel of a run.
#[derive(Debug)]
pub(super) struct Shard<O> {
    pub(super) channel: Channel,
    /// Rows up to this offset are committed, and the source has kept the rejects among them.
    pub(super) settled: Option<O>,
    /// Rows up to this offset are settled or in flight. They are not appended again.
    pub(super) reached: Option<O>,
    in_flight: VecDeque<InFlight<O>>,
    /// How many appends at the front of `in_flight` are accepted.
    accepted: usize,
    rows_in_flight: u64,
    pub(super) rejects: Rejects<O>,
    pub(super) attempts: Attempts,
    /// The outcome of sent rows is unknown, because the channel was dropped and created again.
    pub(super) is_in_doubt: bool,
    pub(super) counts: Counts,
}

/// The rows appended and committed since a channel was last opened that are already in the run's tally.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    appended: u64,
    committed: u64,
}

impl Counts {
    /// The rows of an ended channel that are not in the tally yet: appended and committed.
    pub(super) fn uncounted(self, report: &CloseReport) -> (u64, u64) {
        (
            report.rows_appended.saturating_sub(self.appended),
            report.rows_committed.saturating_sub(self.committed),
        )
    }
}

/// The rows of one append.
#[derive(Debug)]
struct InFlight<O> {
    receipt: Receipt,
    first: O,
    last: O,
    rows: u64,
    since: Instant,
}

/// An event of a channel.
#[derive(Debug)]
pub(super) enum Event {
    /// The oldest rows in flight are committed.
    Committed,
    /// The oldest rows that were not accepted yet are accepted.
    Accepted,
    /// The channel accepts no more rows.
    Invalidated(Error),
}

impl<O: Offset> Shard<O> {
    /// A shard with a channel that was just opened.
    pub(super) fn new(mut channel: Channel, own_rows: OnUncommitted) -> Self {
        // A run has nothing better to do than to wait for a server that is slower than its source.
        channel.wait_for_memory();
        Self {
            channel,
            settled: None,
            reached: None,
            in_flight: VecDeque::new(),
            accepted: 0,
            rows_in_flight: 0,
            rejects: Rejects::new(),
            attempts: Attempts::new(own_rows),
            is_in_doubt: false,
            counts: Counts::default(),
        }
    }

    /// Waits for the next event. Cancel safe.
    pub(super) async fn event(&self) -> Event {
        let oldest = self.in_flight.front();
        let unaccepted = self.in_flight.get(self.accepted);
        tokio::select! {
            biased;
            // Rows are settled only when the rejects among them are kept.
            result = committed(oldest), if self.rejects.are_kept() => match result {
                Err(error) if !error.is_committed() => Event::Invalidated(error),
                _ => Event::Committed,
            },
            result = accepted(unaccepted) => match result {
                Ok(()) => Event::Accepted,
                Err(error) => Event::Invalidated(error),
            },
            error = self.channel.invalidated() => Event::Invalidated(error),
        }
    }

    pub(super) fn appended(&mut self, receipt: Receipt, first: O, last: O, rows: u64) {
        self.counts.appended += rows;
        self.rows_in_flight += rows;
        self.in_flight.push_back(InFlight {
            receipt,
            first,
            last,
            rows,
            since: Instant::now(),
        });
    }

    /// One more append is accepted.
    pub(super) fn accepted(&mut self) {
        self.accepted += 1;
    }

    /// The oldest rows in flight are committed, and the rejects among them are kept. Returns the number of rows.
    pub(super) fn settled(&mut self) -> u64 {
        let Some(oldest) = self.in_flight.pop_front() else {
            return 0;
        };
        self.accepted = self.accepted.saturating_sub(1);
        self.attempts.succeeded();
        self.settled = Some(oldest.last);
        self.counts.committed += oldest.rows;
        self.rows_in_flight -= oldest.rows;
        oldest.rows
    }

    /// The channel was invalidated.
    pub(super) fn invalidated(&mut self) {
        if self.in_flight.is_empty() {
            self.attempts.invalidated_when_idle();
        }
    }

    /// Gives up the rows in flight. They will be read again.
    pub(super) fn give_up(&mut self) {
        self.in_flight.clear();
        self.accepted = 0;
        self.rows_in_flight = 0;
        self.reached.clone_from(&self.settled);
    }

    /// The channel was opened, and everything through `committed` is settled.
    pub(super) fn caught_up(&mut self, committed: Option<O>) {
        self.settled = committed.max(self.settled.take());
        self.reached.clone_from(&self.settled);
    }

    pub(super) fn rows_in_flight(&self) -> u64 {
        self.rows_in_flight
    }

    /// The offset of the first row that is not committed.
    pub(super) fn uncommitted(&self) -> Option<&O> {
        self.in_flight.front().map(|f| &f.first)
    }

    /// The offset of the first row that is not accepted.
    pub(super) fn unaccepted(&self) -> Option<&O> {
        self.in_flight.get(self.accepted).map(|f| &f.first)
    }

    pub(super) fn waiting_since(&self) -> Option<Instant> {
        self.in_flight.front().map(|f| f.since)
    }
}

async fn committed<O>(rows: Option<&InFlight<O>>) -> Result<()> {
    match rows {
        Some(rows) => rows.receipt.committed().await,
        None => std::future::pending().await,
    }
}

async fn accepted<O>(rows: Option<&InFlight<O>>) -> Result<()> {
    match rows {
        Some(rows) => rows.receipt.accepted().await,
        None => std::future::pending().await,
    }
}
