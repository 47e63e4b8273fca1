//! The state machine of a channel: no I/O, no clock, no runtime. Every method takes `now`.
//!
//! Rows move through it in one direction: appended into the open batch, sealed, sent, accepted, committed. A position
//! counts the rows appended since the channel was opened; every watermark and every receipt is a position.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::time::Instant;
use tracing::warn;

use super::batch::{RawBatch, SealedBatch, Unit, UnitTokens, push_unit};
use super::commits::Commit;
use super::ledger::{Ledger, Pending};
use super::receipt::RejectWindow;
use super::report::{CloseReport, RowState, UncommittedRange};
use crate::budget::Charge;
use crate::error::{Error, ErrorKind, InvalidationCause, Result};
use crate::offset::OffsetToken;
use crate::retry::{Backoff, Bucket};
use crate::transport::api::{AppendAnswer, Failure};

/// The numbers a channel runs by.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) max_client_lag: Duration,
    pub(crate) max_request_bytes: usize,
    pub(crate) max_uncompressed: usize,
    pub(crate) retry_for: Duration,
    pub(crate) settle_timeout: Duration,
    pub(crate) commit_stall_timeout: Duration,
    pub(crate) pace: Option<Pace>,
}

/// What a named channel may send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) bytes_per_second: f64,
    pub(crate) requests_per_second: f64,
}

/// What an open response starts a channel with.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) continuation_token: String,
    pub(crate) committed_token: Option<OffsetToken>,
    pub(crate) created_on_ms: Option<u64>,
    pub(crate) rejected: u64,
}

/// What the driver is to do next.
#[derive(Debug)]
pub(crate) enum Action {
    /// Compress this into requests of at most so many bytes and call `on_sealed`.
    Seal(Work, usize),
    /// Send this and call `on_response`.
    Send(Order),
    /// Nothing until something happens, or until then.
    Wait(Option<Instant>),
    /// Nothing ever again.
    Stop,
}

/// What to compress.
#[derive(Debug)]
pub(crate) enum Work {
    /// Rows that were never compressed.
    Fresh(RawBatch),
    /// A sealed batch that turned out too large for the server.
    TooLarge(SealedBatch),
}

/// A request to send.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) continuation_token: String,
    pub(crate) session: Option<HeaderValue>,
    pub(crate) body: bytes::Bytes,
    pub(crate) uncompressed_len: usize,
    pub(crate) first_append_ms: u64,
    pub(crate) start: Option<OffsetToken>,
    pub(crate) end: OffsetToken,
    pub(crate) retry_count: u32,
}

/// What receipts see. One value, replaced as a whole.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Progress {
    pub(crate) accepted: u64,
    pub(crate) committed: u64,
    pub(crate) committed_token: Option<OffsetToken>,
    pub(crate) rejects: Arc<Vec<RejectWindow>>,
    pub(crate) end: Option<End>,
}

/// Why a channel takes no more rows.
#[derive(Debug, Clone)]
pub(crate) struct End {
    pub(crate) error: Error,
    /// Rows through here may have reached the server.
    pub(crate) sent: u64,
    /// Whether the last word on what is committed was heard.
    pub(crate) settled: bool,
}

impl PartialEq for End {
    fn eq(&self, other: &Self) -> bool {
        (self.sent, self.settled) == (other.sent, other.settled)
    }
}

impl Progress {
    pub(crate) fn accepted_outcome(&self, position: u64) -> Option<Result<()>> {
        if self.accepted >= position || self.committed >= position {
            return Some(Ok(()));
        }
        self.outcome_at_end(position)
    }

    /// For the rows after `from` through `position`.
    pub(crate) fn committed_outcome(&self, from: u64, position: u64) -> Option<Result<()>> {
        if self.committed >= position {
            let inside = self
                .rejects
                .iter()
                .find(|w| w.from < position && from < w.to);
            return Some(inside.map_or(Ok(()), |w| Err(w.to_error(self.committed_token.clone()))));
        }
        self.outcome_at_end(position)
    }

    fn outcome_at_end(&self, position: u64) -> Option<Result<()>> {
        let end = self.end.as_ref().filter(|e| e.settled)?;
        let error = end
            .error
            .clone()
            .with_committed_token(self.committed_token.clone());
        Some(Err(error.with_ambiguous(position <= end.sent)))
    }

    /// The error after which nothing will change any more.
    pub(crate) fn final_error(&self) -> Option<Error> {
        let end = self.end.as_ref().filter(|e| e.settled)?;
        Some(
            end.error
                .clone()
                .with_committed_token(self.committed_token.clone()),
        )
    }
}

#[derive(Debug)]
pub(super) enum Phase {
    Open,
    /// Invalidated, and still asking what of the sent rows was committed.
    Settling {
        until: Instant,
    },
    Ended,
}

#[derive(Debug)]
struct Flight {
    batch: SealedBatch,
    end: OffsetToken,
    tries: u32,
    first_try: Instant,
    /// An earlier try may have been applied.
    ambiguous: bool,
    refusals: u32,
    /// Whether a request is under way right now.
    waiting: bool,
}

/// One channel between an open and its end.
#[derive(Debug)]
pub(crate) struct Core {
    pub(super) limits: Limits,
    pub(super) phase: Phase,
    pub(super) end: Option<Error>,
    continuation_token: String,
    session: Option<HeaderValue>,

    appended: u64,
    pub(super) sent: u64,
    pub(super) accepted: u64,
    open: Option<RawBatch>,
    raw: VecDeque<RawBatch>,
    /// What the driver is compressing: its rows, and whether they go before all that is ready.
    compressing: Option<(UncommittedRange, bool)>,
    ready: VecDeque<SealedBatch>,
    flight: Option<Flight>,
    /// Rows up to here are sealed without waiting for the lag.
    flush_through: u64,
    lost: Vec<UncommittedRange>,
    /// The handle is gone, or closing: end when all is committed, at the latest then.
    drain_until: Option<Instant>,

    highest_integer: Option<i128>,
    outstanding: HashSet<OffsetToken>,
    minted: u64,
    mint_prefix: String,

    retry_at: Option<Instant>,
    backoff: Backoff,
    bytes_pace: Option<Bucket>,
    requests_pace: Option<Bucket>,
    /// Compressed over uncompressed size, learned; decides when the open batch is full.
    ratio: f64,
    request_limit: usize,

    pub(super) ledger: Ledger,
    pub(super) commit: Commit,
}

/// How often a refusal that may pass (404 without a code, 401, 403) is met with another try.
const REFUSALS: u32 = 3;

impl Core {
    pub(crate) fn new(now: Instant, limits: Limits, opening: Opening, mint_prefix: String) -> Self {
        let pace = limits.pace;
        Self {
            request_limit: limits.max_request_bytes,
            highest_integer: opening
                .committed_token
                .as_ref()
                .and_then(OffsetToken::as_integer),
            commit: Commit::new(now, opening.rejected, opening.committed_token.clone()),
            ledger: Ledger::new(opening.committed_token, opening.created_on_ms),
            bytes_pace: pace.map(|p| Bucket::new(now, p.bytes_per_second, p.bytes_per_second)),
            requests_pace: pace
                .map(|p| Bucket::new(now, p.requests_per_second, p.requests_per_second)),
            limits,
            phase: Phase::Open,
            end: None,
            continuation_token: opening.continuation_token,
            session: None,
            appended: 0,
            sent: 0,
            accepted: 0,
            open: None,
            raw: VecDeque::new(),
            compressing: None,
            ready: VecDeque::new(),
            flight: None,
            flush_through: 0,
            lost: Vec::new(),
            drain_until: None,
            outstanding: HashSet::new(),
            minted: 0,
            mint_prefix,
            retry_at: None,
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(30)),
            ratio: 1.0,
        }
    }

    pub(crate) fn ledger_watermark(&self) -> Option<OffsetToken> {
        self.ledger.watermark().cloned()
    }

    pub(crate) fn appended(&self) -> u64 {
        self.appended
    }

    /// Why no more rows are taken.
    pub(crate) fn refusal(&self) -> Option<Error> {
        let error = self.end.as_ref()?;
        Some(
            error
                .clone()
                .with_committed_token(self.ledger.watermark().cloned()),
        )
    }

    pub(crate) fn is_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    pub(crate) fn progress(&self) -> Progress {
        Progress {
            accepted: self.accepted,
            committed: self.ledger.committed(),
            committed_token: self.ledger.watermark().cloned(),
            rejects: self.commit.rejects(),
            end: self.end.as_ref().map(|error| End {
                error: error.clone(),
                sent: self.sent,
                settled: self.is_ended(),
            }),
        }
    }

    /// Takes rows into the open batch, and what they cost from `credit`. Returns the position of the last one and whether
    /// the driver has to look. `units` is drained; on an error nothing was taken.
    pub(crate) fn append(
        &mut self,
        now: Instant,
        now_ms: u64,
        bytes: &[u8],
        units: &mut Vec<Unit>,
        credit: &mut Charge,
    ) -> Result<(u64, bool)> {
        if let Some(error) = self.refusal() {
            return Err(error);
        }
        self.check_tokens(units)?;
        let mut wake = false;
        let full = self.full_at();
        if self
            .open
            .as_ref()
            .is_some_and(|open| !open.bytes.is_empty() && open.bytes.len() + bytes.len() > full)
        {
            self.seal_open();
            wake = true;
        }
        for unit in units.iter() {
            self.appended += unit.rows;
            self.note_tokens(unit);
        }
        let open = self.open.get_or_insert_with(|| {
            wake = true;
            RawBatch {
                bytes: Vec::new(),
                units: Vec::new(),
                charge: credit.split_off(0),
                position: 0,
                first_append: now,
                first_append_ms: now_ms,
            }
        });
        open.bytes.extend_from_slice(bytes);
        open.position = self.appended;
        let mut cost = bytes.len();
        for unit in units.drain(..) {
            let (overhead, before) = (unit.overhead(), open.units.len());
            push_unit(&mut open.units, unit);
            // A unit that became part of the run before it costs nothing beside its bytes.
            cost += overhead * (open.units.len() - before);
        }
        open.charge.absorb(credit.split_off(cost));
        wake |= open.bytes.len() >= full;
        Ok((self.appended, wake))
    }

    /// The uncompressed size at which a batch is expected to fill a request.
    fn full_at(&self) -> usize {
        // A little below the limit: a batch that overshoots must be cut and compressed again.
        let expected = self.request_limit as f64 * 0.9 / self.ratio.max(0.01);
        (expected as usize).clamp(1, self.limits.max_uncompressed)
    }

    fn check_tokens(&self, units: &[Unit]) -> Result<()> {
        let mut highest = self.highest_integer;
        for unit in units {
            match &unit.tokens {
                UnitTokens::Untracked => {}
                UnitTokens::Run { first } => {
                    if let Some(last) = highest.filter(|last| first <= last) {
                        return Err(backward(*first, last));
                    }
                    highest = Some(first + i128::from(unit.rows) - 1);
                }
                UnitTokens::Whole { end, .. } => {
                    if let Some(end) = end.as_integer() {
                        if let Some(last) = highest.filter(|last| end <= *last) {
                            return Err(backward(end, last));
                        }
                        highest = Some(end);
                    } else if self.ledger.watermark() == Some(end) || self.outstanding.contains(end)
                    {
                        return Err(Error::new(
                            ErrorKind::TokenReused,
                            format!(
                                "the offset token {end:?} was used before; a token promises \"everything up to here\", so rows that share one go in one append_rows"
                            ),
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    fn note_tokens(&mut self, unit: &Unit) {
        match &unit.tokens {
            UnitTokens::Untracked => {}
            UnitTokens::Run { first } => {
                self.highest_integer = Some(first + i128::from(unit.rows) - 1)
            }
            UnitTokens::Whole { end, .. } => match end.as_integer() {
                Some(end) => self.highest_integer = Some(end),
                None => {
                    self.outstanding.insert(end.clone());
                }
            },
        }
    }

    /// Asks for everything appended so far to be sealed now.
    pub(crate) fn flush(&mut self) {
        self.flush_through = self.appended;
    }

    fn seal_open(&mut self) {
        if let Some(open) = self.open.take() {
            self.raw.push_back(open);
        }
    }

    /// What to do at `now`. `pressed`: somebody waits for memory.
    pub(crate) fn poll(&mut self, now: Instant, pressed: bool) -> Action {
        match self.phase {
            Phase::Ended => return Action::Stop,
            Phase::Settling { until } => {
                let until = self.drain_until.map_or(until, |drain| drain.min(until));
                if now >= until || self.ledger.is_settled() {
                    self.phase = Phase::Ended;
                    return Action::Stop;
                }
                return Action::Wait(Some(until));
            }
            Phase::Open => {}
        }
        if let Some(stalled) = self.commit_stalled_at()
            && now >= stalled
        {
            self.fail_stalled(now);
            return self.poll(now, pressed);
        }
        if let Some(until) = self.drain_until
            && (now >= until || self.ledger.committed() == self.appended)
        {
            self.end_drained(now);
            return Action::Stop;
        }
        let full = self.full_at();
        let mut wake = earliest(self.commit_stalled_at(), self.drain_until);
        if let Some(open) = &self.open {
            let due = open.first_append + self.limits.max_client_lag;
            if pressed
                || now >= due
                || self.flush_through >= open.position - open.rows() + 1
                || open.bytes.len() >= full
            {
                self.seal_open();
            } else {
                wake = earliest(wake, Some(due));
            }
        }
        if self.compressing.is_none()
            && let Some((work, range, first)) = self.next_work()
        {
            self.compressing = Some((range, first));
            return Action::Seal(work, self.request_limit);
        }
        match self.next_order(now) {
            Ok(order) => Action::Send(order),
            Err(until) => Action::Wait(earliest(wake, until)),
        }
    }

    fn next_work(&mut self) -> Option<(Work, UncommittedRange, bool)> {
        if self.flight.is_none()
            && let Some(batch) = self
                .ready
                .pop_front_if(|b| b.body.len() > self.request_limit)
        {
            let range =
                UncommittedRange::new(RowState::Sealed, batch.rows, batch.start(), batch.end());
            return Some((Work::TooLarge(batch), range, true));
        }
        let batch = self.raw.pop_front()?;
        let range =
            UncommittedRange::new(RowState::Sealed, batch.rows(), batch.start(), batch.end());
        Some((Work::Fresh(batch), range, false))
    }

    /// The next request, or when to ask again.
    fn next_order(&mut self, now: Instant) -> Result<Order, Option<Instant>> {
        let nothing_fits = self
            .ready
            .front()
            .is_none_or(|b| b.body.len() > self.request_limit);
        let cutting = self.compressing.as_ref().is_some_and(|(_, first)| *first);
        if self
            .flight
            .as_ref()
            .map_or(nothing_fits || cutting, |f| f.waiting)
        {
            return Err(None);
        }
        let paced = [&mut self.bytes_pace, &mut self.requests_pace]
            .into_iter()
            .zip([0.0, 1.0])
            .filter_map(|(bucket, floor)| bucket.as_mut().map(|b| b.ready_at(now, floor)))
            .chain(self.retry_at)
            .max();
        if let Some(at) = paced.filter(|at| *at > now) {
            return Err(Some(at));
        }
        self.retry_at = None;
        if self.flight.is_none() {
            let Some(batch) = self.ready.pop_front() else {
                return Err(None);
            };
            let end = match batch.end() {
                Some(end) => end,
                None => self.mint(),
            };
            self.ledger.sent(Pending {
                start: batch.start(),
                end: end.clone(),
                position: batch.position,
                rows: batch.rows,
            });
            self.sent = batch.position;
            self.flight = Some(Flight {
                batch,
                end,
                tries: 0,
                first_try: now,
                ambiguous: false,
                refusals: 0,
                waiting: false,
            });
        }
        let Some(flight) = self.flight.as_mut() else {
            return Err(None);
        };
        flight.waiting = true;
        flight.tries += 1;
        if let Some(bucket) = &mut self.bytes_pace {
            bucket.take(now, flight.batch.uncompressed_len as f64);
        }
        if let Some(bucket) = &mut self.requests_pace {
            bucket.take(now, 1.0);
        }
        Ok(Order {
            continuation_token: self.continuation_token.clone(),
            session: self.session.clone(),
            body: flight.batch.body.clone(),
            uncompressed_len: flight.batch.uncompressed_len,
            first_append_ms: flight.batch.first_append_ms,
            start: flight.batch.start(),
            end: flight.end.clone(),
            retry_count: flight.tries - 1,
        })
    }

    fn mint(&mut self) -> OffsetToken {
        self.minted += 1;
        OffsetToken::from_server(&format!("{}-{}", self.mint_prefix, self.minted))
    }

    /// The driver compressed what it was given.
    pub(crate) fn on_sealed(&mut self, now: Instant, sealed: Result<Vec<SealedBatch>>) {
        if !matches!(self.phase, Phase::Open) {
            return;
        }
        let batches = match sealed {
            Ok(batches) => batches,
            // The rows are listed as lost by what `compressing` still holds.
            Err(error) => return self.invalidate(now, InvalidationCause::Rejected, error),
        };
        let first = self.compressing.take().is_some_and(|(_, first)| first);
        for (i, batch) in batches.into_iter().enumerate() {
            let ratio = batch.body.len() as f64 / batch.uncompressed_len.max(1) as f64;
            // Small batches compress badly and say little about a full one.
            if batch.uncompressed_len >= 64 * 1024 {
                self.ratio = if ratio > self.ratio {
                    ratio
                } else {
                    0.7 * self.ratio + 0.3 * ratio
                };
            }
            if first {
                self.ready.insert(i, batch)
            } else {
                self.ready.push_back(batch)
            }
        }
    }

    /// The answer to the request under way. `unit` is random in [0, 1), for jitter.
    pub(crate) fn on_response(
        &mut self,
        now: Instant,
        answer: Result<AppendAnswer, Failure>,
        unit: f64,
    ) {
        let Some(mut flight) = self.flight.take() else {
            return;
        };
        flight.waiting = false;
        match answer {
            Ok(answer) => {
                if !matches!(self.phase, Phase::Open) {
                    return;
                }
                self.continuation_token = answer.next_continuation_token;
                self.session = answer.session;
                self.backoff.reset();
                self.commit.accepted(
                    now,
                    self.accepted.max(self.ledger.committed()) == self.ledger.committed(),
                );
                self.accepted = flight.batch.position;
            }
            Err(failure) => self.on_failure(now, flight, failure, unit),
        }
    }

    fn on_failure(&mut self, now: Instant, mut flight: Flight, failure: Failure, unit: f64) {
        if !matches!(self.phase, Phase::Open) {
            return;
        }
        let verdict = super::verdict::of(&failure, flight.ambiguous, flight.refusals < REFUSALS);
        use super::verdict::Verdict;
        match verdict {
            Verdict::Again {
                after,
                ambiguous,
                refused,
            } => {
                flight.ambiguous |= ambiguous;
                flight.refusals += u32::from(refused);
                let error = failure.into_error();
                if now.saturating_duration_since(flight.first_try) >= self.limits.retry_for {
                    let text = format!(
                        "a batch could not be delivered for {:?}: {error}; reopen the channel and append from the committed token",
                        self.limits.retry_for
                    );
                    self.flight = Some(flight);
                    let error = Error::new(ErrorKind::Unreachable, text).with_source(error);
                    self.invalidate(now, InvalidationCause::Unreachable, error);
                    return;
                }
                let delay = self.backoff.next(unit);
                self.retry_at = Some(now + after.map_or(delay, |a| a.max(delay)));
                self.flight = Some(flight);
            }
            Verdict::Smaller => self.learn_limit(flight),
            Verdict::Invalid(cause) => {
                let error = failure.into_error();
                // A refused batch was not applied; an earlier, unanswered try of it may have been.
                if !flight.ambiguous {
                    self.ledger.unsend(&flight.end);
                    self.sent = flight.batch.position - flight.batch.rows;
                }
                self.flight = Some(flight);
                self.invalidate(now, cause, error);
            }
        }
    }

    /// 413: the same bytes will never pass. Learn the limit; the batch is cut when its turn comes again.
    fn learn_limit(&mut self, flight: Flight) {
        self.ledger.unsend(&flight.end);
        self.sent = flight.batch.position - flight.batch.rows;
        self.request_limit = (flight.batch.body.len().min(self.request_limit) / 2).max(1);
        self.ready.push_front(flight.batch);
    }

    /// Takes no more rows, gives memory back, and goes on asking what of the sent rows is committed.
    pub(crate) fn invalidate(&mut self, now: Instant, cause: InvalidationCause, why: Error) {
        let error = Error::new(
            ErrorKind::Invalidated(cause),
            format!("the channel was invalidated ({}): {why}", cause.describe()),
        )
        .with_code(why.code().map(str::to_owned))
        .with_source(why);
        self.end(now, error, true);
    }

    /// Ends the channel with `error`. `settle`: ask on for what was sent.
    pub(crate) fn end(&mut self, now: Instant, error: Error, settle: bool) {
        if self.end.is_none() {
            self.collect_lost();
            self.end = Some(error);
        }
        self.phase = if settle && !self.ledger.is_settled() {
            self.commit.hurry(now);
            Phase::Settling {
                until: now + self.limits.settle_timeout,
            }
        } else {
            Phase::Ended
        };
    }

    /// The channel was opened anew with `token`: that is the last word on what was committed.
    pub(crate) fn on_reopened(&mut self, now: Instant, error: Error, token: Option<&OffsetToken>) {
        self.ledger.observe(token, None);
        self.end(now, error, false);
    }

    /// Flushes, takes no more rows in the long run, and ends when all is committed or at `until`.
    pub(crate) fn drain(&mut self, until: Instant) {
        self.flush();
        self.drain_until = Some(self.drain_until.map_or(until, |earlier| earlier.min(until)));
    }

    fn end_drained(&mut self, now: Instant) {
        let error = if self.ledger.committed() == self.appended {
            Error::new(
                ErrorKind::ChannelClosed,
                "the channel is closed; open it again to append",
            )
        } else {
            self.collect_lost();
            let ranges = self.report().at_risk();
            warn!(uncommitted = %ranges, "closed before everything was committed");
            Error::new(
                ErrorKind::Timeout,
                format!("the channel was closed before everything was committed: {ranges}"),
            )
        };
        self.end(now, error, false);
    }

    fn collect_lost(&mut self) {
        if let Some(flight) = self.flight.take()
            && flight.batch.position > self.sent
        {
            let batch = &flight.batch;
            self.lose(RowState::Sealed, batch.rows, batch.start(), batch.end());
        }
        let (cut, behind) = match self.compressing.take() {
            Some((range, true)) => (Some(range), None),
            other => (None, other.map(|(range, _)| range)),
        };
        self.lost.extend(cut);
        for batch in std::mem::take(&mut self.ready) {
            self.lose(RowState::Sealed, batch.rows, batch.start(), batch.end());
        }
        if let Some(range) = behind {
            self.lose(RowState::Sealed, range.rows, range.first, range.last);
        }
        for batch in std::mem::take(&mut self.raw)
            .into_iter()
            .chain(self.open.take())
        {
            self.lose(RowState::Appended, batch.rows(), batch.start(), batch.end());
        }
    }

    fn lose(
        &mut self,
        state: RowState,
        rows: u64,
        first: Option<OffsetToken>,
        last: Option<OffsetToken>,
    ) {
        match self.lost.last_mut().filter(|range| range.state == state) {
            Some(range) => {
                range.rows += rows;
                range.last = last.or(range.last.take());
            }
            None => self
                .lost
                .push(UncommittedRange::new(state, rows, first, last)),
        }
    }

    /// What is not committed, by state, and what was rejected.
    pub(crate) fn report(&self) -> CloseReport {
        let mut uncommitted: Vec<UncommittedRange> = Vec::new();
        for p in self.ledger.pending() {
            let state = if p.position <= self.accepted {
                RowState::Accepted
            } else {
                RowState::Sent
            };
            match uncommitted.last_mut().filter(|range| range.state == state) {
                Some(range) => {
                    range.rows += p.rows;
                    range.last = Some(p.end.clone());
                }
                None => {
                    uncommitted.push(UncommittedRange::new(
                        state,
                        p.rows,
                        p.start.clone(),
                        Some(p.end.clone()),
                    ));
                }
            }
        }
        uncommitted.extend(self.lost.iter().cloned());
        CloseReport {
            committed_token: self.ledger.watermark().cloned(),
            rows_appended: self.appended,
            rows_committed: self.ledger.committed(),
            uncommitted,
            rejects: self.commit.rejects().to_vec(),
        }
    }
}

fn backward(token: i128, last: i128) -> Error {
    Error::new(
        ErrorKind::TokenReused,
        format!(
            "the offset token {token} does not come after {last}; tokens of a channel must rise, or a resume would lose or repeat rows"
        ),
    )
}

pub(super) fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
