//! Programmatic access tokens, which `ALTER USER … ADD PROGRAMMATIC ACCESS TOKEN` creates.

use crate::types::secret::Secret;
use async_trait::async_trait;

use super::{Bearer, Credential, CredentialContext, TOKEN_EXCHANGE, scope};
use crate::types::error::Result;

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
    async fn bearer(&self, _context: CredentialContext<'_>) -> Result<Bearer> {
        Ok(Bearer::new(self.token.clone(), "PROGRAMMATIC_ACCESS_TOKEN"))
    }

    fn exchange_form(&self, ingest_host: &str) -> Vec<(&'static str, String)> {
        vec![
            ("grant_type", TOKEN_EXCHANGE.to_owned()),
            ("scope", scope(ingest_host, self.role.as_deref())),
            ("subject_token_type", "programmatic_access_token".to_owned()),
        ]
    }
}
