//! The destination of the rows: the local emulator, or the account of a profile.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use snowpipe_connector_support::data_file::{self, Landed};
use snowpipe_connector_support::error_text::with_causes;
use snowpipe_streaming::sql::{SqlClient, TableName};
use snowpipe_streaming::time::{SystemClock, TimeSource};
use snowpipe_streaming::{ErrorKind, PipePath, Profile, StreamingIngestClient};
use snowpipe_streaming_emulator::{Emulator, MemoryTransport, Server};
use tokio::time::Instant;
use tracing::warn;

use crate::cli::{Args, ProfileSource};
use crate::files::Files;
use crate::misconfigured::Misconfigured;
use crate::table::{ID, Table};

/// The tables and pipes of the emulator, and of an account.
pub(crate) const SETUP: &str = include_str!("sql/setup.sql");
/// The database and the schema in it that `sql/setup.sql` makes.
const DEFAULT_NAMESPACE: &str = "STREAMING_INGEST";
/// How long to retry a server that cannot be reached, and the pause between two attempts.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(500);

/// The destination of the rows.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) route: Route,
    pub(crate) profile: Profile,
    pub(crate) pipes: BTreeMap<Table, PipePath>,
    pub(crate) max_client_lag: Duration,
    /// The file with the landed rows, if it is known.
    pub(crate) landing: Option<PathBuf>,
    /// Whether the landed rows are counted by SQL instead.
    pub(crate) verify_sql: bool,
    pub(crate) warehouse: Option<String>,
    /// The last reported connection failure; none after a success.
    pub(crate) reported: Mutex<Option<(ErrorKind, Option<u16>)>>,
}

/// How to reach the server.
#[derive(Debug)]
pub(crate) enum Route {
    /// Over the network, as the profile says.
    Profile,
    /// An emulator in this process, behind a loopback port.
    Loopback(Server),
    /// An emulator without a port.
    Memory {
        emulator: Emulator,
        clock: Arc<dyn TimeSource>,
    },
}

impl Target {
    /// The target of the command line. Starts the emulator unless there is a profile.
    ///
    /// # Errors
    /// [`Misconfigured`], or the corresponding error of the client, if the target cannot be used.
    pub(crate) async fn open(args: &Args, files: &Files) -> Result<Self> {
        let (route, profile, landing) = match &args.profile {
            None => {
                let server = emulator(files).await?;
                let json = server.emulator().profile_json(&server.url());
                let landing = Some(files.landing.clone());
                (Route::Loopback(server), Profile::from_json(&json)?, landing)
            }
            Some(source) => {
                let profile = match source {
                    ProfileSource::Environment => Profile::from_env()?,
                    ProfileSource::File(path) => Profile::from_file(path)?,
                };
                // Checks the URL now and not at the end of the run.
                profile.url()?;
                (Route::Profile, profile, args.landing.clone())
            }
        };
        if let Some(missing) = data_file::missing(landing.as_deref()) {
            return Err(Misconfigured::new(missing));
        }
        let mut pipes = BTreeMap::new();
        for table in Table::ALL {
            pipes.insert(table, pipe(args, &profile, table)?);
        }
        Ok(Self {
            route,
            profile,
            pipes,
            max_client_lag: args.max_client_lag,
            landing,
            verify_sql: args.verify_sql,
            warehouse: args.warehouse.clone(),
            reported: Mutex::default(),
        })
    }

    /// A short name: `emulator`, or the account's URL.
    pub(crate) fn name(&self) -> Result<String> {
        Ok(match self.route {
            Route::Profile => self.profile.url()?,
            Route::Loopback(_) | Route::Memory { .. } => "emulator".to_owned(),
        })
    }

    /// A name with the address.
    pub(crate) fn place(&self) -> Result<String> {
        let what = match self.route {
            Route::Profile => "",
            Route::Loopback(_) | Route::Memory { .. } => "the local emulator at ",
        };
        Ok(format!("{what}{}", self.profile.url()?))
    }

    /// A description in one line.
    pub(crate) fn describe(&self) -> Result<String> {
        let role = self.profile.role().map_or_else(
            || "the user's default role".to_owned(),
            |role| format!("role {role}"),
        );
        let pipes: Vec<_> = self.pipes.values().map(PipePath::pipe).collect();
        Ok(format!(
            "streaming to {}: account {}, user {}, {role}, database {}, pipes {}",
            self.place()?,
            self.profile.account(),
            self.profile.user().unwrap_or("unknown"),
            self.namespace(),
            pipes.join(", ")
        ))
    }

    /// The database and the schema, separated by a dot.
    pub(crate) fn namespace(&self) -> String {
        let first = self.pipes.values().next();
        first.map_or_else(String::new, |pipe| {
            format!("{}.{}", pipe.database(), pipe.schema())
        })
    }

    /// A client for a table's pipe. Retries for half a minute if the server cannot be reached.
    pub(crate) async fn client(&self, table: Table) -> Result<StreamingIngestClient> {
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        loop {
            match self.connect(table).await {
                Err(error) if error.is_retryable() && Instant::now() < deadline => {
                    // The tables connect at the same time, and usually fail for the same reason: report it once.
                    if self.is_new(Some((error.kind(), error.http_status()))) {
                        warn!(%error, "cannot connect yet: retrying for {CONNECT_TIMEOUT:?}");
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(error.into()),
                Ok(client) => {
                    self.is_new(None);
                    return Ok(client);
                }
            }
        }
    }

    /// Whether this failure differs from the last reported one.
    fn is_new(&self, failure: Option<(ErrorKind, Option<u16>)>) -> bool {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *reported, failure) != failure
    }

    async fn connect(&self, table: Table) -> snowpipe_streaming::Result<StreamingIngestClient> {
        let builder = StreamingIngestClient::builder(self.profile.clone(), self.pipe(table)?)
            .max_client_lag(self.max_client_lag);
        let builder = match self.transport() {
            Some(memory) => builder.transport(memory),
            None => builder,
        };
        builder.build().await
    }

    /// Counts the landed rows of a table and their TXIDs over the SQL API.
    pub(crate) async fn count(&self, table: Table) -> Result<Landed> {
        let pipe = self.pipe(table)?;
        let name = TableName::new(pipe.database(), pipe.schema(), table.name())?;
        let counts = self.sql()?.count(&name, Some(ID)).await?;
        Ok(Landed {
            rows: counts.rows,
            distinct: counts.distinct.unwrap_or_default(),
        })
    }

    /// A client for SQL statements.
    pub(crate) fn sql(&self) -> Result<SqlClient> {
        let pipe = self.pipe(Table::LiftRide)?;
        let profile = self.profile.clone();
        let profile = profile
            .with_database(pipe.database())
            .with_schema(pipe.schema());
        let mut sql = SqlClient::builder(profile);
        if let Some(warehouse) = &self.warehouse {
            sql = sql.warehouse(warehouse);
        }
        let sql = match self.transport() {
            Some(memory) => sql.transport(memory),
            None => sql,
        };
        Ok(sql.build()?)
    }

    fn pipe(&self, table: Table) -> snowpipe_streaming::Result<PipePath> {
        match self.pipes.get(&table) {
            Some(pipe) => Ok(pipe.clone()),
            None => PipePath::new(DEFAULT_NAMESPACE, DEFAULT_NAMESPACE, table.default_pipe()),
        }
    }

    /// The transport for requests; none for the client's own.
    fn transport(&self) -> Option<MemoryTransport> {
        match &self.route {
            Route::Profile | Route::Loopback(_) => None,
            Route::Memory { emulator, clock } => {
                Some(MemoryTransport::new(emulator.clone(), clock.clone()))
            }
        }
    }

    /// Stops the emulator's server, if there is one, after it has committed all accepted rows. Clients can still connect in
    /// memory, for the reconciliation.
    pub(crate) async fn settle(mut self) -> Self {
        if let Route::Loopback(server) = self.route {
            let emulator = server.emulator().clone();
            server.shutdown().await;
            self.route = Route::Memory {
                emulator,
                clock: Arc::new(SystemClock),
            };
        }
        self
    }
}

async fn emulator(files: &Files) -> Result<Server> {
    let path = files.landing.clone();
    let emulator = tokio::task::spawn_blocking(move || data_file::emulator(&path, SETUP))
        .await?
        .map_err(|error| Misconfigured::new(with_causes(error.as_ref())))?;
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Ok(Server::bind(emulator, any_port).await?)
}

/// The name of a table's pipe: from the flag, from the environment if the profile is from there, or the default.
fn pipe(args: &Args, profile: &Profile, table: Table) -> Result<PipePath> {
    let environment = || {
        let variable = format!("{}_NAME", table.default_pipe());
        std::env::var(variable).ok()
    };
    let from_environment = args.profile == Some(ProfileSource::Environment);
    let name = args
        .pipe(table)
        .map(str::to_owned)
        .or_else(|| from_environment.then(environment).flatten())
        .filter(|name| !name.trim().is_empty())
        .unwrap_or_else(|| table.default_pipe().to_owned());
    Ok(PipePath::new(
        profile.database().unwrap_or(DEFAULT_NAMESPACE),
        profile.schema().unwrap_or(DEFAULT_NAMESPACE),
        name,
    )?)
}
