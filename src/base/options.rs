//! The options of a client, with their defaults.

use std::time::Duration;

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
    /// Waits for them to be committed, at most this long, then fails with [`ErrorKind::UncommittedData`](crate::ErrorKind::UncommittedData).
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
            Self::Wait(patience) | Self::WaitThenDiscard(patience) => FAR_FUTURE.min(patience),
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
    /// fix surfaces as above: a batch refused for good, another writer who has come to stay, commits that stall twice.
    ///
    /// Rows are held until they are committed, so the memory budget has to cover them: see
    /// [`delivery`](crate::guide::delivery#how-large-the-memory-budget).
    Replay,
}

/// What becomes of a top-level key whose value is null.
///
/// In a VARIANT column a JSON null is kept as a VARIANT null, which is not SQL NULL; an omitted key takes the column's
/// default. Both are right for somebody. Nested nulls are always sent.
///
/// ```no_run
/// # use snowpipe_streaming::{Nulls, PipePath, Profile, StreamingIngestClient};
/// # async fn example(profile: Profile, pipe: PipePath) -> snowpipe_streaming::Result<()> {
/// let client = StreamingIngestClient::builder(profile, pipe).nulls(Nulls::Omit).build().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Nulls {
    /// The key is sent with `null`.
    #[default]
    Send,
    /// The key is left out.
    Omit,
}

/// What a named channel may send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) bytes_per_second: f64,
    pub(crate) requests_per_second: f64,
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

/// No limit, short enough to be added to any instant.
pub(crate) const FAR_FUTURE: Duration = Duration::from_secs(100 * 365 * 86_400);
