//! A local Snowpipe Streaming server: for tests, for examples, and for programs without an account.
//!
//! [`Emulator::handle`] is the whole server: a request and the time in, a [`Reply`] out. It does no I/O of its own.
//! [`MemoryTransport`] lets a client in the same process talk to it without sockets.
//!
//! It keeps the rules of the service where they are published or were observed: continuation tokens and sequencers,
//! scoped tokens that expire, commits that come later and in batches, per-row rejects with counters and an error table,
//! limits. Where the service's answer is not known, it can play each candidate ([`ReplayedToken`]). [`Faults`] make
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
mod ddl;
mod memory;
mod messages;
mod protocol;
#[cfg(feature = "emulator-server")]
mod redefine;
#[cfg(feature = "emulator-server")]
mod server;
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
    pub use super::catalog::object_name::ObjectName;
    pub use super::catalog::tables::{
        Catalog, Column, ColumnDefault, Mapping, MatchBy, Pipe, Selected, Table,
    };
}

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

pub use self::builder::EmulatorBuilder;
pub use self::catalog::binary::BinaryFormat;
pub use self::catalog::coercion::DataType;
pub use self::channels::channel::ReplayedToken;
pub use self::channels::committed_rows::CommittedRows;
pub use self::channels::limits::Limits;
#[cfg(feature = "emulator-server")]
pub use self::ddl::statements::DdlError;
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
pub use self::server::serve::{Server, ServerLimits};
#[cfg(feature = "emulator-server")]
pub use self::server::tls::Tls;
#[cfg(feature = "emulator-server")]
pub use self::storage::data_file::DataFile;
pub use self::storage::interface::StorageError;
pub use self::storage::memory::MemoryStorage;
pub use self::storage::records::{ChannelRecord, RejectedRow};
#[cfg(feature = "emulator-server")]
pub use self::storage::sqlite_file::Ddl;

use self::catalog::object_name::ObjectName;
use self::catalog::tables::kept_as;
use self::protocol::handler::Handler;
use crate::types::error::{Error, ErrorKind, Result};

/// The server. A cheap handle: clones are the same server.
///
/// ```
/// use std::sync::Arc;
/// use snowpipe_streaming::emulator::{Emulator, MemoryTransport, tables::Catalog};
/// use snowpipe_streaming::{PipePath, Profile, StreamingIngestClient, SystemClock};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> snowpipe_streaming::Result<()> {
/// let emulator = Emulator::builder().catalog(Catalog::anything()).build()?;
/// let profile = Profile::from_json(&emulator.profile_json("http://127.0.0.1"))?;
/// let client = StreamingIngestClient::builder(profile, PipePath::new("DB", "PUBLIC", "RIDES")?)
///     .transport(MemoryTransport::new(emulator.clone(), Arc::new(SystemClock)))
///     .build()
///     .await?;
/// let mut channel = client.open_channel("rides-0").await?;
/// channel.append_row(&serde_json::json!({ "LIFT": "Elkhorn" }), 0).await?.committed().await?;
/// assert_eq!(emulator.rows("DB.PUBLIC.RIDES")?.len(), 1);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Emulator(Arc<Shared>);

struct Shared {
    handler: Mutex<Handler>,
    faults: Faults,
    account: String,
    user: String,
    private_key: SecretString,
    #[cfg(feature = "emulator-server")]
    statements: sql_api::statements::Statements,
}

impl Emulator {
    /// An emulator with every setting at its default.
    pub fn builder() -> EmulatorBuilder {
        EmulatorBuilder::new()
    }

    /// A fresh 2048-bit RSA key as unencrypted PKCS#8 PEM.
    ///
    /// # Errors
    ///
    /// When the system gives no random bytes.
    pub fn generate_key() -> Result<SecretString> {
        auth::keys::generate()
    }

    /// The public half, as PEM, of a private key that is an unencrypted PKCS#8 PEM.
    ///
    /// # Errors
    ///
    /// When the key cannot be read.
    pub fn public_key_of(private_key: &SecretString) -> Result<String> {
        auth::keys::PublicKey::of_private_pem(private_key)?.to_pem()
    }

    /// What the server does with `request` at `now`. First it commits what has become due.
    pub fn handle(&self, now: SystemTime, request: http::Request<Bytes>) -> Reply {
        #[cfg(feature = "emulator-server")]
        let request = self.with_statement_run(now, request);
        self.handler().handle(now, request).dated(now)
    }

    /// A statement takes its time, and others need not wait for it: it is run before the server's turn at the request.
    #[cfg(feature = "emulator-server")]
    fn with_statement_run(
        &self,
        now: SystemTime,
        mut request: http::Request<Bytes>,
    ) -> http::Request<Bytes> {
        if server::guard::is_sql(request.uri().path()) {
            let access = sql_api::statements::Access {
                statements: &self.0.statements,
                handler: &self.0.handler,
            };
            let answer = sql_api::statements::answer(&access, now, &request);
            request
                .extensions_mut()
                .insert(messages::answer::Prepared(answer));
        }
        request
    }

    /// Commits what is due at `now`. Only needed where nothing else asks: `handle` does it as well.
    pub fn advance(&self, now: SystemTime) {
        self.handler()
            .state
            .advance(crate::base::time::epoch_millis(now));
    }

    /// When the next commit is due, if anything is accepted and not committed.
    pub fn next_due(&self) -> Option<SystemTime> {
        let due = self.handler().state.next_due_ms()?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(due))
    }

    /// Commits everything accepted, due or not.
    pub fn commit_now(&self) {
        self.handler().state.commit_all();
    }

    /// What is to go wrong.
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// A profile for a client of this server at `url`, in the official SDK's JSON: account, user and the private key in
    /// the clear.
    pub fn profile_json(&self, url: &str) -> String {
        json!({
            "url": url,
            "account": self.0.account,
            "user": self.0.user,
            "private_key": self.0.private_key.expose_secret(),
        })
        .to_string()
    }

    /// The landed rows of a table, written `DATABASE.SCHEMA.TABLE`, in the order they landed: each an object by column.
    /// Binary is base64.
    ///
    /// # Errors
    ///
    /// When there is no such table or the storage fails.
    pub fn rows(&self, table: &str) -> Result<Vec<Value>> {
        let name = parsed(table)?;
        let mut handler = self.handler();
        let state = &mut handler.state;
        let Some(found) = state.catalog.table(&name) else {
            return Err(no_table(table));
        };
        let rows = state
            .storage
            .rows(kept_as(found, &name))
            .map_err(unreadable)?;
        Ok(rows.into_iter().map(|row| found.to_json(row)).collect())
    }

    /// The rejected rows of a table, written `DATABASE.SCHEMA.TABLE`, in the order they were rejected.
    ///
    /// # Errors
    ///
    /// When there is no such table or the storage fails.
    pub fn error_rows(&self, table: &str) -> Result<Vec<RejectedRow>> {
        let name = parsed(table)?;
        let mut handler = self.handler();
        let state = &mut handler.state;
        let Some(found) = state.catalog.table(&name) else {
            return Err(no_table(table));
        };
        let name = kept_as(found, &name);
        state.storage.error_rows(name).map_err(unreadable)
    }

    /// The first channel of this name, in any case and any pipe.
    pub fn channel(&self, name: &str) -> Option<ChannelRecord> {
        let handler = self.handler();
        let wanted = name.to_uppercase();
        let found = handler
            .state
            .channels()
            .find(|channel| channel.record.channel.to_uppercase() == wanted)?;
        Some(found.record.clone())
    }

    /// The last requests, oldest first; at most 10,000, and fewer if they name many channels.
    pub fn log(&self) -> Vec<LoggedRequest> {
        self.handler().log.entries().iter().cloned().collect()
    }

    /// The longest body on the wire that is not refused for its length.
    #[cfg(feature = "emulator-server")]
    fn most_request_bytes(&self) -> Option<usize> {
        self.handler().state.rules.limits.request_bytes
    }

    /// The longest upload that is not refused for its length.
    #[cfg(feature = "emulator-server")]
    fn most_file_bytes(&self) -> usize {
        self.handler().state.rules.limits.file_bytes
    }

    fn handler(&self) -> MutexGuard<'_, Handler> {
        self.0
            .handler
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emulator")
            .field("account", &self.0.account)
            .field("user", &self.0.user)
            .field("faults", &self.0.faults)
            .finish_non_exhaustive()
    }
}

/// `DATABASE.SCHEMA.NAME`, in upper case as Snowflake keeps names that were not quoted.
fn parsed(name: &str) -> Result<ObjectName> {
    let parts: Vec<String> = name.split('.').map(str::to_uppercase).collect();
    match <[String; 3]>::try_from(parts) {
        Ok([database, schema, name]) => Ok(ObjectName {
            database,
            schema,
            name,
        }),
        Err(_) => Err(Error::new(
            ErrorKind::Config,
            format!("{name:?} is not DATABASE.SCHEMA.TABLE"),
        )),
    }
}

fn no_table(name: &str) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("the emulator has no table {name}: name it in its DDL"),
    )
}

fn unreadable(why: StorageError) -> Error {
    Error::new(ErrorKind::Server, "the emulator's storage cannot be read").with_source(why)
}

#[cfg(test)]
mod tests;
