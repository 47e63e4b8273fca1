//! The state machine of a channel: no I/O, no clock, no runtime. Every method takes `now`.
//!
//! Rows move through it in one direction: appended into the open batch, sealed, sent, accepted, committed. A position
//! counts the rows appended since the channel was opened; every watermark and every receipt is a position.
//!
//! The state and the append are here. `schedule` decides what the driver does next; `responses` and `commits` read the
//! answers to appends and status polls; `replay` covers reopening, and `close` the end.

pub(crate) mod batch;
mod close;
mod commits;
pub(crate) mod given_up;
pub(crate) mod ledger;
pub(crate) mod progress;
pub(crate) mod replay;
pub(crate) mod responses;
#[cfg(test)]
mod rig;
pub(crate) mod row_counts;
pub(crate) mod schedule;
pub(crate) mod tokens;
mod used_tokens;

use std::collections::VecDeque;
use std::time::Duration;

use http::HeaderValue;
use tokio::time::Instant;

use self::batch::{RawBatch, SealedBatch, Unit, cost, push_unit};
use self::commits::CommitTracker;
use self::given_up::GivenUp;
use self::ledger::{Ledger, REPLICA_LAG};
use self::progress::{End, Progress, closed};
use self::replay::{Reopening, Reopens};
use self::responses::InFlight;
use self::row_counts::RowCounts;
use self::tokens::Tokens;
use crate::base::budget::Charge;
use crate::base::buffers::EAGER_BATCH_BYTES;
use crate::base::metrics::CounterSnapshot;
use crate::base::options::{CommitEvidence, Pace, Recovery};
use crate::base::request_limit::RequestLimit;
use crate::base::retry::Bucket;
use crate::compress::ratio::Ratio;
use crate::types::channel_status::ChannelStatus;
use crate::types::close_report::UncommittedRange;
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::offset::OffsetToken;

/// The options and limits of a channel.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) max_client_lag: Duration,
    pub(crate) request_limit: RequestLimit,
    pub(crate) max_uncompressed: usize,
    pub(crate) retry_for: Duration,
    pub(crate) settle_timeout: Duration,
    pub(crate) commit_stall_timeout: Duration,
    pub(crate) pace: Option<Pace>,
    pub(crate) recovery: Recovery,
    pub(crate) commit_evidence: CommitEvidence,
    pub(crate) isolate_rejects: bool,
}

/// The smallest size to which batches are reduced to isolate rejected rows.
const MIN_ISOLATED_BATCH: usize = 16 << 10;

/// The outcome of an append that was not refused.
#[derive(Debug)]
pub(crate) enum AppendOutcome {
    /// The rows are in the open batch: the position of the last one, and whether to wake the driver.
    Appended { position: u64, wake: bool },
    /// The rows need a new batch, which is expected to grow to this size.
    NoBatch { expected: usize },
    /// There is no memory for the rows now.
    NoMemory,
}

/// The state of a channel as the answer to its open describes it.
#[derive(Debug)]
pub(crate) struct Opening {
    /// The channel's name, for messages.
    pub(crate) name: String,
    /// The pipe's name, for messages.
    pub(crate) pipe: String,
    pub(crate) continuation_token: String,
    pub(crate) committed_token: Option<OffsetToken>,
    pub(crate) created_on_ms: Option<u64>,
    pub(crate) rejected: u64,
    /// The count of inserted and rejected rows, if the server has one.
    pub(crate) row_count: Option<u64>,
    /// Whether the server confirmed that no rows of an earlier holder are uncommitted.
    pub(crate) is_all_committed: bool,
    /// Whether the caller supplies the offset tokens. Otherwise the core makes them.
    pub(crate) is_tracked: bool,
    /// Whether the open has set the committed token.
    pub(crate) sets_token: bool,
}

/// A batch at the driver.
#[derive(Debug)]
struct Compressing {
    range: UncommittedRange,
    /// A sealed batch that is being split. Its parts precede all ready batches.
    is_split: bool,
}

#[derive(Debug)]
enum Phase {
    Open,
    /// Being reopened by the driver. Appends are still accepted.
    Reopening(Box<Reopening>),
    /// Invalidated, but still polled to learn which of the sent rows were committed.
    Settling {
        until: Instant,
    },
    Ended,
}

/// One channel between an open and its end.
#[derive(Debug)]
pub(crate) struct Core {
    limits: Limits,
    name: String,
    pipe: String,
    phase: Phase,
    end: Option<Error>,
    continuation_token: String,
    session: Option<HeaderValue>,

    appended: u64,
    sent: u64,
    accepted: u64,
    open: Option<RawBatch>,
    raw: VecDeque<RawBatch>,
    /// Units that their append has compressed, until everything before them is compressed too.
    sealed_units: VecDeque<SealedBatch>,
    /// The uncompressed size of the last batch that was sealed.
    last_raw_len: usize,
    /// What the driver is compressing.
    compressing: Option<Compressing>,
    ready: VecDeque<SealedBatch>,
    flight: Option<InFlight>,
    /// Accepted but not committed, kept for replay. Empty unless the channel replays.
    retained: VecDeque<SealedBatch>,
    /// Rows up to here are sealed without waiting for the lag.
    flush_through: u64,
    lost: Vec<UncommittedRange>,
    given_up: GivenUp,
    /// Whether the handle was dropped.
    is_abandoned: bool,
    /// Set when the handle is closed or dropped: the channel ends when everything is committed, and at this time at the latest.
    drain_until: Option<Instant>,

    tokens: Tokens,
    minted: u64,
    mint_prefix: String,

    retry_at: Option<Instant>,
    bytes_pace: Option<Bucket>,
    requests_pace: Option<Bucket>,
    /// The learned compression ratio. It decides when the open batch is full.
    ratio: Ratio,
    /// The client's limit as of the last `poll`. Other channels may lower it at any time, and one `poll` must use one value.
    request_limit: usize,
    /// Set after rejected rows: batches are sealed at this uncompressed size and sent one at a time.
    isolating: Option<usize>,
    /// The uncompressed size of the last batch that was sent.
    last_len: usize,

    ledger: Ledger,
    counts: RowCounts,
    commit: CommitTracker,

    /// Counts the reopens, so that the answer to a status poll from before a reopen is recognized and dropped.
    epoch: u64,
    reopens: Reopens,
    /// Whether uncommitted rows can only be this channel's own, so that a reopen may discard them.
    may_discard: bool,
    is_tracked: bool,
    /// Until when a status may be from before an open that has set the committed token.
    set_back_until: Option<Instant>,
}

impl Core {
    pub(crate) fn new(now: Instant, limits: Limits, opening: Opening, mint_prefix: String) -> Self {
        let pace = limits.pace;
        Self {
            request_limit: limits.request_limit.get(),
            tokens: Tokens::new(opening.committed_token.clone()),
            commit: CommitTracker::new(now, opening.rejected, opening.committed_token.clone()),
            counts: RowCounts::new(
                now,
                limits.commit_evidence,
                opening.row_count,
                opening.committed_token.clone(),
            ),
            ledger: Ledger::new(now, opening.committed_token, opening.created_on_ms),
            bytes_pace: pace.map(|p| Bucket::new(now, p.bytes_per_second, p.bytes_per_second)),
            requests_pace: pace
                .map(|p| Bucket::new(now, p.requests_per_second, p.requests_per_second)),
            limits,
            name: opening.name,
            pipe: opening.pipe,
            phase: Phase::Open,
            end: None,
            continuation_token: opening.continuation_token,
            session: None,
            appended: 0,
            sent: 0,
            accepted: 0,
            open: None,
            raw: VecDeque::new(),
            sealed_units: VecDeque::new(),
            last_raw_len: 0,
            compressing: None,
            ready: VecDeque::new(),
            flight: None,
            retained: VecDeque::new(),
            flush_through: 0,
            lost: Vec::new(),
            given_up: GivenUp::default(),
            is_abandoned: false,
            drain_until: None,
            minted: 0,
            mint_prefix,
            retry_at: None,
            ratio: Ratio::default(),
            epoch: 0,
            isolating: None,
            last_len: 0,
            reopens: Reopens::default(),
            may_discard: opening.is_all_committed,
            is_tracked: opening.is_tracked,
            set_back_until: opening.sets_token.then(|| now + REPLICA_LAG),
        }
    }

    /// The last committed token, or `None` for an untracked channel.
    pub(crate) fn committed_token(&self) -> Option<OffsetToken> {
        self.visible(self.counts.token())
    }

    /// Hides tokens that the core made itself.
    fn visible(&self, token: Option<&OffsetToken>) -> Option<OffsetToken> {
        token.filter(|_| self.is_tracked).cloned()
    }

    /// Whether a status belongs to this channel and not to another one of the same name.
    pub(crate) fn is_same_channel(&self, status: &ChannelStatus) -> bool {
        self.ledger.is_same_channel(status.created_on_ms())
    }

    pub(crate) fn set_back_until(&self) -> Option<Instant> {
        self.set_back_until
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The values that the client's metrics are computed from.
    pub(crate) fn counters(&self) -> CounterSnapshot {
        let end = self.end.as_ref().map(Error::kind);
        CounterSnapshot {
            accepted: self.accepted,
            committed: self.counts.committed(),
            rejected: self.rows_rejected(),
            epoch: self.epoch,
            is_invalidated: matches!(end, Some(ErrorKind::Invalidated(_))),
        }
    }

    pub(crate) fn appended(&self) -> u64 {
        self.appended
    }

    /// The error with which appends are refused, once the channel is being closed or accepts no more rows.
    pub(crate) fn refusal(&self) -> Option<Error> {
        if self.drain_until.is_some() {
            return Some(closed());
        }
        let error = self.end.as_ref()?;
        Some(error.clone().with_committed_token(self.committed_token()))
    }

    /// Why the channel accepts no more rows.
    pub(crate) fn why_ended(&self) -> Option<Error> {
        self.end.clone()
    }

    pub(crate) fn is_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    pub(crate) fn progress(&self) -> Progress {
        Progress {
            // A status may show a commit before the request is answered.
            accepted: self.accepted.max(self.ledger.committed()),
            committed: self.counts.committed(),
            committed_token: self.committed_token(),
            rejects: self.commit.rejects(),
            waits_for_earlier_rows: self.counts.waits_for_earlier_rows(),
            is_closing: self.drain_until.is_some(),
            end: self.end.as_ref().map(|error| End {
                error: error.clone(),
                sent: self.sent,
                settled: self.is_ended(),
                is_sealing: self.given_up.is_sealing(),
            }),
        }
    }

    /// Whether an append of `len` bytes should wait: the open batch is full, and another one is still to be compressed.
    pub(crate) fn is_behind(&self, len: usize) -> bool {
        matches!(self.phase, Phase::Open) && !self.raw.is_empty() && self.overflows(len)
    }

    fn overflows(&self, len: usize) -> bool {
        let open = self.open.as_ref();
        open.is_some_and(|open| {
            !open.payload.is_empty() && open.payload.len() + len > self.full_at()
        })
    }

    /// Appends rows to the open batch and moves their cost from `credit` to the batch. `credit` is first charged with what is
    /// missing. `units` is drained if the rows are appended; otherwise nothing changes.
    pub(crate) fn append(
        &mut self,
        new_batch: &mut Option<RawBatch>,
        bytes: &[u8],
        units: &mut Vec<Unit>,
        credit: &mut Charge,
    ) -> Result<AppendOutcome> {
        if let Some(error) = self.refusal() {
            return Err(error);
        }
        self.tokens.check(units, self.ledger.watermark())?;
        let seals = self.overflows(bytes.len());
        let open = self.open.as_ref().filter(|_| !seals);
        // A unit that extends the run before it costs only its bytes.
        let merged = open
            .zip(units.first())
            .filter(|(open, next)| open.continues_in(next))
            .map_or(0, |(_, next)| next.overhead());
        let cost = cost(bytes.len(), units) - merged;
        if !credit.try_cover(cost) {
            return Ok(AppendOutcome::NoMemory);
        }
        // Asked for only after the charge: a buffer that the caller acquires and does not use is lost.
        if open.is_none() && new_batch.is_none() {
            return Ok(AppendOutcome::NoBatch {
                expected: self.last_raw_len,
            });
        }
        if seals {
            self.seal_open();
        }
        let mut wake = false;
        let full = self.full_at();
        let open = match &mut self.open {
            Some(open) => open,
            none => {
                let Some(new_batch) = new_batch.take() else {
                    return Ok(AppendOutcome::NoBatch { expected: 0 });
                };
                wake = true;
                none.insert(new_batch)
            }
        };
        open.payload.extend_from_slice(bytes);
        for unit in units.drain(..) {
            self.appended += unit.rows;
            self.tokens.note(&unit);
            push_unit(&mut open.units, unit);
        }
        open.position = self.appended;
        credit.hand_to(&mut open.charge, cost);
        wake |= open.payload.len() >= full;
        Ok(AppendOutcome::Appended {
            position: self.appended,
            wake,
        })
    }

    /// Appends a unit that is compressed already: `batch` is without its unit, which is the one in `units`. Returns the position of
    /// the last row, or `None` if there is no memory for it now. Otherwise as [`append`](Self::append).
    pub(crate) fn append_sealed(
        &mut self,
        mut batch: SealedBatch,
        units: &mut Vec<Unit>,
        credit: &mut Charge,
    ) -> Result<Option<u64>> {
        if let Some(error) = self.refusal() {
            return Err(error);
        }
        self.tokens.check(units, self.ledger.watermark())?;
        let cost = cost(batch.payload.body.len(), units);
        if !credit.try_cover(cost) {
            return Ok(None);
        }
        self.seal_open();
        for unit in units.drain(..) {
            self.appended += unit.rows;
            self.tokens.note(&unit);
            batch.units.push(unit);
        }
        batch.position = self.appended;
        credit.hand_to(&mut batch.charge, cost);
        self.sealed_units.push_back(batch);
        Ok(Some(self.appended))
    }

    /// The uncompressed size at which a batch is expected to fill a request.
    fn full_at(&self) -> usize {
        // While no batch waits to be sent, smaller batches cost less memory and arrive sooner.
        let eager = if self.ready.is_empty() {
            EAGER_BATCH_BYTES
        } else {
            usize::MAX
        };
        self.request_full_at()
            .min(eager)
            .min(self.isolating.unwrap_or(usize::MAX))
    }

    fn request_full_at(&self) -> usize {
        self.ratio
            .uncompressed(self.request_limit)
            .clamp(1, self.limits.max_uncompressed)
    }

    /// Adapts the batch size of `isolate_rejects`: rows were rejected, or rows were committed without a reject.
    fn isolate(&mut self, were_rejected: bool) {
        if !self.limits.isolate_rejects {
            return;
        }
        self.isolating = if were_rejected {
            Some((self.last_len / 4).max(MIN_ISOLATED_BATCH))
        } else {
            // Grow slowly: rejected rows tend to occur in clusters.
            let relaxed = self.isolating.map(|size| size.saturating_add(size / 4));
            relaxed.filter(|size| *size < self.request_full_at())
        };
    }

    /// Requests that everything appended so far is sealed now.
    pub(crate) fn flush(&mut self) {
        self.flush_through = self.appended;
    }

    fn seal_open(&mut self) {
        if let Some(open) = self.open.take() {
            self.last_raw_len = open.payload.len();
            self.raw.push_back(open);
        }
    }
}

#[cfg(test)]
mod tests;
