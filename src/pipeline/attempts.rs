//! The attempts of a request, and what a failed one means for its rows.
//!
//! | What is known | What the client does |
//! |---|---|
//! | Nothing was sent: no name, no connection, no TLS. | It sends the same bytes again after a backoff. |
//! | 429 or a 5xx with `Retry-After` | It tries again, not before the server's delay. A 5xx is ambiguous as well. |
//! | The request was sent and has no usable answer: reset, timeout, cut off, 5xx. | The attempt is *ambiguous*. The identical request follows, with the same token and request id, and the retry count plus one. |
//! | The account host refuses to exchange the credential or to name the ingest host. | The request did not go out. After 400, 401 or 403 it tries three times more; otherwise for `retry_for`, because the refusal says nothing about the rows. |
//! | 401, 403, 404 without a code; 410 of an elastic channel | It tries three times more. By then the session has renewed token or host. |
//! | 413 | It splits the batch. |
//! | Any other refusal, and the last of those above | It gives up: a named channel is invalidated with the cause below, an elastic one hands the rows back. |
//!
//! | What a named channel is refused with | Its cause |
//! |---|---|
//! | A stale or superseded sequencer after an ambiguous attempt of our own. | `Ambiguous`: most likely that attempt was applied. |
//! | The same without such an attempt. | `Fenced`: another writer has the channel. |
//! | 413 after an ambiguous attempt. | `Ambiguous`: all of the rows may be in the table, and half of them could land twice if the batch were split. |
//! | A code that asks for a reopen. | `MustReopen` |
//! | The channel or its table is gone. | `Gone`. On 410 or a bare 404 the session also discovers the ingest host again. |
//! | Anything else. | `Rejected`. The batch is neither skipped nor replayed. |
//!
//! A batch is tried for `retry_for`; then a named channel is `Unreachable`.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use crate::api::call::Attempt;
use crate::api::failure::Failure;
use crate::base::retry::{Retry, RetryLimit};
use crate::types::error::{ErrorKind, InvalidationCause};

/// The backoff before the second attempt of a batch, and the longest one.
pub(crate) const FIRST_DELAY: Duration = Duration::from_millis(100);
pub(crate) const LONGEST_DELAY: Duration = Duration::from_secs(30);
/// How often a request is retried after a refusal that may be temporary.
pub(crate) const REFUSALS: u32 = 3;

/// How the batches of a channel depend on each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// In order, each exactly once, as by a named channel.
    InOrder,
    /// Each by itself, as by an elastic channel. A batch may land twice, and is reported if it may have.
    Independent,
}

/// What to do about a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Send the identical request again.
    Retry(RetryTerms),
    /// The request is too large: split the batch.
    Split,
    /// No further attempt, for this cause.
    GiveUp(InvalidationCause),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct RetryTerms {
    /// The delay that the server asked for.
    pub(crate) after: Option<Duration>,
    /// Whether the server may have applied this attempt.
    pub(crate) ambiguous: bool,
    /// Whether the server refused the request in a way that may be temporary. Such retries are counted and limited.
    pub(crate) refused: bool,
    /// Whether the server asked to slow down.
    pub(crate) throttled: bool,
}

/// The attempts of one request, which share its id.
#[derive(Debug)]
pub(crate) struct Attempts {
    pub(crate) request_id: Uuid,
    pub(crate) tries: u32,
    pub(crate) retry: Retry,
    /// Whether the server may have applied an earlier attempt.
    pub(crate) ambiguous: bool,
    pub(crate) refusals: u32,
}

impl Attempts {
    /// No attempt yet. Retries end `retry_for` after `now`.
    pub(crate) fn new(request_id: Uuid, now: Instant, retry_for: Duration) -> Self {
        let limit = RetryLimit::For(retry_for);
        Self {
            request_id,
            tries: 0,
            retry: Retry::new(FIRST_DELAY, LONGEST_DELAY, limit).started(now),
            ambiguous: false,
            refusals: 0,
        }
    }

    /// Counts the next attempt.
    pub(crate) fn next(&mut self) -> Attempt {
        self.tries = self.tries.saturating_add(1);
        Attempt {
            request_id: self.request_id,
            retry_count: self.retry_count(),
        }
    }

    pub(crate) fn retry_count(&self) -> u32 {
        self.tries.saturating_sub(1)
    }

    /// Decides about a failed attempt, and notes what it says about the request.
    pub(crate) fn failed(&mut self, failure: &Failure, delivery: Delivery) -> Decision {
        let may_retry_refusal = self.refusals < REFUSALS;
        let decision = decide(failure, delivery, self.ambiguous, may_retry_refusal);
        if let Decision::Retry(terms) = decision {
            self.ambiguous |= terms.ambiguous;
            self.refusals += u32::from(terms.refused);
        }
        decision
    }
}

/// Decides about a failed attempt. `ambiguous`: the server may have applied an earlier one. `may_retry_refusal`: the retries for
/// temporary refusals are not used up.
fn decide(
    failure: &Failure,
    delivery: Delivery,
    ambiguous: bool,
    may_retry_refusal: bool,
) -> Decision {
    let terms = RetryTerms {
        after: failure.asked_delay(),
        ..RetryTerms::default()
    };
    let refused = Decision::Retry(RetryTerms {
        refused: true,
        ..terms
    });
    let is_in_order = delivery == Delivery::InOrder;
    match failure {
        // A proxy that refuses, or answers in place of the account host, says nothing about the host or the credential.
        Failure::NotSent(error)
            if error.is_retryable()
                || error.kind() == ErrorKind::Protocol
                || failure.is_of_proxy() =>
        {
            Decision::Retry(terms)
        }
        // A refusal by the account host for any reason but the credential says nothing about the rows.
        Failure::AccountRefused(_) if !failure.is_about_credentials() => Decision::Retry(terms),
        Failure::AccountRefused(_) if may_retry_refusal => refused,
        // Retrying cannot help: the credential or the account name is unusable.
        Failure::NotSent(_) | Failure::AccountRefused(_) => {
            Decision::GiveUp(InvalidationCause::Unauthorized)
        }
        Failure::Ambiguous(_) => Decision::Retry(RetryTerms {
            ambiguous: true,
            ..terms
        }),
        Failure::Throttled(_) => Decision::Retry(RetryTerms {
            throttled: true,
            ..terms
        }),
        Failure::Answered { status, code, .. } => match (*status, code.as_deref()) {
            (413, _) if ambiguous && is_in_order => Decision::GiveUp(InvalidationCause::Ambiguous),
            (413, _) => Decision::Split,
            // A misrouted request, or a credential that is being renewed: the channel itself may be healthy.
            (404, None) | (401 | 403, _) if may_retry_refusal => refused,
            // A pipe that moved to another host. A named channel has to be reopened there; an elastic one has nothing to reopen.
            (410, _) if may_retry_refusal && !is_in_order => refused,
            (401 | 403, _) => Decision::GiveUp(InvalidationCause::Unauthorized),
            (_, Some(code)) => Decision::GiveUp(cause_of_code(code, *status, ambiguous)),
            (409, None) => Decision::GiveUp(superseded(ambiguous)),
            (404 | 410, None) => Decision::GiveUp(InvalidationCause::Gone),
            (_, None) => Decision::GiveUp(InvalidationCause::Rejected),
        },
    }
}

/// After one of our own unanswered attempts, that attempt may be what moved the server's sequencer.
fn superseded(ambiguous: bool) -> InvalidationCause {
    if ambiguous {
        InvalidationCause::Ambiguous
    } else {
        InvalidationCause::Fenced
    }
}

/// The codes are from "Snowpipe Streaming error handling" and public clients; `0` stands for no HTTP status.
fn cause_of_code(code: &str, status: u16, ambiguous: bool) -> InvalidationCause {
    match code {
        "STALE_CONTINUATION_TOKEN_SEQUENCER" | "ERR_CHANNEL_HAS_INVALID_CLIENT_SEQUENCER" => {
            superseded(ambiguous)
        }
        "ERR_CHANNEL_MUST_BE_REOPENED"
        | "ERR_CHANNEL_MUST_BE_REOPENED_DUE_TO_ROW_SEQ_GAP"
        | "ERR_CHANNEL_HAS_INVALID_ROW_SEQUENCER"
        | "STALE_PIPE_CACHE" => InvalidationCause::MustReopen,
        "ERR_PIPE_IN_INVALID_STATE" => InvalidationCause::Gone,
        // `ERR_…_DOES_NOT_EXIST_OR_NOT_AUTHORIZED` of a channel, pipe, table, schema or database; a role that sees nothing gets
        // that of the database (redpanda-data/connect, streaming_pipe_scope_probe_it_test.go).
        _ if code.contains("DOES_NOT_EXIST") => InvalidationCause::Gone,
        _ if status == 409 => superseded(ambiguous),
        _ if matches!(status, 404 | 410) => InvalidationCause::Gone,
        _ if status == 0 => InvalidationCause::MustReopen,
        _ => InvalidationCause::Rejected,
    }
}

/// The cause that an unhealthy status code stands for.
pub(crate) fn of_status(code: &str) -> InvalidationCause {
    cause_of_code(code, 0, false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::error::Error;

    fn answered(status: u16, code: Option<&str>, kind: ErrorKind) -> Failure {
        Failure::Answered {
            status,
            code: code.map(str::to_owned),
            error: Error::new(kind, "no"),
        }
    }

    fn refused(status: u16, code: Option<&str>) -> Failure {
        answered(status, code, ErrorKind::Refused)
    }

    const TERMS: RetryTerms = RetryTerms {
        after: None,
        ambiguous: false,
        refused: false,
        throttled: false,
    };
    const RETRY: Decision = Decision::Retry(TERMS);
    const KINDS: [Delivery; 2] = [Delivery::InOrder, Delivery::Independent];

    #[test]
    fn failures_that_say_nothing_about_the_rows_are_retried() {
        let after = Some(Duration::from_secs(1));
        let error = |kind| Error::new(kind, "no");
        let ambiguous = RetryTerms {
            ambiguous: true,
            ..TERMS
        };
        let throttled = RetryTerms {
            throttled: true,
            after,
            ..TERMS
        };
        let table = [
            (Failure::NotSent(error(ErrorKind::Unreachable)), RETRY),
            (Failure::NotSent(error(ErrorKind::Protocol)), RETRY),
            (Failure::AccountRefused(error(ErrorKind::NotFound)), RETRY),
            (Failure::AccountRefused(error(ErrorKind::Refused)), RETRY),
            (
                Failure::NotSent(error(ErrorKind::Authentication)),
                Decision::GiveUp(InvalidationCause::Unauthorized),
            ),
            (
                Failure::NotSent(error(ErrorKind::Config)),
                Decision::GiveUp(InvalidationCause::Unauthorized),
            ),
            (
                Failure::Ambiguous(error(ErrorKind::Server)),
                Decision::Retry(ambiguous),
            ),
            (
                Failure::Ambiguous(error(ErrorKind::Server).with_retry_after(after)),
                Decision::Retry(RetryTerms { after, ..ambiguous }),
            ),
            (
                Failure::Throttled(error(ErrorKind::Throttled).with_retry_after(after)),
                Decision::Retry(throttled),
            ),
        ];
        for (failure, expected) in table {
            for delivery in KINDS {
                for (ambiguous, may_retry) in
                    [(false, false), (false, true), (true, false), (true, true)]
                {
                    let decision = decide(&failure, delivery, ambiguous, may_retry);
                    assert_eq!(decision, expected, "{failure:?}");
                }
            }
        }
    }

    #[test]
    fn temporary_refusals_are_retried_until_their_retries_are_used_up() {
        use InvalidationCause::{Gone, Unauthorized};
        let once_more = Decision::Retry(RetryTerms {
            refused: true,
            ..TERMS
        });
        let table = [
            (refused(404, None), Gone),
            (refused(401, None), Unauthorized),
            (refused(401, Some("390303")), Unauthorized),
            (refused(403, None), Unauthorized),
            (refused(403, Some("X")), Unauthorized),
            // The token exchange answers 400 where other endpoints answer 401.
            (
                Failure::AccountRefused(Error::new(ErrorKind::Authentication, "no")),
                Unauthorized,
            ),
            (
                Failure::AccountRefused(Error::new(ErrorKind::Forbidden, "no")),
                Unauthorized,
            ),
        ];
        for (failure, in_the_end) in table {
            for delivery in KINDS {
                let mut attempts =
                    Attempts::new(Uuid::nil(), Instant::now(), Duration::from_secs(1));
                for _ in 0..REFUSALS {
                    assert_eq!(
                        attempts.failed(&failure, delivery),
                        once_more,
                        "{failure:?}"
                    );
                }
                let end = Decision::GiveUp(in_the_end);
                assert_eq!(attempts.failed(&failure, delivery), end, "{failure:?}");
            }
        }
    }

    /// A pipe that moved to another host. A batch that is too large.
    #[test]
    fn a_channel_without_order_goes_on_where_another_one_gives_up() {
        let of = |failure: &Failure, delivery| decide(failure, delivery, true, true);
        for failure in [
            refused(410, None),
            refused(410, Some("ERR_PIPE_FAILED_OVER")),
        ] {
            let in_order = of(&failure, Delivery::InOrder);
            assert_eq!(in_order, Decision::GiveUp(InvalidationCause::Gone));
            let independent = of(&failure, Delivery::Independent);
            assert!(matches!(independent, Decision::Retry(terms) if terms.refused));
        }
        let too_large = refused(413, Some("X"));
        let in_order = of(&too_large, Delivery::InOrder);
        assert_eq!(in_order, Decision::GiveUp(InvalidationCause::Ambiguous));
        assert_eq!(of(&too_large, Delivery::Independent), Decision::Split);
    }

    #[test]
    fn final_refusals_invalidate_the_channel_with_their_cause() {
        use InvalidationCause::{Ambiguous, Fenced, Gone, MustReopen, Rejected};
        // The cause, and the cause after an unanswered attempt.
        let table = [
            (
                400,
                Some("STALE_CONTINUATION_TOKEN_SEQUENCER"),
                Fenced,
                Ambiguous,
            ),
            (
                400,
                Some("ERR_CHANNEL_HAS_INVALID_CLIENT_SEQUENCER"),
                Fenced,
                Ambiguous,
            ),
            (409, None, Fenced, Ambiguous),
            (409, Some("NEW"), Fenced, Ambiguous),
            (
                400,
                Some("ERR_CHANNEL_MUST_BE_REOPENED"),
                MustReopen,
                MustReopen,
            ),
            (
                400,
                Some("ERR_CHANNEL_MUST_BE_REOPENED_DUE_TO_ROW_SEQ_GAP"),
                MustReopen,
                MustReopen,
            ),
            (
                400,
                Some("ERR_CHANNEL_HAS_INVALID_ROW_SEQUENCER"),
                MustReopen,
                MustReopen,
            ),
            (400, Some("STALE_PIPE_CACHE"), MustReopen, MustReopen),
            (
                404,
                Some("ERR_CHANNEL_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"),
                Gone,
                Gone,
            ),
            (
                400,
                Some("ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"),
                Gone,
                Gone,
            ),
            (
                400,
                Some("ERR_DATABASE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"),
                Gone,
                Gone,
            ),
            (
                400,
                Some("ERR_SCHEMA_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"),
                Gone,
                Gone,
            ),
            (400, Some("ERR_PIPE_IN_INVALID_STATE"), Gone, Gone),
            // As of a pipe's statuses (redpanda-data/connect, streamingv2/errors.go).
            (409, Some("ERR_PIPE_IN_INVALID_STATE"), Gone, Gone),
            (404, Some("NEW"), Gone, Gone),
            (410, Some("ERR_PIPE_FAILED_OVER"), Gone, Gone),
            (410, None, Gone, Gone),
            (400, None, Rejected, Rejected),
            (400, Some("NEW"), Rejected, Rejected),
            (200, Some("NEW"), Rejected, Rejected),
            (302, None, Rejected, Rejected),
        ];
        for (status, code, first, after_unanswered) in table {
            let failure = refused(status, code);
            for delivery in KINDS {
                let of = |ambiguous| decide(&failure, delivery, ambiguous, false);
                assert_eq!(of(false), Decision::GiveUp(first), "{failure:?}");
                assert_eq!(of(true), Decision::GiveUp(after_unanswered), "{failure:?}");
            }
        }
        for delivery in KINDS {
            let of = |failure| decide(&failure, delivery, false, true);
            assert_eq!(of(refused(413, None)), Decision::Split);
            let mut end = of(refused(400, None));
            assert_eq!(end, Decision::GiveUp(Rejected));
            end = of(refused(409, None));
            assert_eq!(end, Decision::GiveUp(Fenced));
        }
    }

    #[test]
    fn a_status_that_is_not_healthy_ends_the_channel() {
        let table = [
            (
                "ERR_CHANNEL_MUST_BE_REOPENED",
                InvalidationCause::MustReopen,
            ),
            ("ERR_PIPE_IN_INVALID_STATE", InvalidationCause::Gone),
            (
                "ERR_CHANNEL_DOES_NOT_EXIST_OR_IS_NOT_AUTHORIZED",
                InvalidationCause::Gone,
            ),
            (
                "ERR_TABLE_DOES_NOT_EXIST_NOT_AUTHORIZED",
                InvalidationCause::Gone,
            ),
            (
                "ERR_DATABASE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED",
                InvalidationCause::Gone,
            ),
            (
                "STALE_CONTINUATION_TOKEN_SEQUENCER",
                InvalidationCause::Fenced,
            ),
            ("NEW", InvalidationCause::MustReopen),
        ];
        for (code, cause) in table {
            assert_eq!(of_status(code), cause, "{code}");
        }
    }
}
