//! Why a channel refuses a request.

use http::StatusCode;

use super::channel::Channel;
use crate::messages::answer::Refusal;
use crate::storage::interface::StorageError;

pub(crate) fn must_reopen(code: &str) -> Refusal {
    Refusal::bad_request(code, "The channel must be reopened.")
}

/// Another append, or another holder of the channel, came first.
pub(crate) fn conflict(code: &str) -> Refusal {
    Refusal::new(StatusCode::CONFLICT, code, "The channel must be reopened.")
}

pub(crate) fn uncommitted(channel: &Channel) -> Refusal {
    let batches = channel.pending.len();
    Refusal::new(
        StatusCode::CONFLICT,
        "ERR_CHANNEL_HAS_UNCOMMITTED_DATA",
        format!("The channel has {batches} accepted batches that are not committed yet."),
    )
}

pub(crate) fn failed(why: StorageError) -> Refusal {
    tracing::error!(%why, "the storage failed");
    Refusal::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "ERR_GENERAL_EXCEPTION_RETRY_REQUEST",
        why.message,
    )
}
