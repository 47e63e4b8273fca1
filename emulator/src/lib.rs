//! A local Snowpipe Streaming server for tests, examples, and programs without an account.
//!
//! [`Emulator::handle`] is the whole server: a request and the time in, a [`Reply`] out, without network I/O.
//! [`MemoryTransport`] connects a client in the same process without sockets.
//!
//! It keeps the rules of the service where they are published or were observed: continuation tokens and sequencers,
//! scoped tokens that expire, commits that come later and in batches, per-row rejects with counters and an error table,
//! limits. Where the service's answer is not known, it can play each candidate ([`answers`]). [`Faults`] make things go wrong on
//! purpose.
//!
//! ```
//! use snowpipe_streaming::{PipePath, StreamingIngestClient};
//! use snowpipe_streaming_emulator::Emulator;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let emulator = Emulator::builder().build()?;
//! let pipe = PipePath::for_table("RESORT", "PUBLIC", "LIFT_RIDE")?;
//! let client = StreamingIngestClient::builder(emulator.profile()?, pipe)
//!     .transport(emulator.transport())
//!     .build()
//!     .await?;
//! let mut rides = client.open_channel("rides-0").await?;
//! rides.append_row(&serde_json::json!({"ID": 1, "LIFT": "Elkhorn"}), 1).await?;
//! rides.close().await?;
//! assert_eq!(emulator.rows("RESORT.PUBLIC.LIFT_RIDE")?.len(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! The [`guide`] has the rest.
//!
//! # Features
//!
//! - none: a server in memory, as a [`Transport`](snowpipe_streaming::transport::Transport) of a client.
//! - `server`: the same over HTTP and HTTPS, with tables from Snowflake DDL, rows in SQLite, SQL, and the program
//!   `snowpipe-emulator`. The official Python SDK 1.9.1 runs on it as it is: the server has the stage that the SDK uploads files to.
//!
//! # Stability
//!
//! The emulator follows the service: any version may change what it answers.

// On docs.rs each item of a feature says which one it takes.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod admin;
pub mod answers;
mod auth;
mod builder;
mod catalog;
mod channels;
#[cfg(feature = "server")]
mod connector;
#[cfg(feature = "server")]
mod ddl;
mod error;
pub mod guide;
mod instance;
mod memory;
mod messages;
mod profile;
mod protocol;
#[cfg(feature = "server")]
mod server;
#[cfg(feature = "server")]
mod sql;
#[cfg(feature = "server")]
mod sql_api;
#[cfg_attr(
    not(feature = "server"),
    expect(dead_code, reason = "only the server reads pages and changes tables")
)]
mod storage;

/// Tables and pipes.
pub mod tables {
    pub use crate::catalog::cell::Cell;
    pub use crate::catalog::columns::{Column, ColumnDefault, Computed};
    pub use crate::catalog::object_name::ObjectName;
    pub use crate::catalog::sequences::Sequence;
    pub use crate::catalog::tables::{Catalog, Mapping, MatchBy, Pipe, Selected, Table};
    pub use crate::catalog::transforms::Transform;
}

pub use self::builder::EmulatorBuilder;
pub use self::catalog::binary::BinaryFormat;
pub use self::catalog::coercion::DataType;
pub use self::catalog::row_error::RowError;
pub use self::channels::committed_rows::CommittedRows;
pub use self::channels::limits::Limits;
#[cfg(feature = "server")]
pub use self::ddl::statements::DdlError;
pub use self::error::{Error, ErrorKind, Result};
pub use self::instance::Emulator;
pub use self::memory::MemoryTransport;
pub use self::messages::answer::Reply;
pub use self::protocol::faults::{Fault, Faults, Rule};
#[cfg(feature = "__uploads")]
#[doc(hidden)]
pub use self::protocol::files::open_upload as __open_upload;
pub use self::protocol::request_head::RequestHead;
pub use self::protocol::request_log::LoggedRequest;
pub use self::protocol::routes::Endpoint;
#[cfg(feature = "server")]
pub use self::server::builder::ServerBuilder;
#[cfg(feature = "server")]
pub use self::server::serve::Server;
#[cfg(feature = "server")]
pub use self::server::server_limits::ServerLimits;
#[cfg(feature = "server")]
pub use self::server::tls::Tls;
#[cfg(feature = "server")]
pub use self::storage::data_file::DataFile;
pub use self::storage::interface::StorageError;
pub use self::storage::memory::MemoryStorage;
pub use self::storage::records::{ChannelRecord, RejectedRow};
#[cfg(feature = "server")]
pub use self::storage::sqlite_file::Ddl;

pub use crate::answers::ReplayedToken;

#[cfg(test)]
mod memory_tests;
#[cfg(test)]
mod mutated;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod tests;
