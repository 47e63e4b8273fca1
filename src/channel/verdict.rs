//! What a failed append means for its channel.

use std::time::Duration;

use crate::error::{ErrorKind, InvalidationCause};
use crate::transport::api::Failure;

/// What to do about a failed append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The identical request again.
    Again {
        /// Not before this delay, if the server named one.
        after: Option<Duration>,
        /// This try may have been applied.
        ambiguous: bool,
        /// The server refused in a way that may pass; it is tried only so often.
        refused: bool,
    },
    /// The same bytes will never pass: cut them.
    Smaller,
    /// The channel cannot go on.
    Invalid(InvalidationCause),
}

/// `ambiguous`: an earlier try of the same request may have been applied. `patient`: refusals that may pass have not
/// used up their tries.
pub(super) fn of(failure: &Failure, ambiguous: bool, patient: bool) -> Verdict {
    let again = |after, ambiguous, refused| Verdict::Again {
        after,
        ambiguous,
        refused,
    };
    match failure {
        // What a proxy answers in the place of host or token tells nothing of either.
        Failure::NotSent(error) if error.is_retryable() || error.kind() == ErrorKind::Protocol => {
            again(None, false, false)
        }
        // A credential or a name that cannot be used will not become usable.
        Failure::NotSent(_) => Verdict::Invalid(InvalidationCause::Unauthorized),
        Failure::Ambiguous(_) => again(None, true, false),
        Failure::Throttled { after, .. } => again(*after, false, false),
        // The token exchange says 400 where others say 401.
        Failure::Answered { error, .. } if error.kind() == ErrorKind::Authentication => {
            if patient {
                again(None, false, true)
            } else {
                Verdict::Invalid(InvalidationCause::Unauthorized)
            }
        }
        Failure::Answered { status, code, .. } => match (*status, code.as_deref()) {
            (413, _) => Verdict::Smaller,
            // A misrouted request or a credential that is being renewed: the channel may well be in order.
            (404, None) | (401 | 403, _) if patient => again(None, false, true),
            (401 | 403, _) => Verdict::Invalid(InvalidationCause::Unauthorized),
            (_, Some(code)) => Verdict::Invalid(cause_of_code(code, *status, ambiguous)),
            (409, None) => Verdict::Invalid(superseded(ambiguous)),
            (404 | 410, None) => Verdict::Invalid(InvalidationCause::Gone),
            (_, None) => Verdict::Invalid(InvalidationCause::Rejected),
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
