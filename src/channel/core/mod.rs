//! The state machine of a channel: no I/O, no clock, no runtime. Every method takes `now`.
//!
//! Rows move through it in one direction: appended into the open batch, sealed, sent, accepted, committed. A position
//! counts the rows appended since the channel was opened; every watermark and every receipt is a position.
//!
//! The state and the append are here; what to do next is in `schedule`, what answers mean in `answers` and `commits`,
//! how it ends in `ending`.

pub(crate) mod batch;
mod close;
mod commits;
pub(crate) mod ledger;
pub(crate) mod polling;
pub(crate) mod progress;
pub(crate) mod replay;
pub(crate) mod responses;
pub(crate) mod retry_decision;
#[cfg(test)]
mod rig;
pub(crate) mod schedule;
pub(crate) mod tokens;
mod used_tokens;

use std::collections::VecDeque;
use std::time::Duration;

use http::HeaderValue;
use tokio::time::Instant;

use self::batch::{RawBatch, SealedBatch, Unit, cost, push_unit};
use self::commits::Commit;
use self::ledger::Ledger;
use self::progress::{End, Progress};
use self::replay::{Reopening, Reopens};
use self::responses::InFlight;
use self::tokens::Tokens;
use crate::base::budget::Charge;
use crate::base::buffers::EAGER_BATCH_BYTES;
use crate::base::metrics::CounterSnapshot;
use crate::base::options::{Pace, Recovery};
use crate::base::request_limit::RequestLimit;
use crate::base::retry::Bucket;
use crate::compress::ratio::Ratio;
use crate::types::channel_status::ChannelStatus;
use crate::types::close_report::UncommittedRange;
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::offset::OffsetToken;

/// The numbers a channel runs by.
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
    pub(crate) isolate_rejects: bool,
}

/// Batches are sealed no smaller than this to isolate rejected rows.
const MIN_ISOLATED_BATCH: usize = 16 << 10;

/// What became of rows that are not refused.
#[derive(Debug)]
pub(crate) enum AppendOutcome {
    /// They are in the open batch: the position of the last one, and whether the driver has to look.
    Appended { position: u64, wake: bool },
    /// They need a new batch, which is expected to grow to this size.
    NoBatch { expected: usize },
    /// There is no memory for them now.
    NoMemory,
}

/// What an open response starts a channel with.
#[derive(Debug)]
pub(crate) struct Opening {
    /// The channel's, for messages.
    pub(crate) name: String,
    /// The pipe's, for messages.
    pub(crate) pipe: String,
    pub(crate) continuation_token: String,
    pub(crate) committed_token: Option<OffsetToken>,
    pub(crate) created_on_ms: Option<u64>,
    pub(crate) rejected: u64,
    /// Whether the server said that no earlier holder's rows were uncommitted.
    pub(crate) is_first_hand: bool,
    /// Whether tokens are the caller's, and not made here.
    pub(crate) is_tracked: bool,
}

#[derive(Debug)]
enum Phase {
    Open,
    /// Taking rows, and being opened again by itself.
    Reopening(Box<Reopening>),
    /// Invalidated, and still asking what of the sent rows was committed.
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
    /// The uncompressed size of the last batch that was sealed.
    last_raw_len: usize,
    /// What the driver is compressing: its rows, and whether they go before all that is ready.
    compressing: Option<(UncommittedRange, bool)>,
    ready: VecDeque<SealedBatch>,
    flight: Option<InFlight>,
    /// Accepted and not committed, held to be sent again if need be; empty unless the channel replays.
    retained: VecDeque<SealedBatch>,
    /// Rows up to here are sealed without waiting for the lag.
    flush_through: u64,
    lost: Vec<UncommittedRange>,
    /// The handle is gone, or closing: end when all is committed, at the latest then.
    drain_until: Option<Instant>,

    tokens: Tokens,
    minted: u64,
    mint_prefix: String,

    retry_at: Option<Instant>,
    bytes_pace: Option<Bucket>,
    requests_pace: Option<Bucket>,
    /// Compressed over uncompressed size, learned; decides when the open batch is full.
    ratio: Ratio,
    /// The client's limit as the last poll read it: one poll must not see two of them.
    request_limit: usize,
    /// Rows were rejected lately: batches are sealed at this uncompressed size, and sent one by one.
    isolating: Option<usize>,
    /// The uncompressed size of the last batch that was sent.
    last_len: usize,

    ledger: Ledger,
    commit: Commit,

    /// Counts the opens, so that an answer to a question asked before one is not taken for news.
    epoch: u64,
    reopens: Reopens,
    /// Whether what is uncommitted can only be this channel's own.
    may_discard: bool,
    is_tracked: bool,
}

impl Core {
    pub(crate) fn new(now: Instant, limits: Limits, opening: Opening, mint_prefix: String) -> Self {
        let pace = limits.pace;
        Self {
            request_limit: limits.request_limit.get(),
            tokens: Tokens::new(opening.committed_token.clone()),
            commit: Commit::new(now, opening.rejected, opening.committed_token.clone()),
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
            last_raw_len: 0,
            compressing: None,
            ready: VecDeque::new(),
            flight: None,
            retained: VecDeque::new(),
            flush_through: 0,
            lost: Vec::new(),
            drain_until: None,
            minted: 0,
            mint_prefix,
            retry_at: None,
            ratio: Ratio::default(),
            epoch: 0,
            isolating: None,
            last_len: 0,
            reopens: Reopens::default(),
            may_discard: opening.is_first_hand,
            is_tracked: opening.is_tracked,
        }
    }

    /// The last committed token, as the caller may see it.
    pub(crate) fn committed_token(&self) -> Option<OffsetToken> {
        self.visible(self.ledger.watermark())
    }

    /// Tokens that were made here are shown nowhere.
    fn visible(&self, token: Option<&OffsetToken>) -> Option<OffsetToken> {
        token.filter(|_| self.is_tracked).cloned()
    }

    /// Whether a status is of this channel, and not of one of the same name that was dropped before.
    pub(crate) fn is_same_channel(&self, status: &ChannelStatus) -> bool {
        self.ledger.is_same_channel(status.created_on_ms())
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How far it is, for those who count.
    pub(crate) fn marks(&self) -> CounterSnapshot {
        let end = self.end.as_ref().map(Error::kind);
        CounterSnapshot {
            accepted: self.accepted,
            committed: self.ledger.committed(),
            rejected: self.rows_rejected(),
            epoch: self.epoch,
            is_invalidated: matches!(end, Some(ErrorKind::Invalidated(_))),
        }
    }

    pub(crate) fn appended(&self) -> u64 {
        self.appended
    }

    /// Why no more rows are taken.
    pub(crate) fn refusal(&self) -> Option<Error> {
        let error = self.end.as_ref()?;
        Some(error.clone().with_committed_token(self.committed_token()))
    }

    pub(crate) fn is_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    pub(crate) fn progress(&self) -> Progress {
        Progress {
            accepted: self.accepted,
            committed: self.ledger.committed(),
            committed_token: self.committed_token(),
            rejects: self.commit.rejects(),
            end: self.end.as_ref().map(|error| End {
                error: error.clone(),
                sent: self.sent,
                settled: self.is_ended(),
            }),
        }
    }

    /// Whether rows of `len` bytes should wait: one batch is full, and another is still to be compressed before it.
    pub(crate) fn is_behind(&self, len: usize) -> bool {
        matches!(self.phase, Phase::Open) && !self.raw.is_empty() && self.overflows(len)
    }

    fn overflows(&self, len: usize) -> bool {
        let open = self.open.as_ref();
        open.is_some_and(|open| {
            !open.payload.is_empty() && open.payload.len() + len > self.full_at()
        })
    }

    /// Takes rows into the open batch, and what they cost from `credit`, which is first charged with what is missing.
    /// `units` is drained; if the rows are not appended, nothing was taken.
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
        // Not earlier: a buffer that the caller gets for a new batch and does not need is lost.
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
        let open = match (&mut self.open, new_batch.take()) {
            (Some(open), _) => open,
            (none, Some(new_batch)) => {
                wake = true;
                none.insert(new_batch)
            }
            (None, None) => return Ok(AppendOutcome::NoBatch { expected: 0 }),
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

    /// The uncompressed size at which a batch is expected to fill a request.
    fn full_at(&self) -> usize {
        // While nothing waits for the server, smaller batches cost less memory and arrive sooner.
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

    /// Rows were rejected (`true`), or committed without any being rejected.
    fn isolate(&mut self, were_rejected: bool) {
        if !self.limits.isolate_rejects {
            return;
        }
        self.isolating = if were_rejected {
            Some((self.last_len / 4).max(MIN_ISOLATED_BATCH))
        } else {
            // Slowly: rejected rows come in company.
            let relaxed = self.isolating.map(|size| size.saturating_add(size / 4));
            relaxed.filter(|size| *size < self.request_full_at())
        };
    }

    /// Asks for everything appended so far to be sealed now.
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
