//! Options of a client, and the builder that takes them.

use std::sync::Arc;
use std::time::Duration;

use crate::auth::Credential;
use crate::channel::Pace;
use crate::client::StreamingIngestClient;
use crate::config::{PipePath, Profile};
use crate::error::{Error, ErrorKind, Result};
use crate::row::Nulls;
use crate::time::{SystemClock, TimeSource};
use crate::transport::api::{Api, ApiConfig};
use crate::transport::{HttpTransport, Transport};

/// How a channel's requests are spaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Pacing {
    /// As Snowflake limits a named channel: 20 MB a second uncompressed and 10 requests a second, with a burst of one
    /// second ("Snowpipe Streaming high-performance: limitations").
    #[default]
    Named,
    /// Not at all; for tests and benchmarks.
    Off,
}

/// What to do when a channel is opened while rows of an earlier holder are accepted and not yet committed.
///
/// Opening a channel discards what is not committed. If the earlier holder was this program, and its source can be read
/// again from the committed token, nothing is lost by that; if it was another one, its rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnUncommitted {
    /// Waits for them to be committed, at most this long, then fails with [`ErrorKind::UncommittedData`].
    Wait(Duration),
    /// Waits for them to be committed, at most this long, then discards them.
    WaitThenDiscard(Duration),
    /// Discards them at once.
    Discard,
}

impl OnUncommitted {
    /// How long to wait before the policy decides.
    pub(crate) fn patience(self) -> Duration {
        match self {
            Self::Wait(patience) | Self::WaitThenDiscard(patience) => FAR.min(patience),
            Self::Discard => Duration::ZERO,
        }
    }
}

impl Default for OnUncommitted {
    /// Waits for 120 seconds.
    fn default() -> Self {
        Self::Wait(Duration::from_secs(120))
    }
}

/// What becomes of a channel that has to be opened again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Recovery {
    /// It is invalidated: appends and receipts say why, and the caller reopens it and appends again from the committed
    /// token. Rows are held until they are accepted.
    #[default]
    Surface,
    /// The client opens it again and sends exactly what is not committed; receipts stay valid throughout. What that cannot
    /// mend surfaces as above: a batch refused for good, another writer who has come to stay, commits that stall twice.
    ///
    /// Rows are held until they are committed, so the memory budget has to cover them: see
    /// [`tuning`](crate::guide::tuning#memory).
    Replay,
}

/// The numbers a client runs by.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) max_client_lag: Duration,
    pub(crate) memory_budget: usize,
    pub(crate) channel_memory: Option<usize>,
    pub(crate) max_request_bytes: usize,
    pub(crate) max_uncompressed: usize,
    pub(crate) attempt_timeout: Duration,
    pub(crate) retry_for: Duration,
    pub(crate) append_timeout: Option<Duration>,
    pub(crate) commit_stall_timeout: Duration,
    pub(crate) settle_timeout: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) pacing: Pacing,
    pub(crate) nulls: Nulls,
    pub(crate) on_uncommitted: OnUncommitted,
    pub(crate) recovery: Recovery,
    pub(crate) isolate_rejects: bool,
    pub(crate) offload_threshold: usize,
    pub(crate) compression_level: i32,
    pub(crate) elastic_requests: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_client_lag: Duration::from_secs(1),
            memory_budget: 128 << 20,
            channel_memory: None,
            max_request_bytes: 4_000_000,
            max_uncompressed: 16 << 20,
            attempt_timeout: Duration::from_secs(60),
            retry_for: Duration::from_secs(600),
            append_timeout: None,
            commit_stall_timeout: Duration::from_secs(120),
            settle_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(60),
            pacing: Pacing::Named,
            nulls: Nulls::Send,
            on_uncommitted: OnUncommitted::default(),
            recovery: Recovery::default(),
            isolate_rejects: false,
            offload_threshold: 256 << 10,
            compression_level: 1,
            elastic_requests: 4,
        }
    }
}

impl Options {
    /// A unit of at most so many bytes fits into a request whatever is in it: zstd grows data by less than this margin.
    pub(crate) fn always_fits(&self) -> usize {
        self.max_request_bytes.saturating_sub(64 << 10)
    }

    /// The most one unsplittable unit may hold.
    pub(crate) fn max_unit(&self) -> usize {
        (self.memory_budget / 4).min(self.max_uncompressed)
    }

    pub(crate) fn pace(&self) -> Option<Pace> {
        match self.pacing {
            Pacing::Named => Some(Pace {
                bytes_per_second: 20e6,
                requests_per_second: 10.0,
            }),
            Pacing::Off => None,
        }
    }
}

/// "For ever", short enough to be added to any instant.
pub(crate) const FAR: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The smallest memory budget that makes sense: a few batches.
const MIN_BUDGET: usize = 256 << 10;

/// Builds a [`StreamingIngestClient`]. Every option has a default that suits a service.
///
/// ```no_run
/// use std::time::Duration;
/// use snowpipe_streaming::{PipePath, Profile, StreamingIngestClient};
/// # async fn example() -> snowpipe_streaming::Result<()> {
/// let client = StreamingIngestClient::builder(Profile::from_env()?, PipePath::for_table("DB", "PUBLIC", "RIDES")?)
///     .max_client_lag(Duration::from_secs(5))
///     .memory_budget(64 << 20)
///     .build()
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "nothing happens until `build` is awaited"]
pub struct ClientBuilder {
    profile: Profile,
    pipe: PipePath,
    options: Options,
    credential: Option<Arc<dyn Credential>>,
    transport: Option<Arc<dyn Transport>>,
    time: Arc<dyn TimeSource>,
    seed: Option<u64>,
}

impl ClientBuilder {
    pub(crate) fn new(profile: Profile, pipe: PipePath) -> Self {
        Self {
            profile,
            pipe,
            options: Options::default(),
            credential: None,
            transport: None,
            time: Arc::new(SystemClock),
            seed: None,
        }
    }

    /// How long a row may wait in an open batch before it is sent. Default one second.
    ///
    /// It is the only timer of batching: armed by the first row of a batch. Longer gives fewer, larger requests.
    pub fn max_client_lag(mut self, lag: Duration) -> Self {
        self.options.max_client_lag = lag;
        self
    }

    /// Bytes of rows all channels of the client may hold together, open and compressed. Default 128 MiB, at least 256 KiB.
    /// Appends wait while it is used up.
    pub fn memory_budget(mut self, bytes: usize) -> Self {
        self.options.memory_budget = bytes;
        self
    }

    /// Bytes of rows one channel may hold. Default half the budget, which is also the least.
    pub fn channel_memory(mut self, bytes: usize) -> Self {
        self.options.channel_memory = Some(bytes);
        self
    }

    /// How large a compressed request may be, in bytes. Default 4,000,000, just below Snowflake's 4 MB. If the server
    /// refuses less (413), the channel learns it.
    pub fn max_request_bytes(mut self, bytes: usize) -> Self {
        self.options.max_request_bytes = bytes;
        self
    }

    /// The zstd level of requests, 1 to 9. Default 1, which costs the least. Where the network is slower than the processor,
    /// 3 makes requests smaller, for about twice the work.
    pub fn compression_level(mut self, level: i32) -> Self {
        self.options.compression_level = level;
        self
    }

    /// The deadline of a single network call. Default 60 seconds.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.options.attempt_timeout = timeout;
        self
    }

    /// How long a batch is retried, or status calls for accepted rows may fail, before the channel is invalidated as
    /// unreachable, or on an elastic channel the rows are handed back. Default ten minutes.
    pub fn retry_for(mut self, duration: Duration) -> Self {
        self.options.retry_for = duration;
        self
    }

    /// How long an append waits for memory before it fails with [`ErrorKind::Backpressure`]. Default: for ever.
    pub fn append_timeout(mut self, timeout: Duration) -> Self {
        self.options.append_timeout = Some(timeout);
        self
    }

    /// How long statuses may show no commit of accepted rows before their channel is invalidated. Time in which status
    /// calls fail does not count. Default 120 seconds.
    pub fn commit_stall_timeout(mut self, timeout: Duration) -> Self {
        self.options.commit_stall_timeout = timeout;
        self
    }

    /// How long an invalidated channel goes on asking what of its sent rows was committed. Default 30 seconds.
    pub fn settle_timeout(mut self, timeout: Duration) -> Self {
        self.options.settle_timeout = timeout;
        self
    }

    /// How long closing a channel, or draining a dropped one, may take. Default 60 seconds.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.options.close_timeout = timeout;
        self
    }

    /// How requests are spaced. Default [`Pacing::Named`].
    pub fn pacing(mut self, pacing: Pacing) -> Self {
        self.options.pacing = pacing;
        self
    }

    /// What becomes of top-level nulls. Default [`Nulls::Send`].
    pub fn nulls(mut self, nulls: Nulls) -> Self {
        self.options.nulls = nulls;
        self
    }

    /// What to do about uncommitted rows of an earlier holder, for channels that do not say it themselves.
    pub fn on_uncommitted(mut self, policy: OnUncommitted) -> Self {
        self.options.on_uncommitted = policy;
        self
    }

    /// What becomes of channels that have to be opened again. Default [`Recovery::Surface`].
    pub fn recovery(mut self, recovery: Recovery) -> Self {
        self.options.recovery = recovery;
        self
    }

    /// After the server rejected rows, sends smaller requests one by one for a while, so that the next
    /// [`RejectWindow`](crate::RejectWindow) is narrower. Default off.
    pub fn isolate_rejects(mut self, isolate: bool) -> Self {
        self.options.isolate_rejects = isolate;
        self
    }

    /// Batches of at least so many bytes are compressed off the async threads. Default 256 KiB; `usize::MAX` never does,
    /// which keeps a simulation deterministic.
    pub fn offload_threshold(mut self, bytes: usize) -> Self {
        self.options.offload_threshold = bytes;
        self
    }

    /// Proves who the client is with this credential instead of the profile's, which then needs no user and no key.
    pub fn credential(mut self, credential: impl Credential) -> Self {
        self.credential = Some(Arc::new(credential));
        self
    }

    /// How many requests of one [`ElasticChannel`](crate::ElasticChannel) are on their way at once. Default 4, at least 1.
    /// Named channels have one each.
    pub fn elastic_requests(mut self, requests: usize) -> Self {
        self.options.elastic_requests = requests.max(1);
        self
    }

    /// Sends over this transport instead of an [`HttpTransport`](crate::HttpTransport) with its defaults.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// Reads the wall clock here instead of the operating system's.
    pub fn time_source(mut self, time: impl TimeSource) -> Self {
        self.time = Arc::new(time);
        self
    }

    /// Seeds request ids and jitter, so that a simulation repeats itself. Default: from the operating system.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Checks everything, finds the ingest host and exchanges the first token.
    ///
    /// Cancel safe: nothing is left behind.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Config`]: the profile or an option is missing or malformed.
    /// - [`ErrorKind::Authentication`]: the key cannot be read, or the account refuses it.
    /// - Whatever keeps the server from answering, after a few tries.
    pub async fn build(self) -> Result<StreamingIngestClient> {
        let Self {
            profile,
            pipe,
            mut options,
            credential,
            transport,
            time,
            seed,
        } = self;
        if options.memory_budget < MIN_BUDGET {
            return Err(Error::new(
                ErrorKind::Config,
                format!(
                    "a memory budget of {} bytes is too small; give at least {MIN_BUDGET}",
                    options.memory_budget
                ),
            ));
        }
        if options.max_request_bytes < 128 << 10 {
            return Err(Error::new(
                ErrorKind::Config,
                format!(
                    "max_request_bytes of {} is too small; give at least 131072",
                    options.max_request_bytes
                ),
            ));
        }
        if !(1..=9).contains(&options.compression_level) {
            return Err(Error::new(
                ErrorKind::Config,
                format!(
                    "there is no compression level {}; give one from 1 to 9",
                    options.compression_level
                ),
            ));
        }
        for time in [
            &mut options.max_client_lag,
            &mut options.attempt_timeout,
            &mut options.retry_for,
            &mut options.commit_stall_timeout,
            &mut options.settle_timeout,
            &mut options.close_timeout,
        ] {
            *time = FAR.min(*time);
        }
        let half = options.memory_budget / 2;
        options.channel_memory = Some(
            options
                .channel_memory
                .unwrap_or(half)
                .clamp(half, options.memory_budget),
        );
        let config = ApiConfig {
            account_url: profile.account_url()?,
            account: profile.account().to_owned(),
            database: pipe.database().to_owned(),
            schema: pipe.schema().to_owned(),
            pipe: pipe.pipe().to_owned(),
            application: profile.application()?.map(str::to_owned),
            attempt_timeout: options.attempt_timeout,
        };
        let credential = match credential {
            Some(credential) => credential,
            None => profile.credential()?,
        };
        let transport = match transport {
            Some(transport) => transport,
            None => Arc::new(HttpTransport::builder().build()?),
        };
        let api = Api::new(config, credential, transport, Arc::clone(&time));
        let rng = seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        StreamingIngestClient::connect(api, options, pipe, time, rng).await
    }
}
