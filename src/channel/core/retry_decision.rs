//! What a failed append means for its channel.
//!
//! | What is known | What the client does |
//! |---|---|
//! | Nothing was sent: no name, no connection, no TLS. | It sends the same bytes again after a backoff. |
//! | 429 or a 5xx with `Retry-After` | It tries again, not before the server's delay. A 5xx is ambiguous as well. |
//! | The request was sent and has no usable answer: reset, timeout, cut off, 5xx. | The attempt is *ambiguous*. The identical request follows, with the same token and request id, and the retry count plus one. |
//! | The account host refuses to exchange the credential or to name the ingest host. | The request did not go out. After 400, 401 or 403 it tries three times more; otherwise for `retry_for`, because the refusal says nothing about the rows. |
//! | 401, 403, 404 without a code | It tries three times more. By then the session has renewed token or host. |
//! | 413 | It splits the batch (`responses`). |
//! | A stale or superseded sequencer after an ambiguous attempt of our own. | `Ambiguous`: most likely that attempt was applied. |
//! | The same without such an attempt. | `Fenced`: another writer has the channel. |
//! | A code that asks for a reopen. | `MustReopen` |
//! | The channel or its table is gone. | `Gone`. On 410 or a bare 404 the session also discovers the ingest host again. |
//! | Any other refusal. | `Rejected`. The batch is neither skipped nor replayed. |
//!
//! A batch is tried for `retry_for`; then the channel is `Unreachable`.

use std::time::Duration;

use crate::api::failure::Failure;
use crate::types::error::{ErrorKind, InvalidationCause};

/// What to do about a failed append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RetryDecision {
    /// Send the identical request again.
    Retry {
        /// The delay that the server asked for.
        after: Option<Duration>,
        /// Whether the server may have applied this attempt.
        ambiguous: bool,
        /// Whether the server refused the request in a way that may be temporary. Such retries are counted and limited.
        refused: bool,
    },
    /// The request is too large: split the batch.
    Split,
    /// Invalidate the channel.
    Invalid(InvalidationCause),
}

/// Decides about a failed append. `ambiguous`: an earlier attempt of the same request may have been applied.
/// `may_retry_refusal`: the retries for temporary refusals are not used up.
pub(super) fn of(failure: &Failure, ambiguous: bool, may_retry_refusal: bool) -> RetryDecision {
    let retry = |ambiguous, refused| RetryDecision::Retry {
        after: failure.asked_delay(),
        ambiguous,
        refused,
    };
    match failure {
        // A proxy that refuses, or answers in place of the account host, says nothing about the host or the credential.
        Failure::NotSent(error)
            if error.is_retryable()
                || error.kind() == ErrorKind::Protocol
                || failure.is_of_proxy() =>
        {
            retry(false, false)
        }
        // A refusal by the account host for any reason but the credential says nothing about the rows.
        Failure::AccountRefused(_) if !failure.is_about_credentials() => retry(false, false),
        Failure::AccountRefused(_) if may_retry_refusal => retry(false, true),
        // Retrying cannot help: the credential or the account name is unusable.
        Failure::NotSent(_) | Failure::AccountRefused(_) => {
            RetryDecision::Invalid(InvalidationCause::Unauthorized)
        }
        Failure::Ambiguous(_) => retry(true, false),
        Failure::Throttled(_) => retry(false, false),
        Failure::Answered { status, code, .. } => match (*status, code.as_deref()) {
            // All of the rows may be in the table. If the batch were split, half of them could land twice.
            (413, _) if ambiguous => RetryDecision::Invalid(InvalidationCause::Ambiguous),
            (413, _) => RetryDecision::Split,
            // A misrouted request, or a credential that is being renewed: the channel itself may be healthy.
            (404, None) | (401 | 403, _) if may_retry_refusal => retry(false, true),
            (401 | 403, _) => RetryDecision::Invalid(InvalidationCause::Unauthorized),
            (_, Some(code)) => RetryDecision::Invalid(cause_of_code(code, *status, ambiguous)),
            (409, None) => RetryDecision::Invalid(superseded(ambiguous)),
            (404 | 410, None) => RetryDecision::Invalid(InvalidationCause::Gone),
            (_, None) => RetryDecision::Invalid(InvalidationCause::Rejected),
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
pub(super) fn of_status(code: &str) -> InvalidationCause {
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

    const RETRY: RetryDecision = RetryDecision::Retry {
        after: None,
        ambiguous: false,
        refused: false,
    };

    #[test]
    fn failures_that_say_nothing_about_the_rows_are_retried() {
        let second = Some(Duration::from_secs(1));
        let error = |kind| Error::new(kind, "no");
        let table = [
            (Failure::NotSent(error(ErrorKind::Unreachable)), RETRY),
            (Failure::AccountRefused(error(ErrorKind::NotFound)), RETRY),
            (Failure::AccountRefused(error(ErrorKind::Refused)), RETRY),
            (
                Failure::NotSent(error(ErrorKind::Authentication)),
                RetryDecision::Invalid(InvalidationCause::Unauthorized),
            ),
            (
                Failure::Ambiguous(error(ErrorKind::Server)),
                RetryDecision::Retry {
                    after: None,
                    ambiguous: true,
                    refused: false,
                },
            ),
            (
                Failure::Ambiguous(error(ErrorKind::Server).with_retry_after(second)),
                RetryDecision::Retry {
                    after: second,
                    ambiguous: true,
                    refused: false,
                },
            ),
            (
                Failure::Throttled(error(ErrorKind::Throttled).with_retry_after(second)),
                RetryDecision::Retry {
                    after: second,
                    ambiguous: false,
                    refused: false,
                },
            ),
        ];
        for (failure, expected) in table {
            for ambiguous in [false, true] {
                for may_retry in [false, true] {
                    assert_eq!(of(&failure, ambiguous, may_retry), expected, "{failure:?}");
                }
            }
        }
    }

    #[test]
    fn temporary_refusals_are_retried_until_their_retries_are_used_up() {
        let once_more = RetryDecision::Retry {
            after: None,
            ambiguous: false,
            refused: true,
        };
        let table = [
            (refused(404, None), InvalidationCause::Gone),
            (refused(401, None), InvalidationCause::Unauthorized),
            (
                refused(401, Some("390303")),
                InvalidationCause::Unauthorized,
            ),
            (refused(403, None), InvalidationCause::Unauthorized),
            (refused(403, Some("X")), InvalidationCause::Unauthorized),
            (
                // The token exchange answers 400 where other endpoints answer 401.
                Failure::AccountRefused(Error::new(ErrorKind::Authentication, "no")),
                InvalidationCause::Unauthorized,
            ),
            (
                Failure::AccountRefused(Error::new(ErrorKind::Forbidden, "no")),
                InvalidationCause::Unauthorized,
            ),
        ];
        for (failure, in_the_end) in table {
            assert_eq!(of(&failure, false, true), once_more, "{failure:?}");
            let end = RetryDecision::Invalid(in_the_end);
            assert_eq!(of(&failure, false, false), end, "{failure:?}");
        }
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
            let of = |ambiguous| of(&failure, ambiguous, false);
            assert_eq!(of(false), RetryDecision::Invalid(first), "{failure:?}");
            assert_eq!(
                of(true),
                RetryDecision::Invalid(after_unanswered),
                "{failure:?}"
            );
        }
        assert_eq!(of(&refused(413, None), false, false), RetryDecision::Split);
        assert_eq!(
            of(&refused(413, Some("X")), true, true),
            RetryDecision::Invalid(Ambiguous)
        );
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
