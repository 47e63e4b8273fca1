//! The request that opens a channel, with the policy for uncommitted rows of an earlier holder.
//!
//! Every open asks the server to fail if rows of an earlier holder are accepted and not committed, unless the caller chose
//! `Discard`. The client waits, asks again, and at the deadline fails or discards as `OnUncommitted` says. The wait begins when
//! the server first says that there are such rows: an outage before that would leave no time to commit in. Opening twice does
//! no harm, so an open is retried freely.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use super::core::ledger::REPLICA_LAG;
use super::core::replay::Opened;
use crate::api::OpenAnswer;
use crate::api::call::Attempt;
use crate::api::failure::Failure;
use crate::base::options::OnUncommitted;
use crate::base::retry::Backoff;
use crate::context::ClientContext;
use crate::context::retries::Retries;
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::offset::OffsetToken;

/// Opens `name`, retrying for `retry_for`. Also returns whether the server confirmed that no rows of an earlier holder were
/// uncommitted, so that none were discarded.
pub(super) async fn send(
    context: &ClientContext,
    name: &str,
    policy: OnUncommitted,
    offset_token: Option<&OffsetToken>,
    retry_for: Duration,
) -> Result<(Opened, bool)> {
    let mut wait_until: Option<Instant> = None;
    let mut fail_on_uncommitted = policy != OnUncommitted::Discard;
    let mut waiting = Backoff::new(Duration::from_millis(250), Duration::from_secs(2));
    let retries = Retries::For {
        retry_for,
        channel: name,
        problem: "the channel cannot be opened",
    };
    loop {
        // Retrying an open is harmless: the second one takes over from the first.
        let open = |attempt| async move {
            let api = &context.api;
            let open = api.open_channel(name, offset_token, fail_on_uncommitted, attempt);
            context.open(open).await
        };
        let failure = match context.retrying_as(retries, open).await {
            Ok(answer) => {
                return Ok((
                    with_status(context, name, answer, retry_for).await?,
                    fail_on_uncommitted,
                ));
            }
            Err(failure) => failure,
        };
        if failure.code() != Some("ERR_CHANNEL_HAS_UNCOMMITTED_DATA") {
            return Err(failure.into_error());
        }
        let now = Instant::now();
        // The wait starts when the server first answers so: during an outage before that, nothing could be committed.
        let until = *wait_until.get_or_insert(now + policy.patience());
        let left = until.saturating_duration_since(now);
        if left.is_zero() {
            // Either the policy forbids discarding, or the server refuses even an open that discards.
            if !fail_on_uncommitted || matches!(policy, OnUncommitted::Wait(_)) {
                return Err(uncommitted(context, name, failure).await);
            }
            warn!(
                channel = name,
                "discarding the uncommitted rows of an earlier holder"
            );
            fail_on_uncommitted = false;
            continue;
        }
        debug!(
            channel = name,
            "rows of an earlier holder are not committed yet; waiting"
        );
        sleep(waiting.next(context.random_unit()).min(left)).await;
    }
}

/// Completes an answer that has no status by a status call. The call waits until no replica shows a state from before the
/// open. Otherwise rows that were committed shortly before it would be sent again.
async fn with_status(
    context: &ClientContext,
    name: &str,
    answer: OpenAnswer,
    retry_for: Duration,
) -> Result<Opened> {
    let status = if let Some(status) = answer.status {
        status
    } else {
        warn!(
            channel = name,
            "the open was answered without a status; requesting the status in {REPLICA_LAG:?}"
        );
        sleep(REPLICA_LAG).await;
        context.status_after_open(name, retry_for).await?
    };
    Ok(Opened {
        next_continuation_token: answer.next_continuation_token,
        status,
    })
}

async fn uncommitted(context: &ClientContext, name: &str, failure: Failure) -> Error {
    let names = [name.to_owned()];
    let attempt = Attempt {
        request_id: context.request_id(),
        retry_count: 0,
    };
    let committed = context.api.channel_statuses(&names, attempt).await.ok();
    let committed = committed.and_then(|s| {
        s.get(name)
            .and_then(|s| s.latest_committed_offset_token().cloned())
    });
    Error::new(
        ErrorKind::UncommittedData,
        format!("rows of an earlier holder of the channel {name:?} are accepted and still not committed; try again later, or open with OnUncommitted::Discard if its source can be read again from the committed token"),
    )
    .with_committed_token(committed)
    .because_of(failure.into_error())
}
