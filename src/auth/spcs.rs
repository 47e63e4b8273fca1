//! The token that Snowpark Container Services write into a file of each container and replace from time to time.

use std::path::PathBuf;

use async_trait::async_trait;

use super::token_file::TokenFile;
use super::{Bearer, Credential, CredentialContext, CredentialError, OAUTH};

/// The token of a service in Snowpark Container Services. It is read from its file before each call to the account host, so a
/// replaced token takes effect. The role is the role of the service.
#[derive(Debug)]
pub struct SpcsToken(TokenFile);

impl SpcsToken {
    /// The default path of the token in a container.
    pub const DEFAULT_PATH: &str = "/snowflake/session/token";

    /// Creates a credential from the token in this file. The file is first read when a token is needed.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(TokenFile {
            path: path.into(),
            what: "SPCS token file",
            remedy: "in Snowpark Container Services check spcs_token_path and SNOWFLAKE_SPCS_TOKEN_PATH, elsewhere choose another authorization_type",
        })
    }
}

#[async_trait]
impl Credential for SpcsToken {
    async fn bearer(&self, _context: CredentialContext<'_>) -> Result<Bearer, CredentialError> {
        Ok(Bearer::new(self.0.read().await?, OAUTH))
    }

    fn refused(&self, _bearer: &Bearer) -> bool {
        true
    }
}
