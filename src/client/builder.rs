//! Options of a client, and the builder that takes them.

use std::sync::Arc;
use std::time::Duration;

use super::StreamingIngestClient;
use crate::api::{Api, ApiConfig};
use crate::auth::Credential;
use crate::base::options::{
    CommitEvidence, FAR_FUTURE, Keys, Nulls, OnUncommitted, Options, Pacing, Recovery,
};
use crate::base::time::{SystemClock, TimeSource};
use crate::config::Profile;
use crate::http::{HttpTransport, Transport};
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::pipe::PipePath;

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
#[derive(Debug, Clone)]
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
    /// The first row of a batch starts this timer, and there is no other one. A longer lag makes fewer and larger requests.
    pub fn max_client_lag(mut self, lag: Duration) -> Self {
        self.options.max_client_lag = lag;
        self
    }

    /// The bytes of rows, compressed or not, that all channels of the client may hold together. Default 128 MiB, at least
    /// 256 KiB. Appends wait while the budget is used up.
    pub fn memory_budget(mut self, bytes: usize) -> Self {
        self.options.memory_budget = bytes;
        self
    }

    /// The bytes of rows that one channel may hold: from a quarter of the memory budget to all of it. Default half. Several channels
    /// whose rows the server does not take hold less each, and leave a part of the budget to the others.
    pub fn channel_memory(mut self, bytes: usize) -> Self {
        self.options.channel_memory = Some(bytes);
        self
    }

    /// The largest compressed request, in bytes. Default 4,194,304, which the service accepts; it refuses one byte more (observed:
    /// supabase/etl, `tests/snowflake/large_rows.rs`). If the server refuses a smaller request (413), the client lowers the limit.
    pub fn max_request_bytes(mut self, bytes: usize) -> Self {
        self.options.max_request_bytes = bytes;
        self
    }

    /// The zstd level of requests, from 1 to 9. Default 1, which costs the least. If the network is slower than the processor,
    /// level 3 makes smaller requests for about twice the work.
    pub fn compression_level(mut self, level: i32) -> Self {
        self.options.compression_level = level;
        self
    }

    /// The deadline of a single network call. Default 60 seconds. One request of rows, of up to
    /// [`max_request_bytes`](Self::max_request_bytes), has to pass the uplink in this time.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.options.attempt_timeout = timeout;
        self
    }

    /// How long a batch is retried, and how long status calls for accepted rows may fail, before the channel is invalidated as
    /// unreachable. An elastic channel hands the rows back. Default ten minutes.
    pub fn retry_for(mut self, duration: Duration) -> Self {
        self.options.retry_for = duration;
        self
    }

    /// How long an append waits for memory before it fails with [`ErrorKind::Backpressure`]. Default: no limit.
    pub fn append_timeout(mut self, timeout: Duration) -> Self {
        self.options.append_timeout = Some(timeout);
        self
    }

    /// How long a reopen waits for a pipe that the server does not know any more. Default 180 seconds.
    ///
    /// A table that is dropped and created again under its name cannot be streamed to at once: an open fails, in tests of others
    /// for up to three minutes (`estuary/connectors`, `materialize-snowflake/streamv2_test.go`). This time is for opens of a client
    /// that has opened a channel of the pipe before, for `Recovery::Replay`, and for [`ingest`](crate::ingest) if its source has
    /// released rows. Any other open of a pipe that does not exist fails at once.
    pub fn missing_pipe_timeout(mut self, timeout: Duration) -> Self {
        self.options.missing_pipe_timeout = timeout;
        self
    }

    /// How long statuses may show no commit of accepted rows before the channel is invalidated. The time during which status
    /// calls fail does not count. Default 300 seconds, because the first commit of a new table can take 90 seconds.
    pub fn commit_stall_timeout(mut self, timeout: Duration) -> Self {
        self.options.commit_stall_timeout = timeout;
        self
    }

    /// How long an invalidated channel is still polled to learn which of its sent rows were committed. Default 90 seconds, the
    /// longest commit that is known. A reopen decides earlier.
    pub fn settle_timeout(mut self, timeout: Duration) -> Self {
        self.options.settle_timeout = timeout;
        self
    }

    /// How long closing a channel, or draining a dropped one, may take. Default 120 seconds.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.options.close_timeout = timeout;
        self
    }

    /// How requests are spaced. Default [`Pacing::Named`].
    pub fn pacing(mut self, pacing: Pacing) -> Self {
        self.options.pacing = pacing;
        self
    }

    /// Whether top-level nulls are sent. Default [`Nulls::Send`].
    pub fn nulls(mut self, nulls: Nulls) -> Self {
        self.options.encoding.nulls = nulls;
        self
    }

    /// How the top-level keys of rows are written. Default [`Keys::AsIs`].
    pub fn keys(mut self, keys: Keys) -> Self {
        self.options.encoding.keys = keys;
        self
    }

    /// What to do about uncommitted rows of an earlier holder. An open may override it.
    pub fn on_uncommitted(mut self, policy: OnUncommitted) -> Self {
        self.options.on_uncommitted = policy;
        self
    }

    /// What shows that accepted rows are committed. Default [`CommitEvidence::RowCounts`].
    pub fn commit_evidence(mut self, evidence: CommitEvidence) -> Self {
        self.options.commit_evidence = evidence;
        self
    }

    /// What to do with channels that have to be reopened. Default [`Recovery::Surface`] for channels with offset tokens and
    /// [`Recovery::Replay`] for untracked ones. A channel may choose otherwise: [`OpenChannel::recovery`](crate::append::OpenChannel::recovery).
    pub fn recovery(mut self, recovery: Recovery) -> Self {
        self.options.recovery = Some(recovery);
        self
    }

    /// Sends smaller requests, one at a time, for a while after the server rejected rows, so that the next
    /// [`RejectWindow`](crate::RejectWindow) is narrower. Default off.
    pub fn isolate_rejects(mut self, isolate: bool) -> Self {
        self.options.isolate_rejects = isolate;
        self
    }

    /// The size from which batches are compressed off the async threads, in bytes. Default 256 KiB. With `usize::MAX` none is,
    /// which keeps a simulation deterministic.
    pub fn offload_threshold(mut self, bytes: usize) -> Self {
        self.options.offload_threshold = bytes;
        self
    }

    /// Authenticates with this credential instead of the profile's. The profile then needs no user and no key.
    pub fn credential(mut self, credential: impl Credential) -> Self {
        self.credential = Some(Arc::new(credential));
        self
    }

    /// The number of concurrent requests of one [`ElasticChannel`](crate::ElasticChannel). Default 4, at least 1. A named
    /// channel has one at a time.
    pub fn elastic_requests(mut self, requests: usize) -> Self {
        self.options.elastic_requests = requests;
        self
    }

    /// Sends over this transport instead of an [`HttpTransport`](crate::transport::HttpTransport) with its defaults.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// Reads the wall clock from this source instead of the operating system.
    pub fn time_source(mut self, time: impl TimeSource) -> Self {
        self.time = Arc::new(time);
        self
    }

    /// Seeds request ids and jitter, so that a simulation is reproducible. Default: seeded by the operating system.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Checks the options, discovers the ingest host and exchanges the first token.
    ///
    /// Cancel safe: a cancelled call has no effect.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Config`]: the profile or an option is missing or malformed.
    /// - [`ErrorKind::Authentication`]: the key cannot be read, or the account refuses it.
    /// - The error of a call that still fails after a few attempts.
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
        if options.attempt_timeout.is_zero() {
            return Err(Error::new(
                ErrorKind::Config,
                "an attempt_timeout of zero lets no call succeed; give a longer one",
            ));
        }
        if options.elastic_requests == 0 {
            return Err(Error::new(
                ErrorKind::Config,
                "with elastic_requests of 0 nothing is sent; give at least 1",
            ));
        }
        let channel_memory = options.channel_memory.unwrap_or(options.memory_budget / 2);
        // A quarter is the longest row.
        let least = options.memory_budget.div_ceil(4);
        if !(least..=options.memory_budget).contains(&channel_memory) {
            return Err(Error::new(
                ErrorKind::Config,
                format!(
                    "channel_memory of {channel_memory} is not between a quarter of the memory budget and all of it; give {least} to {}",
                    options.memory_budget
                ),
            ));
        }
        options.channel_memory = Some(channel_memory);
        for time in [
            &mut options.max_client_lag,
            &mut options.attempt_timeout,
            &mut options.retry_for,
            &mut options.missing_pipe_timeout,
            &mut options.commit_stall_timeout,
            &mut options.settle_timeout,
            &mut options.close_timeout,
        ] {
            *time = FAR_FUTURE.min(*time);
        }
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
