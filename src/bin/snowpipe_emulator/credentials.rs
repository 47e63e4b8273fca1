//! OAuth clients and access tokens from the command line, the environment or files.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use clap::Args;
use snowpipe_streaming::auth::Secret;
use zeroize::Zeroizing;

use crate::named;

/// The options for OAuth clients and access tokens. Other users of the machine can read a command line, but neither the
/// environment nor a file with restricted permissions.
#[derive(Debug, Args)]
pub(crate) struct CredentialOptions {
    /// An OAuth client that may fetch access tokens with client credentials; may be given several times. Other users of the
    /// machine can read a command line: prefer the environment, with one client a line, or a file.
    #[arg(
        long,
        value_name = "ID:SECRET",
        env = "SNOWPIPE_EMULATOR_OAUTH_CLIENT",
        hide_env_values = true
    )]
    oauth_client: Vec<Secret>,

    /// A file of OAuth clients, one ID:SECRET a line; may be given several times.
    #[arg(long, value_name = "FILE")]
    oauth_client_file: Vec<PathBuf>,

    /// A programmatic access token that logs in; may be given several times. Other users of the machine can read a command
    /// line: prefer the environment, with one token a line, or a file.
    #[arg(
        long,
        value_name = "TOKEN",
        env = "SNOWPIPE_EMULATOR_ACCESS_TOKEN",
        hide_env_values = true
    )]
    access_token: Vec<Secret>,

    /// A file of programmatic access tokens, one a line; may be given several times.
    #[arg(long, value_name = "FILE")]
    access_token_file: Vec<PathBuf>,
}

/// The credentials from the options.
pub(crate) struct Credentials {
    /// The ids and secrets of OAuth clients.
    pub(crate) oauth_clients: Vec<(String, Secret)>,
    pub(crate) access_tokens: Vec<Secret>,
}

impl Credentials {
    pub(crate) fn is_empty(&self) -> bool {
        self.oauth_clients.is_empty() && self.access_tokens.is_empty()
    }
}

impl CredentialOptions {
    pub(crate) fn read(&self) -> Result<Credentials, Box<dyn Error>> {
        let clients = entries(
            "the OAuth clients",
            &self.oauth_client,
            &self.oauth_client_file,
        )?;
        let clients = clients.iter().map(oauth_client);
        let access_tokens = entries(
            "the access tokens",
            &self.access_token,
            &self.access_token_file,
        )?;
        Ok(Credentials {
            oauth_clients: clients.collect::<Result<_, _>>()?,
            access_tokens,
        })
    }
}

/// The lines of the options and of the files.
fn entries(what: &str, given: &[Secret], files: &[PathBuf]) -> Result<Vec<Secret>, Box<dyn Error>> {
    let mut entries = Vec::new();
    for text in given {
        entries.extend(lines(text.expose()));
    }
    for path in files {
        let text = fs::read_to_string(path).map_err(|why| named(what, path, &why))?;
        let text = Zeroizing::new(text);
        let before = entries.len();
        entries.extend(lines(&text));
        if entries.len() == before {
            return Err(format!("{what} {}: the file is empty", path.display()).into());
        }
    }
    Ok(entries)
}

fn lines(text: &str) -> impl Iterator<Item = Secret> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(Secret::from)
}

/// Splits `ID:SECRET`. The error does not contain the text, which may be the secret.
fn oauth_client(text: &Secret) -> Result<(String, Secret), &'static str> {
    match text.expose().split_once(':') {
        Some((id, secret)) if !id.is_empty() && !secret.is_empty() => {
            Ok((id.to_owned(), secret.into()))
        }
        _ => Err("an OAuth client is not ID:SECRET: write its id, a colon and its secret"),
    }
}
