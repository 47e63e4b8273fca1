//! The options of a client and their defaults.

use std::time::Duration;

/// The rate limit of a channel's requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Pacing {
    /// Snowflake's limits of a named channel: 20 MB/s uncompressed and 10 requests/s, with a burst of one second ("Snowpipe
    /// Streaming high-performance: limitations").
    #[default]
    Named,
    /// No limit; for tests and benchmarks.
    Off,
}

/// What an open does if rows of an earlier holder of the channel are accepted and not yet committed.
///
/// Opening a channel discards uncommitted rows. If this program sent them and can read its source again from the committed
/// token, nothing is lost. Rows of another program are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnUncommitted {
    /// Waits at most this long for the commits, then fails with
    /// [`ErrorKind::UncommittedData`](crate::ErrorKind::UncommittedData).
    Wait(Duration),
    /// Waits at most this long for the commits, then discards the rest.
    WaitThenDiscard(Duration),
    /// Discards the rows at once.
    Discard,
}

impl OnUncommitted {
    /// How long to wait for commits.
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

/// What happens to a channel that has to be reopened.
///
/// The default is `Surface` for a channel whose rows carry offset tokens, because its caller can read them again, and `Replay`
/// for an untracked channel, because nobody can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recovery {
    /// The channel is invalidated: appends and receipts return the cause, and the caller reopens the channel and appends again
    /// from the committed token. Rows are held until they are accepted.
    Surface,
    /// The client reopens the channel and sends exactly what is not committed. Receipts stay valid. Failures that this cannot
    /// resolve surface as above: a batch that is refused permanently, another writer that stays, commits that stall twice.
    ///
    /// Rows are held until they are committed, so the memory budget has to cover them: see
    /// [`tuning`](crate::guide::tuning#memory).
    Replay,
}

/// What shows that accepted rows are committed.
///
/// ```no_run
/// # use snowpipe_streaming::{CommitEvidence, PipePath, Profile, StreamingIngestClient};
/// # async fn example(profile: Profile, pipe: PipePath) -> snowpipe_streaming::Result<()> {
/// // The select of this pipe has a WHERE, and rows that it leaves out are not counted.
/// let client = StreamingIngestClient::builder(profile, pipe)
///     .commit_evidence(CommitEvidence::Token)
///     .build()
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CommitEvidence {
    /// The committed token covers the rows, and the channel's counters of inserted and rejected rows account for them. A
    /// service may show the token some seconds before the counters; until then it is not known whether rows were rejected.
    ///
    /// If the counters account for fewer rows than the token covers for
    /// [`commit_stall_timeout`](crate::ClientBuilder::commit_stall_timeout), the channel ends with
    /// [`OffsetConflict`](crate::InvalidationCause::OffsetConflict): rows that were accepted are not in the table. Counters
    /// that do not move at all for 30 seconds after a commit are ignored. See
    /// [`delivery`](crate::guide::delivery#tokens-and-counters).
    #[default]
    RowCounts,
    /// The committed token alone. For pipes that leave rows out (WHERE in the select, a private preview), and for programs
    /// that have to know the token as soon as it moves. A rejected row may be counted after its receipt has resolved.
    Token,
}

/// What happens to top-level keys whose value is null.
///
/// A JSON null in a VARIANT column is stored as a VARIANT null, which is not SQL NULL. An omitted key takes the column's
/// default. Nested nulls are always sent.
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
    /// The key is omitted.
    Omit,
}

/// How the top-level keys of rows are written, which are the names of columns.
///
/// A table's columns have names in upper case unless its statement quotes them. A pipe with
/// `MATCH_BY_COLUMN_NAME = CASE_SENSITIVE` finds no column for the key `lift`, and stores the row without it, as NULL. The default
/// pipe of a table matches names in any case.
///
/// ```
/// # use snowpipe_streaming_emulator::Emulator;
/// # use snowpipe_streaming::{Keys, PipePath, StreamingIngestClient};
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let emulator = Emulator::builder().build()?;
/// # let profile = emulator.profile()?;
/// #[derive(serde::Serialize)]
/// struct Ride { id: u64, lift: &'static str }
///
/// let pipe = PipePath::for_table("RESORT", "PUBLIC", "LIFT_RIDE")?;
/// let client = StreamingIngestClient::builder(profile, pipe)
/// #   .transport(emulator.transport())
///     .keys(Keys::Uppercase)
///     .build()
///     .await?;
/// let mut channel = client.open_channel("rides-0").await?;
/// channel.append_row(&Ride { id: 1, lift: "north" }, 1).await?.committed().await?;
/// let rows = emulator.rows("RESORT.PUBLIC.LIFT_RIDE")?;
/// assert_eq!(rows[0]["ROW"]["LIFT"], "north");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Keys {
    /// As the row has them.
    #[default]
    AsIs,
    /// With upper-case ASCII letters. Two keys of a row that are equal then are an invalid row. Rows that are JSON bytes already
    /// keep their keys.
    Uppercase,
}

/// How rows are encoded.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Encoding {
    pub(crate) nulls: Nulls,
    pub(crate) keys: Keys,
}

/// The rate limits of a named channel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) bytes_per_second: f64,
    pub(crate) requests_per_second: f64,
}

/// All options of a client.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) max_client_lag: Duration,
    pub(crate) memory_budget: usize,
    pub(crate) channel_memory: Option<usize>,
    pub(crate) max_request_bytes: usize,
    /// The most bytes of rows in a batch, unless it is a single unit.
    pub(crate) max_uncompressed: usize,
    pub(crate) attempt_timeout: Duration,
    pub(crate) retry_for: Duration,
    pub(crate) append_timeout: Option<Duration>,
    pub(crate) missing_pipe_timeout: Duration,
    pub(crate) commit_stall_timeout: Duration,
    pub(crate) settle_timeout: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) pacing: Pacing,
    pub(crate) encoding: Encoding,
    pub(crate) on_uncommitted: OnUncommitted,
    /// `None`: as suits the kind of the channel.
    pub(crate) recovery: Option<Recovery>,
    pub(crate) commit_evidence: CommitEvidence,
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
            max_request_bytes: 4 << 20,
            max_uncompressed: 16 << 20,
            attempt_timeout: Duration::from_secs(60),
            retry_for: Duration::from_secs(600),
            append_timeout: None,
            missing_pipe_timeout: Duration::from_secs(180),
            // Commits of a table that was streamed to before took up to 9 s (`estuary/connectors` 4933), the first ones of a new
            // table 20 to 90 s (`supabase/etl`, tests/snowflake/stream_client.rs).
            commit_stall_timeout: Duration::from_secs(300),
            settle_timeout: Duration::from_secs(90),
            close_timeout: Duration::from_secs(120),
            pacing: Pacing::Named,
            encoding: Encoding::default(),
            on_uncommitted: OnUncommitted::default(),
            recovery: None,
            commit_evidence: CommitEvidence::default(),
            isolate_rejects: false,
            offload_threshold: 256 << 10,
            compression_level: 1,
            elastic_requests: 4,
        }
    }
}

impl Options {
    /// A unit of at most this many bytes fits into a request whatever its content, because zstd grows incompressible data by
    /// less than the margin.
    pub(crate) fn always_fits(&self) -> usize {
        self.max_request_bytes.saturating_sub(64 << 10)
    }

    /// The largest unit, in bytes. A quarter of the memory budget always fits into a channel's share, which is at least half of it.
    /// The service documents no limit but that of a request, and takes a VARCHAR of 16,777,216 characters (observed: supabase/etl,
    /// `tests/snowflake/large_rows.rs`).
    pub(crate) fn max_unit(&self) -> usize {
        (self.memory_budget / 4).min(LARGEST_UNIT)
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

/// The budget charges at most 4 GiB at once.
const LARGEST_UNIT: usize = 2 << 30;

/// Stands for no limit, and is short enough to be added to any instant.
pub(crate) const FAR_FUTURE: Duration = Duration::from_secs(100 * 365 * 86_400);
