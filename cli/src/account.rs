//! The options for the account, shared by all commands: profile, connection, certificates.

use std::path::PathBuf;
use std::time::Duration;

use jiff::SignedDuration;
use snowpipe_streaming::Profile;
use snowpipe_streaming::transport::{HttpTransport, HttpTransportBuilder};

use crate::Stop;

/// The options for the account.
#[derive(Debug, clap::Args)]
pub(crate) struct Account {
    /// A profile.json, .properties, or the .toml of the Snowflake CLI [default: the Snowflake CLI's configuration];
    /// the SNOWFLAKE_* variables fill its gaps
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,

    /// A connection of the Snowflake CLI instead of the default one
    #[arg(long, value_name = "NAME")]
    connection: Option<String>,

    /// Also trust the root certificates in this PEM file
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl Account {
    /// Loads the profile.
    pub(crate) fn profile(&self) -> snowpipe_streaming::Result<Profile> {
        let mut loader = Profile::loader();
        if let Some(file) = &self.profile {
            loader = loader.file(file);
        }
        if let Some(name) = &self.connection {
            loader = loader.connection(name);
        }
        loader.load()
    }

    /// Loads the profile, or ends the command with the reason.
    pub(crate) fn usable_profile(&self) -> Result<Profile, Stop> {
        self.profile().map_err(misused)
    }

    /// Builds the transport for this profile.
    pub(crate) fn transport(&self, profile: Option<&Profile>) -> Result<HttpTransport, Stop> {
        self.http(profile)?.build().map_err(misused)
    }

    /// How connections are made for this profile.
    pub(crate) fn http(&self, profile: Option<&Profile>) -> Result<HttpTransportBuilder, Stop> {
        let mut builder = HttpTransport::builder();
        let url = profile.and_then(|profile| profile.url().ok());
        // Plain HTTP is only for this machine, where no proxy is used.
        if url.is_some_and(|url| url.starts_with("http://")) {
            builder = builder.no_proxy();
        }
        if let Some(path) = &self.ca {
            builder = builder.add_root_certificate_file(path).map_err(misused)?;
        }
        Ok(builder)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn misused(error: snowpipe_streaming::Error) -> Stop {
    Stop::misused(error.to_string())
}

/// Parses a duration on the command line, such as `500ms` or `5s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const EXPECTED: &str = "a duration has a number and a unit, like 500ms, 90s or 5m";
    let duration: SignedDuration = text.parse().map_err(|_| EXPECTED.to_owned())?;
    Duration::try_from(duration).map_err(|_| EXPECTED.to_owned())
}
