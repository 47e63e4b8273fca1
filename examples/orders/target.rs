//! The destination of the rows: the emulator in this process, or the account of a profile.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use snowpipe_connector_support::data_file;
use snowpipe_streaming::sql::SqlClient;
use snowpipe_streaming::{PipePath, Profile, StreamingIngestClient};
use snowpipe_streaming_emulator::MemoryTransport;
use tempfile::TempDir;
use tracing::debug;

use crate::config::Config;
use crate::profile;
use crate::table::{Schema, Table};

/// The tables of the emulator, and of an account.
pub(crate) const SETUP: &str = include_str!("sql/setup.sql");
const DATABASE: &str = "AUTOMATED_INTELLIGENCE";

/// The destination of the rows.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) route: Route,
    pub(crate) profile: Profile,
    pub(crate) schema: Schema,
    /// The file in which the landed rows can be counted.
    pub(crate) landing: Option<PathBuf>,
}

/// The clients of the pipes.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    /// `None`: customers are not streamed.
    pub(crate) customers: Option<StreamingIngestClient>,
    pub(crate) orders: StreamingIngestClient,
    pub(crate) items: StreamingIngestClient,
}

impl Clients {
    /// A table's client, if rows are streamed to it.
    pub(crate) fn of(&self, table: Table) -> Option<&StreamingIngestClient> {
        match table {
            Table::Customers => self.customers.as_ref(),
            Table::Orders => Some(&self.orders),
            Table::OrderItems => Some(&self.items),
        }
    }

    /// Closes them. An error does not matter, because their channels are already closed.
    pub(crate) async fn close(self) {
        for client in [self.customers, Some(self.orders), Some(self.items)]
            .into_iter()
            .flatten()
        {
            if let Err(error) = client.close().await {
                debug!(%error, "the client did not close cleanly");
            }
        }
    }
}

/// How to reach the server.
#[derive(Debug)]
pub(crate) enum Route {
    /// Over the network, as the profile says.
    Profile,
    /// An emulator in this process.
    Memory {
        transport: MemoryTransport,
        /// The folder of its tables, if they are temporary.
        scratch: Option<TempDir>,
    },
}

impl Target {
    /// The account of a profile.
    ///
    /// # Errors
    /// If the profile cannot be used, or does not match the pipes of the configuration.
    pub(crate) fn account(path: &Path, config: &Config, landing: Option<PathBuf>) -> Result<Self> {
        let profile = profile::load(path)?;
        if let Some(missing) = data_file::missing(landing.as_deref()) {
            bail!(missing);
        }
        Ok(Self {
            route: Route::Profile,
            schema: schema(&profile, config)?,
            profile,
            landing,
        })
    }

    /// An emulator in this process with its tables in `landing`, or in a temporary file.
    ///
    /// # Errors
    /// If the file cannot be used.
    pub(crate) fn emulator(config: &Config, landing: Option<PathBuf>) -> Result<Self> {
        let (path, scratch) = if let Some(path) = landing {
            (path, None)
        } else {
            let scratch = TempDir::new().context("cannot create a folder for the tables")?;
            (scratch.path().join("landing.db"), Some(scratch))
        };
        let emulator = data_file::emulator(&path, SETUP)?;
        let profile = emulator.profile()?;
        Ok(Self {
            schema: schema(&profile, config)?,
            profile,
            route: Route::Memory {
                transport: emulator.transport(),
                scratch,
            },
            landing: Some(path),
        })
    }

    /// A short name: `the emulator`, or the account's URL.
    pub(crate) fn name(&self) -> Result<String> {
        Ok(match self.route {
            Route::Profile => self.profile.url()?,
            Route::Memory { .. } => "the emulator".to_owned(),
        })
    }

    /// A client that counts the rows in an account, if the profile has a warehouse for it.
    ///
    /// # Errors
    /// If the profile cannot be used.
    pub(crate) fn sql(&self) -> Result<Option<SqlClient>> {
        if matches!(self.route, Route::Memory { .. }) || self.profile.warehouse().is_none() {
            return Ok(None);
        }
        Ok(Some(SqlClient::builder(self.profile.clone()).build()?))
    }

    /// Whether the tables are kept for a later run.
    pub(crate) fn is_kept(&self) -> bool {
        !matches!(
            self.route,
            Route::Memory {
                scratch: Some(_),
                ..
            }
        )
    }

    /// A client for each of the pipes, shared by all instances. They share login, connections and memory.
    ///
    /// # Errors
    /// If the server cannot be reached, or refuses the credentials.
    pub(crate) async fn clients(&self, config: &Config) -> Result<Clients> {
        let orders = self.client(config).await?;
        let items = orders.for_pipe(self.pipe(&config.items.pipe)?);
        let customers = match &config.customers {
            Some(names) => Some(orders.for_pipe(self.pipe(&names.pipe)?)),
            None => None,
        };
        Ok(Clients {
            customers,
            orders,
            items,
        })
    }

    fn pipe(&self, name: &str) -> Result<PipePath> {
        Ok(PipePath::new(
            &self.schema.database,
            &self.schema.name,
            name,
        )?)
    }

    async fn client(&self, config: &Config) -> Result<StreamingIngestClient> {
        let pipe = self.pipe(&config.orders.pipe)?;
        let builder = StreamingIngestClient::builder(self.profile.clone(), pipe)
            .max_client_lag(config.max_client_lag)
            .attempt_timeout(config.request_timeout);
        let builder = match &self.route {
            Route::Profile => builder,
            Route::Memory { transport, .. } => builder.transport(transport.clone()),
        };
        Ok(builder.build().await?)
    }
}

/// The schema that the profile names; without one, the schema of the pipes.
///
/// # Errors
/// If profile and pipes contradict each other.
pub(crate) fn schema(profile: &Profile, config: &Config) -> Result<Schema> {
    let of_pipe = Schema::of_pipe(&config.orders.pipe);
    let schema = Schema {
        database: profile.database().unwrap_or(DATABASE).to_owned(),
        name: profile.schema().unwrap_or(of_pipe).to_owned(),
    };
    for pipe in config.tables().map(|(_, names)| &names.pipe) {
        if !schema.may_have(pipe) {
            bail!(
                "the pipe {pipe} of the configuration does not lead to a table of the schema {}: use the configuration \
                 for that schema, or a profile with another schema",
                schema.name
            );
        }
    }
    Ok(schema)
}
