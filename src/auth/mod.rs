//! Who we are: the primary credential for the account host, and the scoped token it is exchanged for.

pub(crate) mod cache;
pub(crate) mod keypair;
mod private_key;

#[cfg(test)]
mod keypair_tests;

use std::fmt;
use std::time::SystemTime;

use async_trait::async_trait;
use secrecy::SecretString;

use crate::error::Result;

/// What goes into `Authorization` on the account host.
#[derive(Debug, Clone)]
pub(crate) struct Bearer {
    /// The token itself.
    pub(crate) token: SecretString,
    /// The value of `X-Snowflake-Authorization-Token-Type`, for example `KEYPAIR_JWT`.
    pub(crate) token_type: &'static str,
}

/// A way to prove who we are to the account host.
#[async_trait]
pub(crate) trait Credential: fmt::Debug + Send + Sync + 'static {
    /// A bearer token that is valid at `now`.
    async fn bearer(&self, now: SystemTime) -> Result<Bearer>;

    /// The form fields, not yet percent-encoded, that exchange it for a token scoped to `ingest_host`.
    fn exchange_form(&self, ingest_host: &str) -> Vec<(&'static str, String)>;
}
