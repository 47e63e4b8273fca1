//! The token that Snowpark Container Services write into a file of each container and replace from time to time.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::types::secret::Secret;
use async_trait::async_trait;
use zeroize::Zeroizing;

use super::{Bearer, Credential, CredentialContext, CredentialError, OAUTH};
use crate::types::error::{Error, ErrorKind, Result};

/// Longer than any token.
const MAX_BYTES: u64 = 64 << 10;

/// The token of a service in Snowpark Container Services. It is read from its file before each call to the account host, so a
/// replaced token takes effect. The role is the role of the service.
#[derive(Debug)]
pub struct SpcsToken {
    path: PathBuf,
}

impl SpcsToken {
    /// The default path of the token in a container.
    pub const DEFAULT_PATH: &str = "/snowflake/session/token";

    /// Creates a credential from the token in this file. The file is first read when a token is needed.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

#[async_trait]
impl Credential for SpcsToken {
    async fn bearer(&self, _context: CredentialContext<'_>) -> Result<Bearer, CredentialError> {
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || read(&path));
        let token = read.await.map_err(|_| {
            Error::new(
                ErrorKind::ClientClosed,
                "the runtime shut down while the token file was read",
            )
        })??;
        Ok(Bearer::new(token, OAUTH))
    }

    fn refused(&self, _bearer: &Bearer) -> bool {
        true
    }
}

/// Reads the token. Errors are retryable, because the platform may be replacing the file.
fn read(path: &Path) -> Result<Secret> {
    let unusable = |why: &str| {
        let message = format!(
            "the SPCS token file {} {why}; in Snowpark Container Services check spcs_token_path and SNOWFLAKE_SPCS_TOKEN_PATH, elsewhere choose another authorization_type",
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
        token => Ok(Secret::from(token)),
    }
}
