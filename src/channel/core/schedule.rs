//! What a channel is to do next: seal, send, or wait, and until when.

use http::HeaderValue;
use tokio::time::Instant;

use super::batch::{RawBatch, SealedBatch};
use super::ledger::Pending;
use super::replay::Reopen;
use super::responses::InFlight;
use super::{Core, Phase};
use crate::types::close_report::{RowState, UncommittedRange};
use crate::types::offset::OffsetToken;

/// What the driver is to do next.
#[derive(Debug)]
pub(crate) enum Action {
    /// Compress this into requests of at most so many bytes and call `on_sealed`.
    Seal(Work, usize),
    /// Send this and call `on_response`.
    Send(SendRequest),
    /// Give up what is being sent, open the channel again and call `on_recovered`.
    Reopen(Reopen),
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
pub(crate) struct SendRequest {
    pub(crate) continuation_token: String,
    pub(crate) session: Option<HeaderValue>,
    pub(crate) body: bytes::Bytes,
    pub(crate) uncompressed_len: usize,
    pub(crate) first_append_ms: u64,
    pub(crate) start: Option<OffsetToken>,
    pub(crate) end: OffsetToken,
    pub(crate) retry_count: u32,
}

impl Core {
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
            Phase::Reopening(_) => {
                if self.is_drained(now) {
                    self.end_drained(now);
                    return Action::Stop;
                }
                let told = self.next_reopen();
                return told.map_or(Action::Wait(self.drain_until), Action::Reopen);
            }
            Phase::Open => {}
        }
        if self.is_drained(now) {
            self.end_drained(now);
            return Action::Stop;
        }
        let full = self.full_at();
        // While something older waits for its turn, nothing is gained by closing the open batch: more rows go with it.
        let is_next = self.raw.is_empty() && self.ready.is_empty() && self.compressing.is_none();
        let mut wake = self.drain_until;
        if let Some(open) = &self.open {
            let due = open.first_append + self.limits.max_client_lag;
            let wanted = now >= due || self.flush_through > open.position - open.rows();
            let len = open.bytes.len();
            // Under pressure too a request is to be worth its round trip: a small one is sealed only if it can leave at once.
            let turn = self.turn(now);
            let relieved = pressed && (len >= full / 2 || (is_next && turn == Some(now)));
            // Behind one that still waits to be compressed it gains nothing, and those who append would not see that it is full.
            if self.raw.is_empty() && (relieved || len >= full || (is_next && wanted)) {
                self.seal_open();
            } else if is_next {
                wake = earliest(wake, Some(due));
                wake = earliest(wake, turn.filter(|_| pressed));
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

    /// Whether the channel is closing and need not or may not wait any longer.
    fn is_drained(&self, now: Instant) -> bool {
        self.drain_until
            .is_some_and(|until| now >= until || self.ledger.committed() == self.appended)
    }

    fn next_work(&mut self) -> Option<(Work, UncommittedRange, bool)> {
        let too_large = self.ready.front().is_some_and(|b| self.is_to_be_cut(b));
        if self.flight.is_none()
            && too_large
            && let Some(batch) = self.ready.pop_front()
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

    fn is_to_be_cut(&self, batch: &SealedBatch) -> bool {
        batch.body.len() > self.request_limit && batch.may_be_cut()
    }

    /// The next request, or when to ask again.
    fn next_order(&mut self, now: Instant) -> Result<SendRequest, Option<Instant>> {
        let nothing_fits = self.ready.front().is_none_or(|b| self.is_to_be_cut(b));
        let cutting = self.compressing.as_ref().is_some_and(|(_, first)| *first);
        if self
            .flight
            .as_ref()
            .map_or(nothing_fits || cutting, |f| f.waiting)
        {
            return Err(None);
        }
        let at = self.paced(now);
        if at > now {
            return Err(Some(at));
        }
        self.retry_at = None;
        if self.flight.is_none() {
            if self.isolating.is_some() && self.accepted > self.ledger.committed() {
                return Err(None);
            }
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
            self.last_len = batch.uncompressed_len;
            self.flight = Some(InFlight {
                batch,
                end,
                tries: 0,
                first_try: now,
                ambiguous: false,
                refusals: 0,
                waiting: false,
                is_warned: false,
            });
        }
        let Some(flight) = self.flight.as_mut() else {
            return Err(None);
        };
        flight.waiting = true;
        flight.tries += 1;
        if let Some(bucket) = &mut self.bytes_pace {
            bucket.take(
                now,
                u32::try_from(flight.batch.uncompressed_len).unwrap_or(u32::MAX),
            );
        }
        if let Some(bucket) = &mut self.requests_pace {
            bucket.take(now, 1);
        }
        Ok(SendRequest {
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

    /// When the next request may leave.
    fn paced(&mut self, now: Instant) -> Instant {
        [&mut self.bytes_pace, &mut self.requests_pace]
            .into_iter()
            .zip([0.0, 1.0])
            .filter_map(|(bucket, floor)| bucket.as_mut().map(|b| b.ready_at(now, floor)))
            .chain(self.retry_at)
            .fold(now, Instant::max)
    }

    /// When a batch that is sealed now may leave, if that does not hang on an answer.
    fn turn(&mut self, now: Instant) -> Option<Instant> {
        self.flight.is_none().then(|| self.paced(now))
    }

    fn mint(&mut self) -> OffsetToken {
        self.minted += 1;
        OffsetToken::from_server(&format!("{}-{}", self.mint_prefix, self.minted))
    }
}

fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
