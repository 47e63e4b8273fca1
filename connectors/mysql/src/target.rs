//! Where the rows go: an emulator in this process with its tables in a SQLite file, or the account of a profile.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context as _, Result};
use snowpipe_connector_support::data_file::{self, create_parent};
use snowpipe_streaming::{PipePath, Profile, StreamingIngestClient};
use snowpipe_streaming_emulator::Server;
use tokio::task::spawn_blocking;

use crate::cli::TargetArgs;

pub(crate) struct Target {
    profile: Profile,
    /// The account, or the file with the emulator's tables.
    place: String,
    server: Option<Server>,
}

impl Target {
    /// Opens the target. An emulator gets the tables of the script.
    ///
    /// # Errors
    /// If the profile or the file cannot be used.
    pub(crate) async fn open(args: &TargetArgs, script: String) -> Result<Self> {
        match &args.profile {
            Some(source) => Self::profile(source),
            None => Self::emulator(&args.landing, script).await,
        }
    }

    /// An emulator with its tables in this file.
    ///
    /// # Errors
    /// If the file cannot be used.
    pub(crate) async fn emulator(landing: &Path, script: String) -> Result<Self> {
        create_parent(landing)?;
        let path = landing.to_owned();
        let emulator = spawn_blocking(move || data_file::emulator(&path, &script)).await??;
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::bind(emulator, any_port).await?;
        let place = landing.canonicalize().context("the landing is gone")?;
        Ok(Self {
            profile: server.profile()?,
            place: place.display().to_string(),
            server: Some(server),
        })
    }

    fn profile(source: &Path) -> Result<Self> {
        let profile = profile(source)?;
        Ok(Self {
            place: profile.account().to_ascii_uppercase(),
            profile,
            server: None,
        })
    }

    /// A unique name for this target.
    pub(crate) fn name(&self) -> &str {
        &self.place
    }

    /// A client, whose login the clients of other pipes share.
    ///
    /// # Errors
    /// If the server cannot be reached or refuses the credentials.
    pub(crate) async fn client(&self, pipe: PipePath) -> Result<StreamingIngestClient> {
        let builder = StreamingIngestClient::builder(self.profile.clone(), pipe);
        Ok(builder.build().await?)
    }

    /// Stops the emulator, if there is one, after it has committed all accepted rows.
    pub(crate) async fn close(self) {
        if let Some(server) = self.server {
            server.shutdown().await;
        }
    }
}

/// The profile of a file, or of the environment.
///
/// # Errors
/// If it is not valid.
pub(crate) fn profile(source: &Path) -> Result<Profile> {
    Ok(if source == Path::new("env") {
        Profile::from_env()?
    } else {
        Profile::from_file(source)?
    })
}
