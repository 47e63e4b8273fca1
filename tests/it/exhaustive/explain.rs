//! Which errors name which faults.

use snowpipe_streaming::{ErrorKind, InvalidationCause as Cause};

use super::choice::{Choice, Entry};

/// The first of the errors that names no fault that was injected.
pub fn unexplained(errors: &[ErrorKind], choices: &[Choice]) -> Option<ErrorKind> {
    // A program that drops a channel and opens it again at once gets an error: the channel still drains.
    let explains = |kind: ErrorKind| {
        kind == ErrorKind::ChannelAlreadyOpen
            || choices.iter().any(|choice| names(choice.entry, kind))
    };
    errors.iter().copied().find(|kind| !explains(*kind))
}

/// Whether an error of this kind names the fault.
fn names(entry: &Entry, kind: ErrorKind) -> bool {
    use ErrorKind::{Invalidated, Timeout, Unreachable};
    let kinds: &[ErrorKind] = match entry.name {
        // The first try may have been carried out, and the server knows its token no more.
        "lose"
        | "apply-then-lose"
        | "hang"
        | "apply-then-hang"
        | "cut"
        | "error-500"
        | "error-503"
        | "apply-then-500"
        | "server-down"
        | "server-down-unanswered" => &[Invalidated(Cause::Ambiguous)],
        // So may one of an append. One of an open may be carried out after its repetition, and fence it.
        "zombie" | "late" => &[Invalidated(Cause::Ambiguous), Invalidated(Cause::Fenced)],
        // At the exchange of the credential, or twice in a row.
        "unauthorized" | "expire-token" => {
            &[ErrorKind::Authentication, Invalidated(Cause::Unauthorized)]
        }
        "forbidden" => &[
            ErrorKind::Authentication,
            ErrorKind::Forbidden,
            Invalidated(Cause::Unauthorized),
        ],
        // Receipts go with their client.
        "crash" | "crash-unanswered" => &[ErrorKind::ClientClosed],
        "stale" => &[Invalidated(Cause::Fenced), Invalidated(Cause::Ambiguous)],
        "bad-request" => &[Invalidated(Cause::Rejected), ErrorKind::Refused],
        "second-writer" => &[
            Invalidated(Cause::Fenced),
            Invalidated(Cause::Ambiguous),
            Invalidated(Cause::MustReopen),
            // What it discards when all is sent shows in nothing else.
            Invalidated(Cause::CommitStalled),
        ],
        "twin" | "rival" => &[
            Invalidated(Cause::Fenced),
            Invalidated(Cause::Ambiguous),
            Invalidated(Cause::MustReopen),
            Invalidated(Cause::OffsetConflict),
            Invalidated(Cause::CommitStalled),
            // The twin is gone after a while.
            ErrorKind::ClientClosed,
        ],
        "withhold" => &[
            Invalidated(Cause::CommitStalled),
            ErrorKind::UncommittedData,
            Timeout,
        ],
        "foreign-token" => &[Invalidated(Cause::OffsetConflict)],
        "new-code" => &[Invalidated(Cause::MustReopen), Invalidated(Cause::Rejected)],
        "must-reopen" | "row-gap" | "stale-pipe" => &[Invalidated(Cause::MustReopen)],
        "failed-over" | "invalid-pipe" => &[Invalidated(Cause::Gone)],
        "stale-code" => &[Invalidated(Cause::Fenced)],
        "server-loses" | "server-loses-unanswered" => &[
            Invalidated(Cause::MustReopen),
            Invalidated(Cause::Fenced),
            Invalidated(Cause::Ambiguous),
        ],
        "away" => &[Invalidated(Cause::Unreachable), Unreachable],
        "silent" => &[Invalidated(Cause::Unreachable), Unreachable, Timeout],
        _ => &[],
    };
    kinds.contains(&kind)
}
