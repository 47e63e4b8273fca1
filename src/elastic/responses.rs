//! What answers mean for the batches of an elastic channel.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::batch::{Piece, SealedBatch, assign};
use super::core::{Core, InFlight};
use crate::api::failure::Failure;
use crate::base::retry::{Retry, WARN_AFTER};
use crate::types::error::{Error, ErrorKind, Result};

/// How often a refusal that may pass (401, 403, 404 without a code, 410) is met with another try.
const REFUSALS: u32 = 3;

/// What to do about a failed append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// The identical request again.
    Again(Again),
    /// The same bytes will never pass: cut them.
    Smaller,
    /// Give the rows back.
    GiveUp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Again {
    /// Not before this delay, if the server named one.
    after: Option<Duration>,
    /// This try may have been applied.
    ambiguous: bool,
    /// The server refused in a way that may pass; it is tried only so often.
    refused: bool,
    /// The server asks to slow down.
    throttled: bool,
}

/// `patient`: refusals that may pass have not used up their tries.
fn verdict(failure: &Failure, patient: bool) -> Verdict {
    let refused = Verdict::Again(Again {
        refused: true,
        ..Again::default()
    });
    match failure {
        // What a proxy answers in the place of host or token tells nothing of either.
        Failure::NotSent(error) if error.is_retryable() || error.kind() == ErrorKind::Protocol => {
            Verdict::Again(Again::default())
        }
        // Nor does what the account host refuses for another reason than the credential.
        Failure::AccountRefused(_) if !failure.is_about_credentials() => {
            Verdict::Again(Again::default())
        }
        Failure::AccountRefused(_) if patient => refused,
        // A credential or a name that cannot be used will not become usable.
        Failure::NotSent(_) | Failure::AccountRefused(_) => Verdict::GiveUp,
        Failure::Ambiguous(_) => Verdict::Again(Again {
            ambiguous: true,
            ..Again::default()
        }),
        Failure::Throttled { after, .. } => Verdict::Again(Again {
            after: *after,
            throttled: true,
            ..Again::default()
        }),
        Failure::Answered { status, code, .. } => match (*status, code) {
            (413, _) => Verdict::Smaller,
            // A credential that is being renewed, a request to the wrong host, a pipe that moved to another: nothing has
            // to be opened there again.
            (401 | 403 | 410, _) | (404, None) if patient => refused,
            _ => Verdict::GiveUp,
        },
    }
}

impl<T> Core<T> {
    /// The driver compressed what it was given.
    pub(super) fn on_sealed(&mut self, sealed: Result<Vec<Piece>>) {
        let Some((batch, is_split)) = self.compressing.take() else {
            return;
        };
        let (pieces, rows) = match sealed.and_then(|pieces| Ok((pieces, batch.payload.rows()?))) {
            Ok(sealed) => sealed,
            Err(error) => return self.give_up(batch, &error),
        };
        // The pieces share the charge of the whole, which is only the compressed length if it was sealed before.
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
                self.part_cut(last.append);
            }
            at += len;
            self.ratio.learn(body.len(), len);
            sealed.push(SealedBatch {
                charge: remaining.split_off(body.len()),
                payload: Piece { body, len },
                parts: assigned,
                first_append: batch.first_append,
                first_append_ms: batch.first_append_ms,
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

    /// The answer to a request.
    pub(super) fn on_answer(
        &mut self,
        now: Instant,
        number: u64,
        answer: std::result::Result<(), Failure>,
    ) {
        let Some(mut flight) = self.flights.remove(&number) else {
            return;
        };
        let failure = match answer {
            Ok(()) => {
                self.throttle.reset();
                self.window = (self.window + 1).min(self.limits.requests);
                self.last_accept = Some(now);
                if std::mem::take(&mut self.is_warned) {
                    info!("batches get through again");
                }
                return self.accept(&flight);
            }
            Err(failure) => failure,
        };
        match verdict(&failure, flight.refusals < REFUSALS) {
            Verdict::Again(again) => {
                flight.ambiguous |= again.ambiguous;
                flight.refusals += u32::from(again.refused);
                if flight.retry.is_over(now) {
                    let text = format!(
                        "a batch could not be delivered for {:?}: {}; append its rows again when the server can be reached",
                        self.limits.retry_for,
                        failure.error().message()
                    );
                    let error = Error::new(ErrorKind::Unreachable, text);
                    let error = error.because_of(failure.into_error());
                    return self.fail(flight, &error);
                }
                self.warn(now, &flight.retry, failure.error());
                self.wait(now, &mut flight, again);
                self.flights.insert(number, flight);
            }
            Verdict::Smaller if flight.batch.may_be_split() => {
                self.note_request(&flight);
                let refused = flight.batch.payload.body.len();
                self.limits.request_limit.refused(refused);
                self.ready.push_front(flight.batch);
            }
            Verdict::Smaller => {
                let text = format!(
                    "the server does not take {} bytes in one request, and they are one row; append a smaller row",
                    flight.batch.payload.body.len()
                );
                let error = Error::new(ErrorKind::TooLarge, text).because_of(failure.into_error());
                self.fail(flight, &error);
            }
            Verdict::GiveUp => self.fail(flight, &failure.into_error()),
        }
    }

    /// Warns once that no batch gets through and why, when none was accepted for some time of trying.
    fn warn(&mut self, now: Instant, retry: &Retry, error: &Error) {
        let since_accept = self
            .last_accept
            .map_or(Duration::MAX, |last| now.saturating_duration_since(last));
        let tried_for = retry.elapsed(now).min(since_accept);
        if tried_for >= WARN_AFTER && !std::mem::replace(&mut self.is_warned, true) {
            let retry_for = self.limits.retry_for;
            warn!(%error, "no batch gets through for {tried_for:.0?}; each is tried for {retry_for:?}");
        }
    }

    /// A batch waits for its next try; after a 429 all of them do, and then go one by one.
    fn wait(&mut self, now: Instant, flight: &mut InFlight, again: Again) {
        let unit = self.rng.f64();
        flight.retry_at = if again.throttled {
            let delay = self.throttle.next(unit);
            let at = now + again.after.map_or(delay, |after| after.max(delay));
            self.window = 1;
            // At most this long: batches that were not sent yet wait as well, and their time has not begun.
            let at_most = now + self.limits.retry_for;
            self.throttled_until = self.throttled_until.max(Some(at.min(at_most)));
            Some(at)
        } else {
            let next = flight.retry.next(now, again.after, unit);
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
    fn what_did_not_decide_is_tried_again() {
        let second = Some(Duration::from_secs(1));
        let error = |kind| Error::new(kind, "no");
        let again = Again::default();
        let ambiguous = true;
        let throttled = true;
        let table = [
            (
                Failure::NotSent(error(ErrorKind::Unreachable)),
                Verdict::Again(again),
            ),
            (
                Failure::NotSent(error(ErrorKind::Protocol)),
                Verdict::Again(again),
            ),
            (
                Failure::AccountRefused(error(ErrorKind::NotFound)),
                Verdict::Again(again),
            ),
            (
                Failure::AccountRefused(error(ErrorKind::Refused)),
                Verdict::Again(again),
            ),
            (
                Failure::NotSent(error(ErrorKind::Authentication)),
                Verdict::GiveUp,
            ),
            (Failure::NotSent(error(ErrorKind::Config)), Verdict::GiveUp),
            (
                Failure::Ambiguous(error(ErrorKind::Server)),
                Verdict::Again(Again { ambiguous, ..again }),
            ),
            (
                Failure::Throttled {
                    after: second,
                    error: error(ErrorKind::Throttled),
                },
                Verdict::Again(Again {
                    after: second,
                    throttled,
                    ..again
                }),
            ),
        ];
        for (failure, expected) in table {
            assert_eq!(verdict(&failure, false), expected, "{failure:?}");
            assert_eq!(verdict(&failure, true), expected, "{failure:?}");
        }
    }

    #[test]
    fn refusals_that_may_pass_are_tried_only_so_often() {
        let once_more = Verdict::Again(Again {
            refused: true,
            ..Again::default()
        });
        for failure in [
            answered(401, Some("390303"), ErrorKind::Authentication),
            // The token exchange says 400 where others say 401.
            Failure::AccountRefused(Error::new(ErrorKind::Authentication, "no")),
            Failure::AccountRefused(Error::new(ErrorKind::Forbidden, "no")),
            answered(403, Some("390403"), ErrorKind::Forbidden),
            answered(404, None, ErrorKind::NotFound),
            answered(410, Some("ERR_PIPE_FAILED_OVER"), ErrorKind::NotFound),
            answered(410, None, ErrorKind::NotFound),
        ] {
            assert_eq!(verdict(&failure, true), once_more, "{failure:?}");
            assert_eq!(verdict(&failure, false), Verdict::GiveUp, "{failure:?}");
        }
    }

    #[test]
    fn what_was_decided_is_decided() {
        for patient in [false, true] {
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
                assert_eq!(verdict(&failure, patient), Verdict::GiveUp, "{failure:?}");
            }
            let too_large = answered(413, Some("X"), ErrorKind::TooLarge);
            assert_eq!(verdict(&too_large, patient), Verdict::Smaller);
        }
    }
}
