//! The token that Snowpark Container Services put into a file of each container and change from time to time.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::{Bearer, Credential, CredentialContext, access_token_form};
use crate::types::error::{Error, ErrorKind, Result};

/// Longer than any token.
const MAX_BYTES: u64 = 64 << 10;

/// The token of a container's service, read from its file whenever the account host has to be asked something: a token that
/// was changed meanwhile is picked up. The role is the service's own.
#[derive(Debug)]
pub struct SpcsToken {
    path: PathBuf,
}

impl SpcsToken {
    /// Where the platform puts the token unless it is told otherwise.
    pub const DEFAULT_PATH: &str = "/snowflake/session/token";

    /// The token in this file. It is read at the first use.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

#[async_trait]
impl Credential for SpcsToken {
    async fn bearer(&self, _context: CredentialContext<'_>) -> Result<Bearer> {
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || read(&path));
        let token = read.await.map_err(|_| {
            Error::new(
                ErrorKind::ClientClosed,
                "the runtime shut down while a token was read",
            )
        })??;
        Ok(Bearer::new(token, "OAUTH"))
    }

    fn exchange_form(&self, ingest_host: &str) -> Vec<(&'static str, String)> {
        access_token_form(ingest_host, None)
    }

    fn refused(&self, _bearer: &Bearer) -> bool {
        true
    }
}

/// What is wrong with the file may be over once the platform has put the next token there.
fn read(path: &Path) -> Result<SecretString> {
    let unusable = |why: &str| {
        let message = format!(
            "the SPCS token file {} {why}; outside of Snowpark Container Services choose another authorization, inside check spcs_token_path and SNOWFLAKE_SPCS_TOKEN_PATH",
            path.display()
        );
        Error::new(ErrorKind::Authentication, message).with_retryable(true)
    };
    let mut text = Zeroizing::new(String::new());
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text))
        .map_err(|why| match why.kind() {
            io::ErrorKind::NotFound => unusable("is missing"),
            _ => unusable("cannot be read").with_source(why),
        })?;
    match text.trim() {
        "" => Err(unusable("is empty")),
        token => Ok(SecretString::from(token)),
    }
}
