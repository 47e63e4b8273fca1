//! The client: one account, one pipe, shared by all its channels.

pub(crate) mod builder;
mod close;
mod send_once;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tracing::info;

use self::builder::ClientBuilder;
use crate::api::Api;
use crate::api::failure::Failure;
use crate::api::wire::MAX_CHANNELS;
use crate::auth::Credential;
use crate::base::metrics::Metrics;
use crate::base::options::Options;
use crate::base::time::TimeSource;
use crate::channel::open::OpenChannel;
use crate::channel::polling::poller;
use crate::channel::registry::Registry;
use crate::channel::{Tracked, Untracked};
use crate::config::Profile;
use crate::context::ClientContext;
use crate::context::retries::Retries;
use crate::elastic::shared::Settle;
use crate::rows::Columns;
use crate::types::channel_status::ChannelStatus;
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::offset::OffsetToken;
use crate::types::pipe::PipePath;

/// Streams rows into one pipe of one account. Cheap to clone; all clones are one client.
///
/// Channels keep the parts of the client that they need, so a function may return a channel alone. Dropped channels drain
/// in the background even after the last clone of the client is dropped. To wait for that, [`close`](Self::close) the
/// client.
///
/// ```no_run
/// use snowpipe_streaming::{PipePath, Profile, StreamingIngestClient};
/// # async fn example() -> snowpipe_streaming::Result<()> {
/// let profile = Profile::from_file("profile.json")?;
/// let pipe = PipePath::new("DB", "SCHEMA", "LIFT_RIDE_PIPE")?;
/// let client = StreamingIngestClient::builder(profile, pipe).build().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct StreamingIngestClient {
    inner: Arc<ClientInner>,
}

/// The state that the clones of a client share.
#[derive(Debug)]
pub(crate) struct ClientInner {
    context: Arc<ClientContext>,
    registry: Arc<Registry>,
    elastic: Mutex<Vec<Weak<dyn Settle>>>,
}

impl StreamingIngestClient {
    /// Starts to build a client for `pipe` with the credentials of `profile`.
    pub fn builder(profile: Profile, pipe: PipePath) -> ClientBuilder {
        ClientBuilder::new(profile, pipe)
    }

    /// Starts to build a client for a table, through its default pipe `<TABLE>-STREAMING`, with the credentials of
    /// `profile`. Snowflake creates that pipe when it is first used.
    ///
    /// ```no_run
    /// use snowpipe_streaming::{Profile, StreamingIngestClient};
    /// # async fn example() -> snowpipe_streaming::Result<()> {
    /// let profile = Profile::from_file("profile.json")?;
    /// let client = StreamingIngestClient::for_table(profile, "RESORT", "PUBLIC", "LIFT_RIDE")?.build().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] as of [`PipePath::for_table`].
    pub fn for_table(
        profile: Profile,
        database: impl Into<String>,
        schema: impl Into<String>,
        table: impl Into<String>,
    ) -> Result<ClientBuilder> {
        let pipe = PipePath::for_table(database, schema, table)?;
        Ok(ClientBuilder::new(profile, pipe))
    }

    pub(crate) async fn connect(
        api: Api,
        options: Options,
        pipe: PipePath,
        time: Arc<dyn TimeSource>,
        rng: fastrand::Rng,
    ) -> Result<Self> {
        let context = ClientContext::new(api, options, pipe, time, rng);
        context
            .retrying(|attempt| context.api.connect(attempt))
            .await?;
        info!(pipe = %context.pipe, "client connected");
        Ok(Self::start(context))
    }

    fn start(context: ClientContext) -> Self {
        let context = Arc::new(context);
        let registry = Arc::new(Registry::new(Arc::clone(&context), poller::start));
        let inner = Arc::new(ClientInner {
            context,
            registry,
            elastic: Mutex::default(),
        });
        Self { inner }
    }

    /// A client of another pipe of the same account. The two share the options, the login, the host, the connections, the
    /// memory budget, the request limit learned from 413 answers, the slots for 256 requests with rows and 128 opens at once, and the
    /// clock. Each has its own channels and counters, and is closed separately. A pipe that does not answer leaves memory and slots to
    /// the others: it takes no more while it holds as much as is free.
    ///
    /// Nothing is sent: whether the pipe exists is known with the first channel that is opened.
    ///
    /// ```
    /// # use snowpipe_streaming_emulator::Emulator;
    /// use snowpipe_streaming::{PipePath, StreamingIngestClient};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let emulator = Emulator::builder().build()?;
    /// # let profile = emulator.profile()?;
    /// let rides = PipePath::for_table("RESORT", "PUBLIC", "LIFT_RIDE")?;
    /// let tickets = PipePath::for_table("RESORT", "PUBLIC", "TICKET")?;
    /// let rides = StreamingIngestClient::builder(profile, rides)
    /// #   .transport(emulator.transport())
    ///     .build()
    ///     .await?;
    /// let tickets = rides.for_pipe(tickets);
    /// tickets.close().await?;
    /// rides.close().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn for_pipe(&self, pipe: PipePath) -> Self {
        Self::start(self.inner.context.for_pipe(pipe))
    }

    /// Opens a channel whose rows carry offset tokens. If there is no channel of this name, the server creates one.
    ///
    /// A channel is one ordered writer. Its name and its committed token persist across restarts. Opening a channel takes it
    /// away from its last holder, so give each instance of a program different names. Names that differ only in case are the
    /// same name ("Snowpipe Streaming REST API endpoints"). [`Channel::name`](crate::Channel::name) returns the name with which
    /// the channel was created. `.await` the returned value, or set options on it first.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Config`]: the name is empty, longer than 255 bytes, or `ELASTIC`, which is reserved.
    /// - [`ErrorKind::ChannelAlreadyOpen`]: this client has it open, or it is still draining.
    /// - [`ErrorKind::UncommittedData`]: see [`OnUncommitted`](crate::OnUncommitted).
    /// - The error of the call itself.
    ///
    /// Cancel safe: a cancelled open may have taken the channel on the server, but the client keeps nothing of it.
    pub fn open_channel(&self, name: impl Into<String>) -> OpenChannel<Tracked> {
        OpenChannel::new(Arc::clone(&self.inner.registry), name.into())
    }

    /// Opens a channel whose rows carry no offsets, for sources that cannot be read again. The SDK adds a token to each request
    /// to track commits, but there is no offset to resume from. By default the client sends rows again that are not committed when
    /// the channel has to be reopened ([`Recovery::Replay`](crate::Recovery::Replay)), and hands back those that it gives up
    /// ([`take_uncommitted_rows`](crate::Channel::take_uncommitted_rows)).
    ///
    /// # Errors
    ///
    /// As [`open_channel`](Self::open_channel).
    pub fn open_untracked_channel(&self, name: impl Into<String>) -> OpenChannel<Untracked> {
        OpenChannel::new(Arc::clone(&self.inner.registry), name.into())
    }

    /// Random in [0, 1), from the client's seed.
    pub(crate) fn random_unit(&self) -> f64 {
        self.inner.context.random_unit()
    }

    /// The pipe exists, or did when rows were sent to it.
    pub(crate) fn expect_pipe(&self) {
        self.inner.context.expect_pipe();
    }

    /// How long closing a channel may take.
    pub(crate) fn close_timeout(&self) -> Duration {
        self.inner.context.options.close_timeout
    }

    /// Checks each row of this client's pipe against the columns of its table from now on, before it is sent: a row with a key that
    /// is no column, without a value for any column, or without one that is `NOT NULL` and has no default, is an
    /// [`ErrorKind::InvalidRow`] that names the column and the nearest one. Without this, a key without a column is dropped by the
    /// server, and the rest of its row is stored. Not for a table whose schema evolves with its rows.
    ///
    /// The check parses each row. Another call replaces the columns; clients of other pipes have their own.
    ///
    /// ```no_run
    /// # async fn example(client: snowpipe_streaming::StreamingIngestClient) -> snowpipe_streaming::Result<()> {
    /// use snowpipe_streaming::{Columns, ErrorKind};
    ///
    /// client.check_columns(Columns::new(["LIFT", "DAY"]).required(["ID"]));
    /// let mut channel = client.open_channel("rides-0").await?;
    /// let error = channel.append_row(&serde_json::json!({ "ID": 1, "LIFTS": "north" }), 1).await.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidRow);
    /// # Ok(()) }
    /// ```
    pub fn check_columns(&self, columns: Columns) {
        self.inner.context.row_checks.set_columns(columns);
    }

    /// Replaces the credential with another one of the same account. The next call exchanges a new token for the ingest host.
    /// Requests under way are not affected, and no channel is reopened.
    ///
    /// ```no_run
    /// # fn example(client: &snowpipe_streaming::StreamingIngestClient) -> snowpipe_streaming::Result<()> {
    /// use snowpipe_streaming::Profile;
    ///
    /// // The key in the file was changed.
    /// client.set_credential(Profile::from_file("profile.json")?.credential()?);
    /// # Ok(()) }
    /// ```
    pub fn set_credential(&self, credential: impl Credential) {
        self.inner.context.api.set_credential(Arc::new(credential));
    }

    /// The pipe this client streams into.
    pub fn pipe(&self) -> &PipePath {
        &self.inner.context.pipe
    }

    /// The bytes of rows that all channels hold now. Never more than the memory budget.
    pub fn memory_in_use(&self) -> usize {
        self.inner.context.budget.in_use()
    }

    /// Whether the permits of the byte budget agree with what is charged.
    #[cfg(feature = "__bench")]
    pub(crate) fn audit_memory(&self) -> std::result::Result<(), String> {
        self.inner.context.budget.audit()
    }

    /// A snapshot of this client's metrics.
    pub fn metrics(&self) -> Metrics {
        let inner = &self.inner;
        let api = &inner.context.api;
        api.counters().snapshot(
            api.account(),
            &inner.context.pipe,
            inner.registry.channels().len(),
            inner.context.budget.in_use(),
            inner.context.options.memory_budget,
        )
    }

    /// Asks the server for the status of channels, including those that other programs write to. Names that the server does not
    /// know are absent from the result. Names are case-sensitive here ("Snowpipe Streaming REST API endpoints").
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// The error of a call that still fails after a few attempts.
    pub async fn channel_statuses<N: AsRef<str>>(
        &self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<BTreeMap<String, ChannelStatus>> {
        let names: Vec<String> = names.into_iter().map(|n| n.as_ref().to_owned()).collect();
        self.statuses(&names, Retries::Few).await
    }

    pub(crate) async fn statuses(
        &self,
        names: &[String],
        retries: Retries<'_>,
    ) -> Result<BTreeMap<String, ChannelStatus>> {
        let inner = &self.inner;
        let mut found = BTreeMap::new();
        let mut chunk = names.len().clamp(1, MAX_CHANNELS);
        let mut rest = names;
        while !rest.is_empty() {
            let (some, after) = rest.split_at(chunk.min(rest.len()));
            let call = |attempt| inner.context.api.channel_statuses(some, attempt);
            match inner.context.retrying_as(retries, call).await {
                Ok(statuses) => {
                    found.extend(statuses);
                    rest = after;
                }
                Err(failure)
                    if chunk > 1
                        && failure
                            .code()
                            .is_some_and(|c| c.contains("TOO_MANY_CHANNELS")) =>
                {
                    chunk /= 2;
                }
                Err(failure) => return Err(failure.into_error()),
            }
        }
        Ok(found)
    }

    /// Asks the server for the committed tokens of channels, `None` for a channel without one. Names that the server does not
    /// know are absent from the result.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// As [`channel_statuses`](Self::channel_statuses).
    pub async fn latest_committed_offset_tokens<N: AsRef<str>>(
        &self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<BTreeMap<String, Option<OffsetToken>>> {
        let statuses = self.channel_statuses(names).await?;
        Ok(statuses
            .into_iter()
            .map(|(name, s)| (name, s.latest_committed_offset_token().cloned()))
            .collect())
    }

    /// Drops a channel on the server, with its committed token and so the place to resume from. Rows in the table stay. A
    /// channel with accepted but uncommitted rows is not dropped.
    ///
    /// Cancel safe in that it may be called again: a cancelled call may or may not have dropped the channel.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Config`]: the name is empty, longer than 255 bytes, or `ELASTIC`, which is reserved.
    /// - [`ErrorKind::ChannelAlreadyOpen`]: close the channel first.
    /// - [`ErrorKind::UncommittedData`]: the channel has uncommitted rows; try again later.
    /// - [`ErrorKind::NotFound`], and the errors of the call itself.
    pub async fn drop_channel(&self, name: &str) -> Result<()> {
        let inner = &self.inner;
        let _slot = inner.registry.reserve(name, None)?;
        let unanswered = AtomicBool::new(false);
        let drop = async |attempt| match inner.context.api.drop_channel(name, true, attempt).await {
            Err(failure @ Failure::Ambiguous(_)) => {
                unanswered.store(true, Ordering::Relaxed);
                Err(failure)
            }
            // An earlier attempt of this call, which got no answer, has dropped the channel.
            Err(Failure::Answered {
                code: Some(_),
                error,
                ..
            }) if error.kind() == ErrorKind::NotFound && unanswered.load(Ordering::Relaxed) => {
                Ok(())
            }
            result => result,
        };
        inner.context.retrying(drop).await.map_err(|error| {
            match error.code() {
                Some("ERR_CHANNEL_HAS_UNCOMMITTED_DATA") => Error::new(
                    ErrorKind::UncommittedData,
                    format!("the channel {name:?} has rows that are accepted but not committed; drop it when they are committed"),
                )
                .because_of(error),
                _ => error,
            }
        })
    }
}
