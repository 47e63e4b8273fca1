//! What the driver does next: compress, send, reopen, or wait, and until when.
//!
//! A batch is sealed when the lag of its first row has passed, when it has 2 MiB and nothing before it waits for the server,
//! when it is expected to fill a request, on a flush, or under memory pressure. So requests are small and use little memory
//! while the server keeps up, and are large where it is slow or far. While older batches wait for their turn, the lag seals
//! nothing: a slow server gets fewer and larger requests, and no queue of small ones. The client learns from the compression
//! ratio how large a batch fills a request. A batch that overshoots is cut in the middle and compressed again. A unit that may
//! be too large for a request is compressed by its append, which reports the error, and is queued as a separate batch.
//!
//! One request is in flight; the next batch is compressed meanwhile. A batch has one request id, and its retries send the same
//! bytes. Two token buckets with debt pace the requests, one for bytes and one for requests.
//!
//! With `isolate_rejects`, one request at a time is sent, of a quarter of the size of the one before, and the size grows by a
//! quarter with each clean commit. A reject window ends at what was sent, so smaller requests alone would not narrow it.

use tokio::time::Instant;
use uuid::Uuid;

use super::batch::{RawBatch, SealedBatch};
use super::ledger::Pending;
use super::replay::Reopen;
use super::responses::InFlight;
use super::{Compressing, Core, Phase};
use crate::api::AppendRequest;
use crate::base::time::earliest;
use crate::pipeline::attempts::Attempts;
use crate::types::close_report::RowState;
use crate::types::offset::OffsetToken;

/// The next step of the driver.
#[derive(Debug)]
pub(crate) enum Action {
    /// Compress this batch into requests of at most this many bytes and call `on_sealed`.
    Seal(RawBatch, usize),
    /// The same for a sealed batch that the server does not accept in one request.
    Split(SealedBatch, usize),
    /// Send this and call `on_response`.
    Send(AppendRequest),
    /// Abandon the request in flight, open the channel again and call `on_recovered`.
    Reopen(Reopen),
    /// Wait for an event, at most until this time.
    Wait(Option<Instant>),
    /// The channel has ended.
    Stop,
}

impl Core {
    /// Returns what to do at `now`. `pressed`: an append of the client waits for memory. `fresh_id` is the request id for a
    /// batch that is sent for the first time; retries keep theirs.
    pub(crate) fn poll(&mut self, now: Instant, pressed: bool, fresh_id: Uuid) -> Action {
        self.request_limit = self.limits.request_limit.get();
        match self.phase {
            Phase::Ended if self.given_up.is_sealing() => return Action::Wait(None),
            Phase::Ended => return Action::Stop,
            Phase::Settling { until } => {
                let until = self.drain_until.map_or(until, |drain| drain.min(until));
                if now >= until || (self.ledger.is_settled() && !self.counts.is_waiting()) {
                    self.phase = Phase::Ended;
                    return self.poll(now, pressed, fresh_id);
                }
                return Action::Wait(Some(until));
            }
            Phase::Reopening(_) => {
                if self.is_drained(now) {
                    self.end_drained(now);
                    return self.poll(now, pressed, fresh_id);
                }
                let reopen = self.next_reopen();
                return reopen.map_or(Action::Wait(self.drain_until), Action::Reopen);
            }
            Phase::Open => {}
        }
        if self.is_drained(now) {
            self.end_drained(now);
            return self.poll(now, pressed, fresh_id);
        }
        self.queue_sealed_units();
        let full = self.full_at();
        // While an older batch waits, the open batch stays open, so that its request gets more rows.
        let is_next = self.raw.is_empty() && self.ready.is_empty() && self.compressing.is_none();
        let mut wake = self.drain_until;
        if let Some(open) = &self.open {
            let due = open.first_append + self.limits.max_client_lag;
            let wanted = now >= due || self.flush_through > open.position - open.rows();
            let len = open.payload.len();
            // While an append waits for memory, a batch is sealed if it is half full or can be sent at once.
            let send_at = self.next_send_if_idle(now);
            let relieves = pressed && (len >= full / 2 || (is_next && send_at == Some(now)));
            // Never while another batch waits for compression: nothing would be sent sooner, and `is_behind` would no longer
            // hold back appends.
            if self.raw.is_empty() && (relieves || len >= full || (is_next && wanted)) {
                self.seal_open();
            } else if is_next {
                wake = earliest(wake, Some(due));
                wake = earliest(wake, send_at.filter(|_| pressed));
            }
        }
        if let Some(action) = self.next_compression() {
            return action;
        }
        match self.next_request(now, fresh_id) {
            Ok(request) => Action::Send(request),
            Err(until) => Action::Wait(earliest(wake, until)),
        }
    }

    /// Whether the channel is closing, and everything is committed or the deadline has passed. Rows from before a reopen that are
    /// not counted yet may be rejected ones.
    fn is_drained(&self, now: Instant) -> bool {
        let is_done =
            self.counts.committed() == self.appended && !self.counts.waits_for_earlier_rows();
        self.drain_until
            .is_some_and(|until| now >= until || is_done)
    }

    /// Queues the units that are compressed already and have nothing before them that is not.
    fn queue_sealed_units(&mut self) {
        if self.compressing.is_some() {
            return;
        }
        let first_raw = self.raw.front().map_or(u64::MAX, |batch| batch.position);
        let is_next = |unit: &SealedBatch| unit.position < first_raw;
        while self.sealed_units.front().is_some_and(is_next) {
            self.ready.extend(self.sealed_units.pop_front());
        }
    }

    fn next_compression(&mut self) -> Option<Action> {
        if self.compressing.is_some() {
            return None;
        }
        let is_too_large = self.ready.front().is_some_and(|b| self.is_too_large(b));
        if self.flight.is_none()
            && is_too_large
            && let Some(batch) = self.ready.pop_front()
        {
            self.compressing = Some(Compressing {
                range: batch.range(RowState::Sealed),
                is_split: true,
            });
            let limit = batch.limit(self.request_limit);
            return Some(Action::Split(batch, limit));
        }
        let batch = self.raw.pop_front()?;
        self.compressing = Some(Compressing {
            range: batch.range(RowState::Sealed),
            is_split: false,
        });
        Some(Action::Seal(batch, self.request_limit))
    }

    /// Whether a batch can be split and exceeds the limit, which may have been learned since it was sealed, or was refused.
    fn is_too_large(&self, batch: &SealedBatch) -> bool {
        batch.payload.body.len() > batch.limit(self.request_limit) && batch.may_be_split()
    }

    /// The next request, or the time at which there may be one.
    fn next_request(
        &mut self,
        now: Instant,
        fresh_id: Uuid,
    ) -> Result<AppendRequest, Option<Instant>> {
        let nothing_fits = self.ready.front().is_none_or(|b| self.is_too_large(b));
        let splitting = self.compressing.as_ref().is_some_and(|c| c.is_split);
        if self
            .flight
            .as_ref()
            .map_or(nothing_fits || splitting, |f| f.waiting)
        {
            return Err(None);
        }
        let at = self.next_send(now);
        if at > now {
            return Err(Some(at));
        }
        self.retry_at = None;
        if self.flight.is_none() {
            if self.isolating.is_some() && self.accepted > self.counts.committed() {
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
                rows: batch.rows(),
            });
            self.sent = batch.position;
            self.last_len = batch.payload.uncompressed_len;
            self.flight = Some(InFlight {
                batch,
                end,
                attempts: Attempts::new(fresh_id, now, self.limits.retry_for),
                waiting: false,
            });
        }
        let Some(flight) = self.flight.as_mut() else {
            return Err(None);
        };
        flight.waiting = true;
        let InFlight {
            batch,
            end,
            attempts,
            ..
        } = flight;
        let uncompressed_len = batch.payload.uncompressed_len;
        if let Some(bucket) = &mut self.bytes_pace {
            bucket.take(now, u32::try_from(uncompressed_len).unwrap_or(u32::MAX));
        }
        if let Some(bucket) = &mut self.requests_pace {
            bucket.take(now, 1);
        }
        Ok(AppendRequest {
            attempt: attempts.next(),
            continuation_token: self.continuation_token.clone(),
            session: self.session.clone(),
            body: batch.payload.body.clone(),
            uncompressed_len,
            first_append_ms: batch.first_append_ms,
            start: batch.start(),
            end: end.clone(),
        })
    }

    /// The earliest time for the next request, by the pace and the backoff.
    fn next_send(&mut self, now: Instant) -> Instant {
        [&mut self.bytes_pace, &mut self.requests_pace]
            .into_iter()
            .zip([0.0, 1.0])
            .filter_map(|(bucket, floor)| bucket.as_mut().map(|b| b.ready_at(now, floor)))
            .chain(self.retry_at)
            .fold(now, Instant::max)
    }

    /// The same if no request is in flight.
    fn next_send_if_idle(&mut self, now: Instant) -> Option<Instant> {
        self.flight.is_none().then(|| self.next_send(now))
    }

    /// A token for a request whose rows have none.
    fn mint(&mut self) -> OffsetToken {
        self.minted += 1;
        OffsetToken::from_server(&format!("{}-{}", self.mint_prefix, self.minted))
    }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
