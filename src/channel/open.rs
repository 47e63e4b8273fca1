//! Opening a channel, including the policy for uncommitted rows of an earlier holder.
//!
//! Every open asks the server to fail if rows of an earlier holder are accepted and not committed, unless the caller chose
//! `Discard`. The client waits, asks again, and at the deadline fails or discards as `OnUncommitted` says. The wait begins when
//! the server first says that there are such rows: an outage before that would leave no time to commit in. Opening twice does
//! no harm, so an open is retried freely.

use std::future::IntoFuture;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use super::core::ledger::REPLICA_LAG;
use super::core::{Core, Limits, Opening};
use super::registry::Registry;
use super::shared::Shared;
use super::{Channel, Mode, Tracked, driver};
use crate::api::OpenAnswer;
use crate::api::call::Attempt;
use crate::api::failure::Failure;
use crate::base::options::{OnUncommitted, Recovery};
use crate::base::retry::Backoff;
use crate::channel::core::replay::Opened;
use crate::context::ClientContext;
use crate::context::retries::{OPEN_RETRY_FOR, Retries};
use crate::types::channel_status::ChannelStatus;
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::offset::OffsetToken;
use crate::types::offset::arguments::IntoOffset;

/// A request to open a channel: `.await` it, or set options first.
///
/// ```no_run
/// # use std::time::Duration;
/// # use snowpipe_streaming::{OnUncommitted, StreamingIngestClient};
/// # async fn example(client: StreamingIngestClient) -> snowpipe_streaming::Result<()> {
/// let rides = client.open_channel("rides-0").await?;
/// let passes = client
///     .open_channel("passes-0")
///     .on_uncommitted(OnUncommitted::WaitThenDiscard(Duration::from_secs(30)))
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "the channel is opened only when this is awaited"]
pub struct OpenChannel<M: Mode> {
    registry: Arc<Registry>,
    name: String,
    options: OpenOptions,
    offset_token: Option<Result<OffsetToken>>,
    mode: PhantomData<fn() -> M>,
}

/// The options of a channel, which its reopens keep.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenOptions {
    pub(super) policy: OnUncommitted,
    pub(super) recovery: Recovery,
}

impl<M: Mode> OpenChannel<M> {
    pub(crate) fn new(registry: Arc<Registry>, name: String) -> Self {
        let options = &registry.context.options;
        let options = OpenOptions {
            policy: options.on_uncommitted,
            recovery: options.recovery.unwrap_or(M::RECOVERY),
        };
        Self {
            registry,
            name,
            options,
            offset_token: None,
            mode: PhantomData,
        }
    }

    /// Sets what to do if rows of an earlier holder are accepted and not yet committed.
    pub fn on_uncommitted(mut self, policy: OnUncommitted) -> Self {
        self.options.policy = policy;
        self
    }

    /// Sets what happens if the channel has to be reopened, instead of the client's [`recovery`](crate::ClientBuilder::recovery).
    pub fn recovery(mut self, recovery: Recovery) -> Self {
        self.options.recovery = recovery;
        self
    }
}

impl OpenChannel<Tracked> {
    /// Overwrites the channel's committed token, to start at another place of the source.
    pub fn offset_token(mut self, token: impl IntoOffset) -> Self {
        self.offset_token = Some(
            token
                .into_offset()
                .map(crate::types::offset::arguments::Offset::into_token),
        );
        self
    }
}

impl<M: Mode> IntoFuture for OpenChannel<M> {
    type Output = Result<Channel<M>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let token = self.offset_token.transpose()?;
            let (shared, _) = open::<M>(
                &self.registry,
                &self.name,
                self.options,
                token.as_ref(),
                None,
            )
            .await?;
            Ok(Channel::new(self.registry, shared, self.options))
        })
    }
}

/// Opens `name`, which must be free or belong to `old`, and starts its driver. Returns the status in the answer as well.
pub(super) async fn open<M: Mode>(
    registry: &Arc<Registry>,
    name: &str,
    OpenOptions { policy, recovery }: OpenOptions,
    offset_token: Option<&OffsetToken>,
    old: Option<&Arc<Shared>>,
) -> Result<(Arc<Shared>, ChannelStatus)> {
    let context = &registry.context;
    let reservation = registry.reserve(name, old)?;
    let (answer, is_all_committed) = tokio::select! {
        biased;
        () = registry.closed() => return Err(client_closed()),
        answer = request(context, name, policy, offset_token, OPEN_RETRY_FOR) => answer?,
    };
    context.expect_pipe();
    let status = &answer.status;
    if !status.is_healthy() {
        return Err(unhealthy(name, status));
    }
    let name = spelled_by_server(name, status);
    let opening = Opening {
        name: name.to_owned(),
        pipe: context.pipe.to_string(),
        continuation_token: answer.next_continuation_token,
        committed_token: status.latest_committed_offset_token().cloned(),
        created_on_ms: status.created_on_ms(),
        rejected: status.rows_error_count(),
        row_count: status.rows_accounted(),
        is_all_committed,
        is_tracked: M::IS_TRACKED,
        sets_token: offset_token.is_some(),
    };
    info!(channel = name, committed = ?opening.committed_token, "channel open");
    let options = &context.options;
    let limits = Limits {
        max_client_lag: options.max_client_lag,
        request_limit: context.request_limit.clone(),
        max_uncompressed: options.max_uncompressed,
        retry_for: options.retry_for,
        settle_timeout: options.settle_timeout,
        commit_stall_timeout: options.commit_stall_timeout,
        pace: options.pace(),
        recovery,
        commit_evidence: options.commit_evidence,
        isolate_rejects: options.isolate_rejects,
    };
    let core = Core::new(
        Instant::now(),
        limits,
        opening,
        context.request_id().simple().to_string(),
    );
    let share = context
        .budget
        .share(options.channel_memory.unwrap_or(options.memory_budget));
    let shared = Shared::new(
        name.to_owned(),
        core,
        share,
        Arc::clone(registry.poll_timer()),
        Arc::clone(context.api.counters()),
    );
    if !reservation.fill(&shared) {
        return Err(client_closed());
    }
    driver::spawn(Arc::clone(registry), Arc::clone(&shared));
    // After the channel is registered: a poller that stops from here on wakes its driver.
    registry.ensure_polled();
    let interest = shared.core().poll_interest();
    registry.poll_timer().set(interest);
    Ok((shared, answer.status))
}

/// The name in the server's spelling. An open ignores the case, but a status call needs the case in which the channel was
/// created.
fn spelled_by_server<'a>(name: &'a str, status: &'a ChannelStatus) -> &'a str {
    let spelled = status.channel_name();
    // A name that differs in more than case is a mistake of the server.
    if spelled.to_lowercase() == name.to_lowercase() {
        spelled
    } else {
        name
    }
}

fn client_closed() -> Error {
    Error::new(
        ErrorKind::ClientClosed,
        "the client was closed while the channel was being opened",
    )
}

/// Opens `name`, retrying for `retry_for`. Also returns whether the server confirmed that no rows of an earlier holder were
/// uncommitted, so that none were discarded.
pub(super) async fn request(
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

fn unhealthy(name: &str, status: &ChannelStatus) -> Error {
    let code = status.status_code();
    let kind = if code.contains("DOES_NOT_EXIST") {
        ErrorKind::NotFound
    } else {
        ErrorKind::Refused
    };
    Error::new(
        kind,
        format!("the channel {name:?} was opened, but its status is not healthy and it accepts no rows; look at the pipe and its table, and at the role's privileges on them"),
    )
    .with_code(Some(code.to_owned()))
}
