//! What a failed append means for its channel.

use std::time::Duration;

use crate::api::failure::Failure;
use crate::types::error::{ErrorKind, InvalidationCause};

/// What to do about a failed append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RetryDecision {
    /// The identical request again.
    Retry {
        /// Not before this delay, if the server named one.
        after: Option<Duration>,
        /// This try may have been applied.
        ambiguous: bool,
        /// The server refused in a way that may pass; it is tried only so often.
        refused: bool,
    },
    /// The same bytes will never pass: cut them.
    Split,
    /// The channel cannot go on.
    Invalid(InvalidationCause),
}

/// `ambiguous`: an earlier try of the same request may have been applied. `patient`: refusals that may pass have not
/// used up their tries.
pub(super) fn of(failure: &Failure, ambiguous: bool, patient: bool) -> RetryDecision {
    let again = |after, ambiguous, refused| RetryDecision::Retry {
        after,
        ambiguous,
        refused,
    };
    match failure {
        // What a proxy answers in the place of host or token tells nothing of either.
        Failure::NotSent(error) if error.is_retryable() || error.kind() == ErrorKind::Protocol => {
            again(None, false, false)
        }
        // Nor does what the account host refuses for another reason than the credential.
        Failure::AccountRefused(_) if !failure.is_about_credentials() => again(None, false, false),
        Failure::AccountRefused(_) if patient => again(None, false, true),
        // A credential or a name that cannot be used will not become usable.
        Failure::NotSent(_) | Failure::AccountRefused(_) => {
            RetryDecision::Invalid(InvalidationCause::Unauthorized)
        }
        Failure::Ambiguous(_) => again(None, true, false),
        Failure::Throttled { after, .. } => again(*after, false, false),
        Failure::Answered { status, code, .. } => match (*status, code.as_deref()) {
            // Cut in two, rows of which all may be in already could go in twice.
            (413, _) if ambiguous => RetryDecision::Invalid(InvalidationCause::Ambiguous),
            (413, _) => RetryDecision::Split,
            // A misrouted request or a credential that is being renewed: the channel may well be in order.
            (404, None) | (401 | 403, _) if patient => again(None, false, true),
            (401 | 403, _) => RetryDecision::Invalid(InvalidationCause::Unauthorized),
            (_, Some(code)) => RetryDecision::Invalid(cause_of_code(code, *status, ambiguous)),
            (409, None) => RetryDecision::Invalid(superseded(ambiguous)),
            (404 | 410, None) => RetryDecision::Invalid(InvalidationCause::Gone),
            (_, None) => RetryDecision::Invalid(InvalidationCause::Rejected),
        },
    }
}

/// After an unanswered try of ours the server may have moved on by that very try.
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
        "ERR_CHANNEL_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"
        | "ERR_CHANNEL_DOES_NOT_EXIST_OR_IS_NOT_AUTHORIZED"
        | "ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"
        | "ERR_TABLE_DOES_NOT_EXIST_NOT_AUTHORIZED"
        | "ERR_PIPE_IN_INVALID_STATE" => InvalidationCause::Gone,
        _ if status == 409 => superseded(ambiguous),
        _ if matches!(status, 404 | 410) => InvalidationCause::Gone,
        _ if status == 0 => InvalidationCause::MustReopen,
        _ => InvalidationCause::Rejected,
    }
}

/// What an unhealthy status code means.
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

    const AGAIN: RetryDecision = RetryDecision::Retry {
        after: None,
        ambiguous: false,
        refused: false,
    };

    #[test]
    fn what_did_not_decide_is_tried_again() {
        let second = Some(Duration::from_secs(1));
        let error = |kind| Error::new(kind, "no");
        let table = [
            (Failure::NotSent(error(ErrorKind::Unreachable)), AGAIN),
            (Failure::AccountRefused(error(ErrorKind::NotFound)), AGAIN),
            (Failure::AccountRefused(error(ErrorKind::Refused)), AGAIN),
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
                Failure::Throttled {
                    after: second,
                    error: error(ErrorKind::Throttled),
                },
                RetryDecision::Retry {
                    after: second,
                    ambiguous: false,
                    refused: false,
                },
            ),
        ];
        for (failure, expected) in table {
            for ambiguous in [false, true] {
                for patient in [false, true] {
                    assert_eq!(of(&failure, ambiguous, patient), expected, "{failure:?}");
                }
            }
        }
    }

    #[test]
    fn refusals_that_may_pass_are_tried_only_so_often() {
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
                // The token exchange says 400 where others say 401.
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
    fn what_was_decided_is_decided() {
        use InvalidationCause::{Ambiguous, Fenced, Gone, MustReopen, Rejected};
        // The cause, and the cause after an unanswered try.
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
            (400, Some("ERR_PIPE_IN_INVALID_STATE"), Gone, Gone),
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
