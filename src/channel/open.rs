//! Opening a channel: the builder of a call, and the channel that its answer makes.

use std::future::IntoFuture;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use tokio::time::Instant;
use tracing::info;

use super::core::{Core, Limits, Opening};
use super::registry::Registry;
use super::shared::Shared;
use super::{Channel, Mode, Tracked, driver, open_request};
use crate::base::options::{OnUncommitted, Recovery};
use crate::context::retries::OPEN_RETRY_FOR;
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
        answer = open_request::send(context, name, policy, offset_token, OPEN_RETRY_FOR) => answer?,
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
