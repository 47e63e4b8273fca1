//! How an elastic channel handles the answers to its requests and the results of compression.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::batch::{Piece, SealedBatch, assign};
use super::core::{Compressing, Core, InFlight};
use crate::api::failure::Failure;
use crate::base::retry::{Retry, WARN_AFTER};
use crate::compress::unit::refused_by_the_server;
use crate::pipeline::attempts::{Decision, Delivery, RetryTerms};
use crate::types::error::{Error, ErrorKind, Result};

impl<T> Core<T> {
    /// The driver has compressed a batch.
    pub(super) fn on_sealed(&mut self, sealed: Result<Vec<Piece>>) {
        let Some(Compressing { batch, is_split }) = self.compressing.take() else {
            return;
        };
        let (pieces, rows) = match sealed.and_then(|pieces| Ok((pieces, batch.payload.rows()?))) {
            Ok(sealed) => sealed,
            Err(error) => return self.give_up(batch, &error),
        };
        // The pieces share the charge of the whole. If the batch was sealed before, that is only its compressed length.
        let (mut remaining, mut parts) = (batch.charge, batch.parts);
        let (mut at, mut sealed) = (0, Vec::with_capacity(pieces.len()));
        for Piece { body, len } in pieces {
            let whole = parts.len();
            let rest = rows.get(at..).unwrap_or_default();
            let assigned = assign(&mut parts, rest, len);
            if let Some(last) = assigned
                .last()
                .filter(|_| assigned.len() + parts.len() > whole)
            {
                self.add_part(last.append);
            }
            at += len;
            self.ratio.learn(body.len(), len);
            sealed.push(SealedBatch {
                charge: remaining.split_off(body.len()),
                payload: Piece { body, len },
                parts: assigned,
                first_append: batch.first_append,
                first_append_ms: batch.first_append_ms,
                is_refused: false,
            });
        }
        if is_split {
            for batch in sealed.into_iter().rev() {
                self.ready.push_front(batch);
            }
        } else {
            self.ready.extend(sealed);
        }
    }

    /// The request with this number was answered.
    pub(super) fn on_answer(
        &mut self,
        now: Instant,
        number: u64,
        answer: std::result::Result<(), Failure>,
    ) {
        let Some(mut flight) = self.in_flight.remove(&number) else {
            return;
        };
        let failure = match answer {
            Ok(()) => {
                self.throttle.reset();
                self.window = (self.window + 1).min(self.limits.requests);
                self.last_accept = Some(now);
                if std::mem::take(&mut self.is_warned) {
                    info!("batches are accepted again");
                }
                return self.accept(&flight);
            }
            Err(failure) => failure,
        };
        match flight.attempts.failed(&failure, Delivery::Independent) {
            Decision::Retry(terms) => {
                if flight.attempts.retry.is_over(now) {
                    let text = format!(
                        "a batch could not be delivered within {:?}: {}; append its rows again when the server can be reached",
                        self.limits.retry_for,
                        failure.error().message()
                    );
                    let error = Error::new(ErrorKind::Unreachable, text);
                    let error = error.because_of(failure.into_error());
                    return self.fail(flight, &error);
                }
                self.warn(now, &flight.attempts.retry, failure.error());
                self.schedule_retry(now, &mut flight, terms);
                self.in_flight.insert(number, flight);
            }
            Decision::Split if flight.batch.may_be_split() => {
                self.note_request(&flight);
                let refused = flight.batch.payload.body.len();
                self.limits.request_limit.refused(refused);
                flight.batch.is_refused = true;
                self.ready.push_front(flight.batch);
            }
            Decision::Split => {
                let Piece { body, len } = &flight.batch.payload;
                let error = refused_by_the_server(body, *len);
                let error = error.because_of(failure.into_error());
                self.fail(flight, &error);
            }
            Decision::GiveUp(_) => self.fail(flight, &failure.into_error()),
        }
    }

    /// Warns once that no batch is accepted and why, after some time of trying.
    fn warn(&mut self, now: Instant, retry: &Retry, error: &Error) {
        let since_accept = self
            .last_accept
            .map_or(Duration::MAX, |last| now.saturating_duration_since(last));
        let tried_for = retry.elapsed(now).min(since_accept);
        if tried_for >= WARN_AFTER && !std::mem::replace(&mut self.is_warned, true) {
            let retry_for = self.limits.retry_for;
            warn!(%error, "no batch was accepted for {tried_for:.0?}; each is retried for up to {retry_for:?}");
        }
    }

    /// Schedules the next attempt of a batch. After a 429, all batches wait for it and are then sent one at a time.
    fn schedule_retry(&mut self, now: Instant, flight: &mut InFlight, terms: RetryTerms) {
        let unit = self.rng.f64();
        flight.retry_at = if terms.throttled {
            let delay = self.throttle.next(unit);
            let at = now + terms.after.map_or(delay, |after| after.max(delay));
            self.window = 1;
            // Bounded, because batches that were not sent yet wait as well, and no deadline of theirs has started.
            let at_most = now + self.limits.retry_for;
            self.throttled_until = self.throttled_until.max(Some(at.min(at_most)));
            Some(at)
        } else {
            let next = flight.attempts.retry.next(now, terms.after, unit);
            next.or(Some(now))
        };
    }
}
