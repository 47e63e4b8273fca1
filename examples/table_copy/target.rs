//! The destination of the rows: a local emulator with its tables in a SQLite file, or the account of a profile.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::Result;
use snowpipe_connector_support::data_file;
use snowpipe_streaming::{PipePath, Profile, StreamingIngestClient};
use snowpipe_streaming_emulator::Server;
use tokio::task::spawn_blocking;

const SETUP: &str = include_str!("setup.sql");

/// The destination of the rows.
#[derive(Debug)]
pub(crate) struct Target {
    profile: Profile,
    pipe: PipePath,
    /// The account, or the file with the emulator's tables.
    place: String,
    /// The emulator's server; none for a profile.
    server: Option<Server>,
}

impl Target {
    /// An emulator with its tables in `landing`.
    ///
    /// # Errors
    /// If the file cannot be used.
    pub(crate) async fn emulator(landing: &Path) -> Result<Self> {
        let path = landing.to_owned();
        let emulator = spawn_blocking(move || data_file::emulator(&path, SETUP)).await??;
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::bind(emulator, any_port).await?;
        let profile = server.profile()?;
        Ok(Self {
            server: Some(server),
            place: landing.canonicalize()?.display().to_string(),
            ..Self::new(profile)?
        })
    }

    /// The account of a profile: a file, or `env` for the environment.
    ///
    /// # Errors
    /// If the profile is not valid.
    pub(crate) fn profile(source: &Path) -> Result<Self> {
        Self::new(if source == Path::new("env") {
            Profile::from_env()?
        } else {
            Profile::from_file(source)?
        })
    }

    fn new(profile: Profile) -> Result<Self> {
        let pipe = PipePath::for_table(
            profile.database().unwrap_or("SNOWPIPE_STREAMING"),
            profile.schema().unwrap_or("DEV"),
            "SF_CUSTOMER_RAW",
        )?;
        Ok(Self {
            place: profile.account().to_ascii_uppercase(),
            profile,
            pipe,
            server: None,
        })
    }

    /// A unique name for this target.
    pub(crate) fn name(&self) -> String {
        format!("{} in {}", self.pipe, self.place)
    }

    /// A description for people.
    ///
    /// # Errors
    /// If the profile has no address.
    pub(crate) fn describe(&self) -> Result<String> {
        let place = match self.server {
            Some(_) => "the local emulator at ",
            None => "",
        };
        let (database, schema) = (self.pipe.database(), self.pipe.schema());
        let url = self.profile.url()?;
        Ok(format!(
            "{database}.{schema}.SF_CUSTOMER_RAW on {place}{url}"
        ))
    }

    /// A profile that leads to the emulator, if there is one.
    #[cfg(test)]
    pub(crate) fn profile_json(&self) -> Option<String> {
        let server = self.server.as_ref()?;
        Some(server.emulator().profile_json(&server.url()))
    }

    /// A client for the target.
    ///
    /// # Errors
    /// If the server cannot be reached or refuses the credentials.
    pub(crate) async fn client(&self) -> Result<StreamingIngestClient> {
        let builder = StreamingIngestClient::builder(self.profile.clone(), self.pipe.clone());
        Ok(builder.build().await?)
    }

    /// Stops the emulator, if there is one, after it has committed all accepted rows.
    pub(crate) async fn close(self) {
        if let Some(server) = self.server {
            server.shutdown().await;
        }
    }
}
