//! The emulator: a handler behind a lock, and what a handle can do with it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde_json::{Value, json};
use snowpipe_streaming::auth::Secret;

use super::auth::keys::{self, PublicKey};
use super::catalog::object_name::ObjectName;
use super::catalog::tables::kept_as;
#[cfg(feature = "server")]
use super::channels::schema_change::SchemaChangeError;
#[cfg(feature = "server")]
use super::connector::over_sql_api;
#[cfg(feature = "server")]
use super::connector::requests::{self, Outcome};
#[cfg(feature = "server")]
use super::connector::sessions::Sessions;
#[cfg(feature = "server")]
use super::messages::answer::Prepared;
use super::messages::answer::Reply;
use super::protocol::faults::Faults;
use super::protocol::handler::Handler;
use super::protocol::request_log::LoggedRequest;
#[cfg(feature = "server")]
use super::protocol::routes::{is_connector, is_sql};
#[cfg(feature = "server")]
use super::sql_api::statements::{self, Access, Statements};
use super::storage::interface::StorageError;
use super::storage::records::{ChannelRecord, RejectedRow};
use crate::error::{Error, ErrorKind, Result};
use crate::messages::time::epoch_millis;

/// The emulated service. A cheap handle: clones are the same emulator.
///
/// ```
/// use std::sync::Arc;
/// use snowpipe_streaming_emulator::{Emulator, tables::Catalog};
/// use snowpipe_streaming::{PipePath, StreamingIngestClient};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let emulator = Emulator::builder().catalog(Catalog::anything()).build()?;
/// let profile = emulator.profile()?;
/// let client = StreamingIngestClient::builder(profile, PipePath::new("DB", "PUBLIC", "RIDES")?)
///     .transport(emulator.transport())
///     .build()
///     .await?;
/// let mut channel = client.open_channel("rides-0").await?;
/// channel.append_row(&serde_json::json!({ "LIFT": "Elkhorn" }), 0).await?.committed().await?;
/// assert_eq!(emulator.rows("DB.PUBLIC.RIDES")?.len(), 1);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Emulator(pub(crate) Arc<Shared>);

/// What all handles of an emulator share.
pub(crate) struct Shared {
    pub(crate) handler: Mutex<Handler>,
    pub(crate) faults: Faults,
    pub(crate) account: String,
    pub(crate) user: String,
    pub(crate) private_key: Secret,
    #[cfg(feature = "server")]
    pub(crate) statements: Arc<Statements>,
    #[cfg(feature = "server")]
    pub(crate) sessions: Arc<Sessions>,
}

impl Emulator {
    pub(crate) fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    /// A fresh 2048-bit RSA key as unencrypted PKCS#8 PEM.
    ///
    /// # Errors
    ///
    /// When the system gives no random bytes.
    pub fn generate_key() -> Result<Secret> {
        keys::generate()
    }

    /// The public half, as PEM, of a private key that is an unencrypted PKCS#8 PEM.
    ///
    /// # Errors
    ///
    /// When the key cannot be read.
    pub fn public_key_of(private_key: &Secret) -> Result<String> {
        PublicKey::of_private_pem(private_key)?.to_pem()
    }

    /// Handles `request` at the time `now`. Commits that are due come first.
    pub fn handle(&self, now: SystemTime, request: http::Request<Bytes>) -> Reply {
        #[cfg(feature = "server")]
        let request = self.with_statement_run(now, request);
        self.handler().handle(now, request).dated(now)
    }

    /// Runs the statement of a request before the server is locked, so that other requests do not wait for it.
    #[cfg(feature = "server")]
    fn with_statement_run(
        &self,
        now: SystemTime,
        mut request: http::Request<Bytes>,
    ) -> http::Request<Bytes> {
        let access = Access {
            statements: &self.0.statements,
            handler: &self.0.handler,
            now,
        };
        let path = request.uri().path();
        let outcome = if is_sql(path) {
            over_sql_api::prepare(&access, &request)
                .unwrap_or_else(|| Outcome::Answered(statements::answer(&access, &request)))
        } else if is_connector(path) {
            requests::prepare(&access, &self.0.sessions, &request)
        } else {
            return request;
        };
        match outcome {
            Outcome::Answered(answer) => {
                request.extensions_mut().insert(Prepared(answer));
            }
            Outcome::Deferred(work) => {
                request.extensions_mut().insert(work);
            }
        }
        request
    }

    /// Commits what is due at `now`. Only needed without requests, because `handle` does the same.
    pub fn advance(&self, now: SystemTime) {
        self.handler().state.advance(epoch_millis(now));
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

    /// The faults that are injected.
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
            "private_key": self.0.private_key.expose(),
        })
        .to_string()
    }

    /// The landed rows of a table, written `DATABASE.SCHEMA.TABLE`, in the order in which they landed: each an object by
    /// column. Binary is base64.
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

    /// The rejected rows of a table, written `DATABASE.SCHEMA.TABLE`, in the order in which they were rejected.
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

    /// Carries out a script on the existing tables and pipes: CREATE [OR REPLACE] and DROP, and INSERT of values and DELETE of all
    /// rows. A table that is replaced or dropped loses its rows. Its channels keep their names without a token: until they are opened
    /// again, what is appended to them is accepted and lost. An emulator that accepts every pipe has only the pipes of the script
    /// afterwards.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if the script is wrong, with its line and column, or if the emulator accepts every pipe and
    /// has channels; [`ErrorKind::Storage`] if the storage fails. Then nothing is changed.
    #[cfg(feature = "server")]
    pub fn apply_ddl(&self, script: &str) -> Result<()> {
        let done = self.handler().state.apply_ddl(script);
        done.map_err(|why| {
            let kind = match why {
                SchemaChangeError::Storage(_) => ErrorKind::Storage,
                _ => ErrorKind::Config,
            };
            Error::new(kind, why.to_string()).with_source(why)
        })
    }

    /// The longest accepted body, as sent.
    #[cfg(feature = "server")]
    pub(crate) fn most_request_bytes(&self) -> Option<usize> {
        self.handler().state.rules.limits.request_bytes
    }

    /// The longest accepted upload.
    #[cfg(feature = "server")]
    pub(crate) fn most_file_bytes(&self) -> usize {
        self.handler().state.rules.limits.file_bytes
    }

    pub(crate) fn handler(&self) -> MutexGuard<'_, Handler> {
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

fn parsed(name: &str) -> Result<ObjectName> {
    ObjectName::from_dotted(name).ok_or_else(|| {
        Error::new(
            ErrorKind::Config,
            format!("{name:?} is not DATABASE.SCHEMA.TABLE"),
        )
    })
}

fn no_table(name: &str) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("the emulator has no table {name}: name it in its DDL"),
    )
}

fn unreadable(why: StorageError) -> Error {
    Error::new(ErrorKind::Storage, "the emulator's storage cannot be read").with_source(why)
}
