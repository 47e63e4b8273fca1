//! What the driver of an elastic channel does next: compress, send, or wait, and until when.

use std::sync::Arc;

use tokio::time::Instant;

use super::batch::{Frame, Piece};
use super::core::{Compressing, Core, InFlight};
use crate::api::ElasticRequest;
use crate::base::time::earliest;
use crate::pipeline::attempts::Attempts;
use crate::types::error::{Error, ErrorKind};

/// The next step of the driver.
#[derive(Debug)]
pub(super) enum Action {
    /// Compress these rows into requests of at most this many bytes and call `on_sealed`.
    Seal(Arc<Frame>, usize),
    /// Send this request and call `on_answer` with its number.
    Send(u64, ElasticRequest),
    /// Wait for an event, at most until this time.
    Wait(Option<Instant>),
    /// The channel has ended.
    Stop,
}

impl<T> Core<T> {
    /// Returns what to do at `now`. `pressed`: an append of the client waits for memory.
    pub(super) fn poll(&mut self, now: Instant, pressed: bool) -> Action {
        self.request_limit = self.limits.request_limit.get();
        if let Some(until) = self.drain_until.filter(|_| !self.stopped) {
            let done = self.settled() == self.next();
            if done || now >= until {
                let text = "the rows were not acknowledged before the channel's close timeout; append them again";
                self.stop(&Error::new(ErrorKind::Timeout, text));
            }
        }
        if self.stopped {
            return Action::Stop;
        }
        let due = self.seal_open(now, pressed);
        if let Some((rows, limit)) = self.next_compression() {
            return Action::Seal(rows, limit);
        }
        match self.next_request(now) {
            Ok((flight, request)) => Action::Send(flight, request),
            Err(until) => Action::Wait(earliest(earliest(due, until), self.drain_until)),
        }
    }

    /// Closes the open batch if it is due, and otherwise returns when it will be.
    fn seal_open(&mut self, now: Instant, pressed: bool) -> Option<Instant> {
        let open = self.open.as_ref()?;
        // While an older batch waits, the open batch stays open, so that its request gets more rows.
        let is_next = self.raw.is_empty() && self.ready.is_empty() && self.compressing.is_none();
        let due = open.first_append + self.limits.max_client_lag;
        let first = open.parts.first().map_or(0, |part| part.append);
        let wanted = now >= due || first < self.flush_through;
        let (len, full) = (open.payload.len(), self.full_at());
        // While an append waits for memory, a batch is sealed if it is half full or can be sent at once. Otherwise each append would
        // become a request.
        let relieves = pressed && (len >= full / 2 || (is_next && self.may_send(now)));
        if relieves || len >= full || (is_next && wanted) {
            self.raw.extend(self.open.take());
            None
        } else {
            is_next.then_some(due)
        }
    }

    /// Whether a batch that is ready would be sent at once.
    fn may_send(&self, now: Instant) -> bool {
        self.in_flight.len() < self.window && self.throttled_until.is_none_or(|until| until <= now)
    }

    fn next_compression(&mut self) -> Option<(Arc<Frame>, usize)> {
        if self.compressing.is_some() {
            return None;
        }
        let mut limit = self.request_limit;
        let front = self.ready.front().filter(|b| b.is_too_large(limit));
        let is_too_large = front.is_some();
        limit = front.map_or(limit, |batch| batch.limit(limit));
        let batch = if is_too_large {
            self.ready.pop_front()?.into_frame()
        } else {
            self.raw.pop_front()?.into_frame()
        };
        let frame = Arc::clone(&batch.payload);
        self.compressing = Some(Compressing {
            batch,
            is_split: is_too_large,
        });
        Some((frame, limit))
    }

    /// The next request, or the time at which there may be one.
    fn next_request(&mut self, now: Instant) -> Result<(u64, ElasticRequest), Option<Instant>> {
        let under_way = self.in_flight.values().filter(|f| f.retry_at.is_none());
        if under_way.count() >= self.window {
            return Err(None);
        }
        let retries = self.in_flight.iter();
        let next_retry = retries
            .filter_map(|(n, flight)| Some((self.due(flight)?, *n)))
            .min();
        if let Some((_, number)) = next_retry.filter(|(due, _)| *due <= now) {
            return self.request(number).ok_or(None);
        }
        let retry_due = next_retry.map(|(due, _)| due);
        let limit = self.request_limit;
        let is_ready = self.ready.front().is_some_and(|b| !b.is_too_large(limit));
        if !is_ready || self.in_flight.len() >= self.limits.requests {
            return Err(retry_due);
        }
        if let Some(until) = self.throttled_until.filter(|until| *until > now) {
            return Err(earliest(retry_due, Some(until)));
        }
        let Some(batch) = self.ready.pop_front() else {
            return Err(retry_due);
        };
        let number = self.batches_sent;
        self.batches_sent += 1;
        let id = self.rng.u128(..).to_le_bytes();
        self.in_flight.insert(
            number,
            InFlight {
                batch,
                attempts: Attempts::new(
                    uuid::Builder::from_random_bytes(id).into_uuid(),
                    now,
                    self.limits.retry_for,
                ),
                retry_at: None,
            },
        );
        self.request(number).ok_or(retry_due)
    }

    /// When to retry a batch. However long a delay the server asks for, the last attempt is made by the batch's deadline.
    fn due(&self, flight: &InFlight) -> Option<Instant> {
        let due = self.throttled_until.max(Some(flight.retry_at?))?;
        let deadline = flight.attempts.retry.deadline();
        Some(deadline.map_or(due, |deadline| due.min(deadline)))
    }

    fn request(&mut self, number: u64) -> Option<(u64, ElasticRequest)> {
        let flight = self.in_flight.get_mut(&number)?;
        flight.retry_at = None;
        let Piece { body, len } = &flight.batch.payload;
        let request = ElasticRequest {
            attempt: flight.attempts.next(),
            body: body.clone(),
            uncompressed_len: *len,
            rows: flight.batch.rows(),
            first_append_ms: flight.batch.first_append_ms,
        };
        Some((number, request))
    }
}
