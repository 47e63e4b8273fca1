//! Who we are: the primary credential for the account host, and the scoped token it is exchanged for.

pub(crate) mod cache;
pub(crate) mod keypair;
mod private_key;

#[cfg(test)]
mod keypair_tests;

use std::borrow::Cow;
use std::fmt;
use std::time::SystemTime;

use async_trait::async_trait;
use secrecy::SecretString;
use url::Url;

use crate::error::Result;
use crate::transport::Transport;

/// What goes into `Authorization` on the account host.
#[derive(Debug, Clone)]
pub struct Bearer {
    /// The token itself.
    pub(crate) token: SecretString,
    /// The value of `X-Snowflake-Authorization-Token-Type`, for example `KEYPAIR_JWT`.
    pub(crate) token_type: Cow<'static, str>,
}

/// What a credential may need to make a token.
#[derive(Debug, Clone, Copy)]
pub struct CredentialContext<'a> {
    pub(crate) now: SystemTime,
    pub(crate) account_url: &'a Url,
    pub(crate) transport: &'a dyn Transport,
}

/// A way to prove who we are to the account host.
#[async_trait]
pub trait Credential: fmt::Debug + Send + Sync + 'static {
    /// A bearer token for the account host.
    async fn bearer(&self, context: CredentialContext<'_>) -> Result<Bearer>;

    /// The form fields, not yet percent-encoded, that exchange it for a token scoped to `ingest_host`.
    fn exchange_form(&self, ingest_host: &str) -> Vec<(&'static str, String)>;
}
