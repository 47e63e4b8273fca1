//! How an elastic channel handles the answers to its requests and the results of compression.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::batch::{Piece, SealedBatch, assign};
use super::core::{Compressing, Core, InFlight};
use crate::api::failure::Failure;
use crate::base::retry::{Retry, WARN_AFTER};
use crate::compress::unit::refused_by_the_server;
use crate::types::error::{Error, ErrorKind, Result};

/// How often a request is retried after a refusal that may be temporary (401, 403, 404 without a code, 410).
const REFUSALS: u32 = 3;

/// What to do about a failed append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RetryDecision {
    /// Send the identical request again.
    Retry(RetryTerms),
    /// The request is too large: split the batch.
    Split,
    /// Hand the rows back.
    GiveUp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct RetryTerms {
    /// The delay that the server asked for.
    after: Option<Duration>,
    /// Whether the server may have applied this attempt.
    ambiguous: bool,
    /// Whether the server refused the request in a way that may be temporary. Such retries are counted and limited.
    refused: bool,
    /// Whether the server asked to slow down.
    throttled: bool,
}

/// Decides about a failed append. `may_retry_refusal`: the retries for temporary refusals are not used up.
fn retry_decision(failure: &Failure, may_retry_refusal: bool) -> RetryDecision {
    let terms = RetryTerms {
        after: failure.asked_delay(),
        ..RetryTerms::default()
    };
    let refused = RetryDecision::Retry(RetryTerms {
        refused: true,
        ..terms
    });
    match failure {
        // A proxy that refuses, or answers in place of the account host, says nothing about the host or the credential.
        Failure::NotSent(error)
            if error.is_retryable()
                || error.kind() == ErrorKind::Protocol
                || failure.is_of_proxy() =>
        {
            RetryDecision::Retry(terms)
        }
        // A refusal by the account host for any reason but the credential says nothing about the rows.
        Failure::AccountRefused(_) if !failure.is_about_credentials() => {
            RetryDecision::Retry(terms)
        }
        Failure::AccountRefused(_) if may_retry_refusal => refused,
        // Retrying cannot help: the credential or the account name is unusable.
        Failure::NotSent(_) | Failure::AccountRefused(_) => RetryDecision::GiveUp,
        Failure::Ambiguous(_) => RetryDecision::Retry(RetryTerms {
            ambiguous: true,
            ..terms
        }),
        Failure::Throttled(_) => RetryDecision::Retry(RetryTerms {
            throttled: true,
            ..terms
        }),
        Failure::Answered { status, code, .. } => match (*status, code) {
            (413, _) => RetryDecision::Split,
            // A credential that is being renewed, a request to the wrong host, or a pipe that moved to another host. The
            // named channel gives up on 410, because it has to be reopened there. An elastic channel has nothing to reopen.
            (401 | 403 | 410, _) | (404, None) if may_retry_refusal => refused,
            _ => RetryDecision::GiveUp,
        },
    }
}

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
        match retry_decision(&failure, flight.refusals < REFUSALS) {
            RetryDecision::Retry(terms) => {
                flight.ambiguous |= terms.ambiguous;
                flight.refusals += u32::from(terms.refused);
                if flight.retry.is_over(now) {
                    let text = format!(
                        "a batch could not be delivered within {:?}: {}; append its rows again when the server can be reached",
                        self.limits.retry_for,
                        failure.error().message()
                    );
                    let error = Error::new(ErrorKind::Unreachable, text);
                    let error = error.because_of(failure.into_error());
                    return self.fail(flight, &error);
                }
                self.warn(now, &flight.retry, failure.error());
                self.schedule_retry(now, &mut flight, terms);
                self.in_flight.insert(number, flight);
            }
            RetryDecision::Split if flight.batch.may_be_split() => {
                self.note_request(&flight);
                let refused = flight.batch.payload.body.len();
                self.limits.request_limit.refused(refused);
                flight.batch.is_refused = true;
                self.ready.push_front(flight.batch);
            }
            RetryDecision::Split => {
                let Piece { body, len } = &flight.batch.payload;
                let error = refused_by_the_server(body, *len);
                let error = error.because_of(failure.into_error());
                self.fail(flight, &error);
            }
            RetryDecision::GiveUp => self.fail(flight, &failure.into_error()),
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
            let next = flight.retry.next(now, terms.after, unit);
            next.or(Some(now))
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, code: Option<&str>, kind: ErrorKind) -> Failure {
        Failure::Answered {
            status,
            code: code.map(str::to_owned),
            error: Error::new(kind, "no"),
        }
    }

    #[test]
    fn failures_that_say_nothing_about_the_rows_are_retried() {
        let second = Some(Duration::from_secs(1));
        let error = |kind| Error::new(kind, "no");
        let terms = RetryTerms::default();
        let ambiguous = true;
        let throttled = true;
        let table = [
            (
                Failure::NotSent(error(ErrorKind::Unreachable)),
                RetryDecision::Retry(terms),
            ),
            (
                Failure::NotSent(error(ErrorKind::Protocol)),
                RetryDecision::Retry(terms),
            ),
            (
                Failure::AccountRefused(error(ErrorKind::NotFound)),
                RetryDecision::Retry(terms),
            ),
            (
                Failure::AccountRefused(error(ErrorKind::Refused)),
                RetryDecision::Retry(terms),
            ),
            (
                Failure::NotSent(error(ErrorKind::Authentication)),
                RetryDecision::GiveUp,
            ),
            (
                Failure::NotSent(error(ErrorKind::Config)),
                RetryDecision::GiveUp,
            ),
            (
                Failure::Ambiguous(error(ErrorKind::Server)),
                RetryDecision::Retry(RetryTerms { ambiguous, ..terms }),
            ),
            (
                Failure::Ambiguous(error(ErrorKind::Server).with_retry_after(second)),
                RetryDecision::Retry(RetryTerms {
                    after: second,
                    ambiguous,
                    ..terms
                }),
            ),
            (
                Failure::Throttled(error(ErrorKind::Throttled).with_retry_after(second)),
                RetryDecision::Retry(RetryTerms {
                    after: second,
                    throttled,
                    ..terms
                }),
            ),
        ];
        for (failure, expected) in table {
            assert_eq!(retry_decision(&failure, false), expected, "{failure:?}");
            assert_eq!(retry_decision(&failure, true), expected, "{failure:?}");
        }
    }

    #[test]
    fn temporary_refusals_are_retried_until_their_retries_are_used_up() {
        let once_more = RetryDecision::Retry(RetryTerms {
            refused: true,
            ..RetryTerms::default()
        });
        for failure in [
            answered(401, Some("390303"), ErrorKind::Authentication),
            // The token exchange answers 400 where other endpoints answer 401.
            Failure::AccountRefused(Error::new(ErrorKind::Authentication, "no")),
            Failure::AccountRefused(Error::new(ErrorKind::Forbidden, "no")),
            answered(403, Some("390403"), ErrorKind::Forbidden),
            answered(404, None, ErrorKind::NotFound),
            answered(410, Some("ERR_PIPE_FAILED_OVER"), ErrorKind::NotFound),
            answered(410, None, ErrorKind::NotFound),
        ] {
            assert_eq!(retry_decision(&failure, true), once_more, "{failure:?}");
            assert_eq!(
                retry_decision(&failure, false),
                RetryDecision::GiveUp,
                "{failure:?}"
            );
        }
    }

    #[test]
    fn final_refusals_hand_the_rows_back() {
        for may_retry in [false, true] {
            for failure in [
                answered(400, Some("ERR_INVALID_REQUEST"), ErrorKind::Refused),
                answered(400, None, ErrorKind::Refused),
                answered(
                    404,
                    Some("ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"),
                    ErrorKind::NotFound,
                ),
                answered(409, None, ErrorKind::Refused),
                answered(200, Some("17"), ErrorKind::Refused),
            ] {
                assert_eq!(
                    retry_decision(&failure, may_retry),
                    RetryDecision::GiveUp,
                    "{failure:?}"
                );
            }
            let too_large = answered(413, Some("X"), ErrorKind::TooLarge);
            assert_eq!(retry_decision(&too_large, may_retry), RetryDecision::Split);
        }
    }
}
