//! Which errors name which faults.

use snowpipe_streaming::{ErrorKind, InvalidationCause as Cause};

use super::choice::{Choice, Entry};

/// The first error that no injected fault explains.
pub fn unexplained(errors: &[ErrorKind], choices: &[Choice]) -> Option<ErrorKind> {
    let has = |start: &str| {
        choices
            .iter()
            .any(|choice| choice.entry.name.starts_with(start))
    };
    // A server that starts again misses the rows that were lost before, and says that there is a gap before the next ones.
    let is_gap = has("accept-and-lose") && has("server-");
    // A program that drops a channel and reopens it at once gets this error, because the channel still drains.
    let explains = |kind: ErrorKind| {
        kind == ErrorKind::ChannelAlreadyOpen
            || (is_gap && kind == ErrorKind::Invalidated(Cause::MustReopen))
            || choices.iter().any(|choice| names(choice.entry, kind))
    };
    errors.iter().copied().find(|kind| !explains(*kind))
}

/// Whether the fault explains an error of this kind.
fn names(entry: &Entry, kind: ErrorKind) -> bool {
    use ErrorKind::{Invalidated, Timeout, Unreachable};
    let kinds: &[ErrorKind] = match entry.name {
        // The first attempt may have been applied, and the server may have forgotten its token.
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
        // As above for an append. A late open may be applied after its repetition, and fence the channel.
        "zombie" | "late" => &[Invalidated(Cause::Ambiguous), Invalidated(Cause::Fenced)],
        // If it hits the exchange of the credential, or two attempts in a row.
        "unauthorized" | "expire-token" => {
            &[ErrorKind::Authentication, Invalidated(Cause::Unauthorized)]
        }
        "forbidden" => &[
            ErrorKind::Authentication,
            ErrorKind::Forbidden,
            Invalidated(Cause::Unauthorized),
        ],
        // Receipts end with their client.
        "crash" | "crash-unanswered" => &[ErrorKind::ClientClosed],
        "stale" => &[Invalidated(Cause::Fenced), Invalidated(Cause::Ambiguous)],
        "bad-request" => &[Invalidated(Cause::Rejected), ErrorKind::Refused],
        "second-writer" => &[
            Invalidated(Cause::Fenced),
            Invalidated(Cause::Ambiguous),
            Invalidated(Cause::MustReopen),
            // If it discards rows after everything is sent, no other error shows it.
            Invalidated(Cause::CommitStalled),
        ],
        "twin" | "rival" => &[
            Invalidated(Cause::Fenced),
            Invalidated(Cause::Ambiguous),
            Invalidated(Cause::MustReopen),
            Invalidated(Cause::OffsetConflict),
            Invalidated(Cause::CommitStalled),
            // The other writer ends after a while.
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
        "failed-over" | "invalid-pipe" | "accept-and-lose" => &[Invalidated(Cause::Gone)],
        "stale-code" => &[Invalidated(Cause::Fenced)],
        "server-loses" | "server-loses-unanswered" => &[
            Invalidated(Cause::MustReopen),
            Invalidated(Cause::Fenced),
            Invalidated(Cause::Ambiguous),
        ],
        // A close may run out of time meanwhile.
        "away" | "silent" => &[Invalidated(Cause::Unreachable), Unreachable, Timeout],
        _ => &[],
    };
    kinds.contains(&kind)
}
