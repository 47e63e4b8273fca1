//! OAuth clients, access tokens and workload identities from the command line, the environment or files.

use std::error::Error;
use std::path::PathBuf;

use clap::Args;
use snowpipe_streaming::auth::{Secret, WorkloadIdentityProvider};

use crate::files::read_text;
use crate::named;

/// The options for OAuth clients, access tokens and workload identities. Other users of the machine can read a command line, but neither the
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

    /// A token with which a workload logs in, behind its provider AWS, AZURE, GCP or OIDC; may be given several times. Other users of
    /// the machine can read a command line: prefer the environment, with one token a line, or a file.
    #[arg(
        long,
        value_name = "PROVIDER:TOKEN",
        env = "SNOWPIPE_EMULATOR_WORKLOAD_IDENTITY",
        hide_env_values = true
    )]
    workload_identity: Vec<Secret>,

    /// A file of tokens of workloads, one PROVIDER:TOKEN a line; may be given several times.
    #[arg(long, value_name = "FILE")]
    workload_identity_file: Vec<PathBuf>,
}

/// The credentials from the options.
pub(crate) struct Credentials {
    /// The ids and secrets of OAuth clients.
    pub(crate) oauth_clients: Vec<(String, Secret)>,
    pub(crate) access_tokens: Vec<Secret>,
    pub(crate) workload_identities: Vec<(WorkloadIdentityProvider, Secret)>,
}

impl Credentials {
    pub(crate) fn is_empty(&self) -> bool {
        self.oauth_clients.is_empty()
            && self.access_tokens.is_empty()
            && self.workload_identities.is_empty()
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
        let workloads = entries(
            "the workload identities",
            &self.workload_identity,
            &self.workload_identity_file,
        )?;
        let workloads = workloads.iter().map(workload_identity);
        Ok(Credentials {
            oauth_clients: clients.collect::<Result<_, _>>()?,
            access_tokens,
            workload_identities: workloads.collect::<Result<_, _>>()?,
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
        let text = read_text(path).map_err(|why| named(what, path, &why))?;
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

/// Splits `PROVIDER:TOKEN`. The error does not contain the text, which may be the token.
fn workload_identity(text: &Secret) -> Result<(WorkloadIdentityProvider, Secret), &'static str> {
    let split = text.expose().split_once(':');
    let read = split.and_then(|(provider, token)| Some((provider.parse().ok()?, token)));
    match read {
        Some((provider, token)) if !token.is_empty() => Ok((provider, token.into())),
        _ => Err(
            "a workload identity is not PROVIDER:TOKEN: write AWS, AZURE, GCP or OIDC, a colon and the token",
        ),
    }
}
