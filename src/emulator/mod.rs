//! A local Snowpipe Streaming server for tests, examples, and programs without an account.
//!
//! [`Emulator::handle`] is the whole server: a request and the time in, a [`Reply`] out, without network I/O.
//! [`MemoryTransport`] connects a client in the same process without sockets.
//!
//! It keeps the rules of the service where they are published or were observed: continuation tokens and sequencers,
//! scoped tokens that expire, commits that come later and in batches, per-row rejects with counters and an error table,
//! limits. Where the service's answer is not known, it can play each candidate ([`answers`](crate::answers)). [`Faults`] make
//! things go wrong on purpose.
//!
//! The emulator is outside the semver promise: it follows the service, so any release may change what is in this module.
//!
//! The official Python SDK 1.9.1 runs on it as it is: with the feature `emulator-server` it speaks HTTPS (`Tls`), and it has
//! the stage that the SDK uploads files to.

mod admin;
mod auth;
mod builder;
mod catalog;
mod channels;
#[cfg(feature = "emulator-server")]
mod connector;
#[cfg(feature = "emulator-server")]
mod ddl;
mod instance;
mod memory;
mod messages;
mod protocol;
#[cfg(feature = "emulator-server")]
mod server;
#[cfg(feature = "emulator-server")]
mod sql;
#[cfg(feature = "emulator-server")]
mod sql_api;
#[cfg_attr(
    not(feature = "emulator-server"),
    expect(dead_code, reason = "only the server reads pages and changes tables")
)]
mod storage;

/// Tables and pipes.
pub mod tables {
    pub use super::catalog::cell::Cell;
    pub use super::catalog::columns::{Column, ColumnDefault, Computed};
    pub use super::catalog::object_name::ObjectName;
    pub use super::catalog::sequences::Sequence;
    pub use super::catalog::tables::{Catalog, Mapping, MatchBy, Pipe, Selected, Table};
    pub use super::catalog::transforms::Transform;
}

pub use self::builder::EmulatorBuilder;
pub use self::catalog::binary::BinaryFormat;
pub use self::catalog::coercion::DataType;
pub use self::catalog::row_error::RowError;
pub use self::channels::committed_rows::CommittedRows;
pub use self::channels::limits::Limits;
#[cfg(feature = "emulator-server")]
pub use self::ddl::statements::DdlError;
pub use self::instance::Emulator;
pub use self::memory::MemoryTransport;
pub use self::messages::answer::Reply;
pub use self::protocol::faults::{Fault, Faults, Rule};
#[cfg(feature = "__bench")]
pub(crate) use self::protocol::files::open_upload;
pub use self::protocol::request_head::RequestHead;
pub use self::protocol::request_log::LoggedRequest;
pub use self::protocol::routes::Endpoint;
#[cfg(feature = "emulator-server")]
pub use self::server::builder::ServerBuilder;
#[cfg(feature = "emulator-server")]
pub use self::server::serve::Server;
#[cfg(feature = "emulator-server")]
pub use self::server::server_limits::ServerLimits;
#[cfg(feature = "emulator-server")]
pub use self::server::tls::Tls;
#[cfg(feature = "emulator-server")]
pub use self::storage::data_file::DataFile;
pub use self::storage::interface::StorageError;
pub use self::storage::memory::MemoryStorage;
pub use self::storage::records::{ChannelRecord, RejectedRow};
#[cfg(feature = "emulator-server")]
pub use self::storage::sqlite_file::Ddl;

pub use crate::types::answers::ReplayedToken;

#[cfg(test)]
mod memory_tests;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod tests;
