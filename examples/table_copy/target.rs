//! Where the rows go: a local emulator whose tables are a SQLite file, or what a profile names.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result};
use snowpipe_streaming::emulator::{DataFile, Ddl, Emulator, Server};
use snowpipe_streaming::{PipePath, Profile, StreamingIngestClient};
use tokio::task::spawn_blocking;

const SETUP: &str = include_str!("setup.sql");

/// Where the rows go.
#[derive(Debug)]
pub(crate) struct Target {
    profile: Profile,
    pipe: PipePath,
    /// The account or, of our emulator, the file with its tables.
    place: String,
    /// The emulator's server, if it is ours.
    server: Option<Server>,
}

impl Target {
    /// The emulator, with its tables in `landing`.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub(crate) async fn emulator(landing: &Path) -> Result<Self> {
        let path = landing.to_owned();
        let open = move || DataFile::open(&path, &Ddl::Bootstrap(SETUP.to_owned()));
        let opened = spawn_blocking(open).await?;
        let tables =
            opened.with_context(|| format!("cannot use the landing {}", landing.display()))?;
        let emulator = Emulator::builder().data_file(tables).build()?;
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::bind(emulator, any_port).await?;
        let profile = Profile::from_json(&server.emulator().profile_json(&server.url()))?;
        Ok(Self {
            server: Some(server),
            place: landing.canonicalize()?.display().to_string(),
            ..Self::new(profile)?
        })
    }

    /// What a profile names: a file, or `env` for the environment.
    ///
    /// # Errors
    /// When there is something wrong with the profile.
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

    /// A name that no other target has.
    pub(crate) fn name(&self) -> String {
        format!("{} in {}", self.pipe, self.place)
    }

    /// The target in words.
    ///
    /// # Errors
    /// When the profile has no address.
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

    /// A profile that leads to the emulator, if it is ours.
    #[cfg(test)]
    pub(crate) fn profile_json(&self) -> Option<String> {
        let server = self.server.as_ref()?;
        Some(server.emulator().profile_json(&server.url()))
    }

    /// A client of it.
    ///
    /// # Errors
    /// When the server is out of reach or lets nobody in.
    pub(crate) async fn client(&self) -> Result<StreamingIngestClient> {
        let builder = StreamingIngestClient::builder(self.profile.clone(), self.pipe.clone());
        Ok(builder.build().await?)
    }

    /// Ends the emulator, if it is ours, after it has committed what it accepted.
    pub(crate) async fn close(self) {
        if let Some(server) = self.server {
            server.shutdown().await;
        }
    }
}
