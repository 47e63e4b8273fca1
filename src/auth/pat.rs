//! Programmatic access tokens, which `ALTER USER … ADD PROGRAMMATIC ACCESS TOKEN` creates.

use crate::types::secret::Secret;
use async_trait::async_trait;

use super::{Bearer, Credential, CredentialContext, CredentialError, PROGRAMMATIC_ACCESS_TOKEN};

/// A user's programmatic access token.
#[derive(Debug)]
pub struct ProgrammaticAccessToken {
    token: Secret,
    role: Option<String>,
}

impl ProgrammaticAccessToken {
    /// Creates a credential from a token, and a role if it is not the user's default role. A token that is restricted to a role
    /// works with that role only.
    pub fn new(token: impl Into<Secret>, role: Option<&str>) -> Self {
        Self {
            token: token.into(),
            role: role.map(str::to_owned),
        }
    }
}

#[async_trait]
impl Credential for ProgrammaticAccessToken {
    async fn bearer(&self, _context: CredentialContext<'_>) -> Result<Bearer, CredentialError> {
        Ok(Bearer::new(self.token.clone(), PROGRAMMATIC_ACCESS_TOKEN))
    }

    fn role(&self) -> Option<&str> {
        self.role.as_deref()
    }
}
