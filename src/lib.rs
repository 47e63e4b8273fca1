//! Streams rows into Snowflake tables over the Snowpipe Streaming REST protocol.
//!
//! A [`StreamingIngestClient`] is connected to one pipe of one account. It opens [`Channel`]s, which are ordered writers. A
//! channel batches, compresses and sends the rows that are appended to it, retries when the network fails, and follows the rows
//! until they are committed:
//!
//! ```
//! use snowpipe_streaming::{PipePath, Profile, StreamingIngestClient};
//! # use snowpipe_streaming_emulator::Emulator;
//!
//! #[derive(serde::Serialize)]
//! #[serde(rename_all = "UPPERCASE")]
//! struct Ride { id: u64, lift: &'static str }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let emulator = Emulator::builder().build()?;
//! # let profile = emulator.profile()?;
//! # /*
//! let profile = Profile::from_file("profile.json")?;
//! # */
//! let pipe = PipePath::for_table("RESORT", "PUBLIC", "LIFT_RIDE")?;
//! let client = StreamingIngestClient::builder(profile, pipe)
//! #   .transport(emulator.transport())
//!     .build()
//!     .await?;
//! let mut rides = client.open_channel("rides-0").await?;
//! let next = rides.resume_after::<u64>()?.map_or(0, |last| last + 1);
//! let receipt = rides.append_row(&Ride { id: next, lift: "Elkhorn" }, next).await?;
//! receipt.committed().await?;
//! rides.close().await?;
//! # assert_eq!(emulator.rows("RESORT.PUBLIC.LIFT_RIDE")?.len(), 1);
//! client.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # States of a row
//!
//! A row is *appended* (in memory), *sealed* (compressed into a batch), *sent*, *accepted* (in the server's buffer, which may
//! lose it if the channel is reopened) and *committed* (in the table, or rejected and counted). Only committed is durable. A
//! channel is *open*, then *invalidated* or *closed*.
//!
//! # Where to look
//!
//! The [`guide`] is the book. To find a single thing:
//!
//! - Append: [`Channel::append_row`], [`append_rows`](Channel::append_rows), [`append_batch`](Channel::append_batch) for rows
//!   that are bytes already. They wait for memory, and for the compression if rows come faster than it is.
//! - Wait for commits: [`Receipt`], [`Commits`], [`Channel::wait_for_commit`].
//! - Run a job that ends when its rows are in: [`StreamingIngestClient::send_once`].
//! - Append rows without offsets, of a source that cannot be read again: [`StreamingIngestClient::open_untracked_channel`]; from
//!   many tasks, such as the handlers of a service: [`ChannelSender`].
//! - Stream into several tables with one login: [`StreamingIngestClient::for_pipe`].
//! - Write from many producers with nothing to resume from: [`ElasticChannel`], where accepted is durable and a row may be in
//!   the table twice.
//! - Stream a queue, a table or a log, with resuming and recovery included: [`ingest`].
//! - Resume: [`Channel::resume_after`], [`OffsetToken`], [`OnUncommitted`].
//! - Know the guarantees, state by state and fault by fault: [`guide::delivery`].
//! - Find the counterpart of a name of the official SDK: [`guide::coming_from_the_official_sdk`].
//! - Observe: [`StreamingIngestClient::metrics`], and the events of `tracing`.
//! - Handle errors: [`Error`], [`ErrorKind`], [`InvalidationCause`].
//! - Log in with something other than a key pair, and change credentials while running: [`auth`].
//! - Configure: [`Profile`], [`ClientBuilder`] and [`guide::configuration`].
//! - Choose limits and memory: [`guide::tuning`].
//! - Test without an account: the crate `snowpipe-streaming-emulator`.
//! - Find out why nothing streams: the command `snowpipe doctor`, the module `doctor` (feature `doctor`), and
//!   [`guide::command`].
//! - Query the tables: the feature `sql-api`, and the module `sql`.
//!
//! The client runs on tokio. It logs with `tracing`: at level debug each batch, at info each change of a channel's state, and at
//! warn only if data is at risk, nothing gets through for ten seconds, or this machine's clock is wrong.
//!
//! # Features
//!
//! - `rustls` (default): HTTPS.
//! - `connections`: profiles from the Snowflake CLI's `connections.toml` and `config.toml`.
//! - `sql-api`: statements over Snowflake's SQL API.
//! - `doctor`: the checks of `snowpipe doctor` as a function.
//! - `stream`: [`Commits`] as a `Stream`.
//!
//! # Stability
//!
//! Versions follow [Semantic Versioning](https://semver.org/spec/v2.0.0.html): before 1.0, a change that breaks programs raises the
//! second number. What may change in any version is not part of this promise.
//!
//! | Modules | Features | Stability |
//! |---|---|---|
//! | the root, [`append`], [`auth`], [`config`], [`elastic`], [`ingest`], [`metrics`], [`report`], [`time`], [`transport`] | none; `stream` for [`Commits`] as a `Stream` | semver |
//! | `sql` | `sql-api` | semver |
//! | `doctor` | `doctor` | semver, except the texts of a report |
//! | [`guide`] | none | documentation only |
//! | names that begin with `__`, hidden items | `__bench` | none |
//!
//! The texts of errors and log lines may change in any version. [`ErrorKind::as_str`] and [`InvalidationCause::as_str`] are for programs.

// On docs.rs each item of a feature says which one it takes.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod api;
pub mod auth;
mod base;
mod channel;
mod client;
mod compress;
pub mod config;
mod context;
#[cfg(feature = "doctor")]
pub mod doctor;
pub mod elastic;
pub mod guide;
mod http;
pub mod ingest;
#[cfg(feature = "__bench")]
#[doc(hidden)]
pub mod internals;
mod pipeline;
mod rows;
#[cfg(feature = "sql-api")]
pub mod sql;
mod types;

/// Appends: their futures, and what rows and offsets convert from.
pub mod append {
    pub use crate::channel::append::Append;
    pub use crate::channel::open::OpenChannel;
    #[doc(hidden)]
    pub use crate::channel::row_source::{BatchSource, Each, Encoded, Numbered, Plain, RowSource};
    pub use crate::compress::unit::check_row;
    pub use crate::rows::{IntoNdjson, RowBatchBuilder};
    pub use crate::types::offset::arguments::{IntoOffset, IntoOffsets};
}

/// What a client has done and holds, as numbers and for Prometheus.
pub mod metrics {
    pub use crate::base::metrics::{Metrics, RequestMetrics};
}

/// What is not committed when a channel closes.
pub mod report {
    pub use crate::types::close_report::{RowState, UncommittedRange};
}

/// The clock of a client, which a test can replace.
pub mod time {
    pub use crate::base::time::{SystemClock, TimeSource, TokioClock};
}

/// How requests reach the server: HTTP, or a [`Transport`](transport::Transport) of the caller.
///
/// Requests and responses are those of the crate `http`, their bodies are those of the crate `bytes`. Both crates are exported
/// here in the versions that this crate uses.
pub mod transport {
    pub use {bytes, http};

    pub use crate::http::{
        HttpTransport, HttpTransportBuilder, Request, Response, Transport, TransportError,
        TransportErrorKind,
    };
}

pub use self::base::options::{CommitEvidence, Keys, Nulls, OnUncommitted, Pacing, Recovery};
#[cfg(feature = "stream")]
pub use self::channel::commit_stream::CommitStream;
pub use self::channel::receipt::{Commits, Receipt};
pub use self::channel::sender::ChannelSender;
pub use self::channel::weak_sender::WeakChannelSender;
pub use self::channel::{Channel, Tracked, Untracked};
pub use self::client::StreamingIngestClient;
pub use self::client::builder::ClientBuilder;
pub use self::config::Profile;
pub use self::elastic::ElasticChannel;
pub use self::rows::{Columns, RowBatch};
pub use self::types::channel_status::ChannelStatus;
pub use self::types::close_report::CloseReport;
pub use self::types::error::{Error, ErrorKind, InvalidationCause, Result};
pub use self::types::job_report::JobReport;
pub use self::types::offset::OffsetToken;
pub use self::types::pipe::PipePath;
pub use self::types::reject_window::RejectWindow;
pub use self::types::uncommitted_rows::UncommittedRows;

/// The README's examples, compiled and run as they stand there.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
