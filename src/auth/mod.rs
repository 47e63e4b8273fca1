//! Who a client is: the primary credential for the account host, which is exchanged for a token scoped to the ingest host.
//!
//! A [`Profile`](crate::Profile) makes the credential it describes. One made by hand is given to
//! [`ClientBuilder::credential`](crate::ClientBuilder::credential), and put in the place of another while the client runs
//! with [`StreamingIngestClient::set_credential`](crate::StreamingIngestClient::set_credential).
//!
//! | credential | what proves who we are | exchanged with the grant |
//! |---|---|---|
//! | [`KeyPair`] | a JWT signed with the user's RSA key | `jwt-bearer` |
//! | [`OAuth`] | an access token of Snowflake's or an external OAuth server | `token-exchange` |
//! | [`ProgrammaticAccessToken`] | the token itself | `token-exchange` |
//! | [`SpcsToken`] | the token in the file of Snowpark Container Services | `token-exchange` |
//!
//! The key pair's form is from "Snowpipe Streaming REST API endpoints", the others' are as observed of the official SDK
//! 1.9.1.
//!
//! A way that is not among them is a [`Credential`] of one's own, here for tokens that a vault hands out:
//!
//! ```
//! use async_trait::async_trait;
//! use snowpipe_streaming::auth::{Bearer, Credential, CredentialContext};
//! use snowpipe_streaming::{Error, Result};
//! # #[derive(Debug)]
//! # struct Vault;
//! # impl Vault { async fn access_token(&self) -> std::io::Result<String> { Ok("secret".into()) } }
//!
//! #[derive(Debug)]
//! struct FromVault(Vault);
//!
//! #[async_trait]
//! impl Credential for FromVault {
//!     async fn bearer(&self, _context: CredentialContext<'_>) -> Result<Bearer> {
//!         // The vault may be there again in a moment.
//!         let token = self.0.access_token().await.map_err(Error::no_token_yet)?;
//!         Ok(Bearer::new(token, "OAUTH"))
//!     }
//!
//!     fn exchange_form(&self, ingest_host: &str) -> Vec<(&'static str, String)> {
//!         vec![
//!             ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange".into()),
//!             ("scope", format!("{ingest_host} session:role:LOADER")),
//!             ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token".into()),
//!         ]
//!     }
//! }
//! # assert_eq!(FromVault(Vault).exchange_form("h")[1].1, "h session:role:LOADER");
//! ```

pub(crate) mod cache;
pub(crate) mod flight;
pub(crate) mod keypair;
mod oauth;
mod oauth_answer;
mod pat;
mod private_key;
pub(crate) mod settings;
mod spcs;

#[cfg(test)]
mod keypair_tests;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use secrecy::SecretString;
use url::Url;

pub use self::keypair::KeyPair;
pub use self::oauth::OAuth;
pub use self::pat::ProgrammaticAccessToken;
pub use self::spcs::SpcsToken;
use crate::base::time::TimeSource;
use crate::http::Transport;
use crate::types::error::Result;

const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// What goes into `Authorization` on the account host. The token never shows in `Debug`.
#[derive(Debug, Clone)]
pub struct Bearer {
    pub(crate) token: SecretString,
    pub(crate) token_type: Cow<'static, str>,
}

impl Bearer {
    /// A token, and what it is: the value of `X-Snowflake-Authorization-Token-Type`, which is `KEYPAIR_JWT`, `OAUTH` or
    /// `PROGRAMMATIC_ACCESS_TOKEN`.
    pub fn new(token: impl Into<SecretString>, token_type: impl Into<Cow<'static, str>>) -> Self {
        Self {
            token: token.into(),
            token_type: token_type.into(),
        }
    }

    /// The token itself.
    pub fn token(&self) -> &SecretString {
        &self.token
    }

    /// The value of `X-Snowflake-Authorization-Token-Type`.
    pub fn token_type(&self) -> &str {
        &self.token_type
    }
}

/// What a credential may need to make a token.
#[derive(Debug, Clone, Copy)]
pub struct CredentialContext<'a> {
    pub(crate) time: &'a dyn TimeSource,
    pub(crate) account_url: &'a Url,
    pub(crate) transport: &'a Arc<dyn Transport>,
    pub(crate) attempt_timeout: Duration,
}

impl<'a> CredentialContext<'a> {
    /// The time now. If the account host was found to have another clock than this machine, it is the host's.
    pub fn now(&self) -> SystemTime {
        self.time.now()
    }

    /// The account's URL, which ends with a slash.
    pub fn account_url(&self) -> &'a str {
        self.account_url.as_str()
    }

    /// The client's transport.
    pub fn transport(&self) -> &'a Arc<dyn Transport> {
        self.transport
    }

    /// How long one network call may take.
    pub fn attempt_timeout(&self) -> Duration {
        self.attempt_timeout
    }
}

/// A way to prove to the account host who we are.
#[async_trait]
pub trait Credential: fmt::Debug + Send + Sync + 'static {
    /// A bearer token for the account host. It is asked for before each call to that host: an implementation that fetches
    /// tokens keeps them.
    ///
    /// It may be dropped before it is done, and is after twice [`CredentialContext::attempt_timeout`].
    ///
    /// # Errors
    ///
    /// Whatever keeps it from making one: [`Error::no_token_yet`](crate::Error::no_token_yet) or
    /// [`Error::no_token`](crate::Error::no_token). If the error [is retryable](crate::Error::is_retryable), rows wait and it
    /// is asked again; if not, channels are invalidated as [`Unauthorized`](crate::InvalidationCause::Unauthorized).
    async fn bearer(&self, context: CredentialContext<'_>) -> Result<Bearer>;

    /// The form fields, not yet percent-encoded, that exchange the bearer token for one scoped to `ingest_host`. The
    /// bearer token itself goes along in `Authorization`.
    fn exchange_form(&self, ingest_host: &str) -> Vec<(&'static str, String)>;

    /// Hears that the account host refused a bearer token with 401, and says whether [`bearer`](Self::bearer) may give
    /// another one now. If so it is asked once more. By default it may not.
    fn refused(&self, bearer: &Bearer) -> bool {
        let _ = bearer;
        false
    }
}

#[async_trait]
impl<C: Credential + ?Sized> Credential for Arc<C> {
    async fn bearer(&self, context: CredentialContext<'_>) -> Result<Bearer> {
        (**self).bearer(context).await
    }

    fn exchange_form(&self, ingest_host: &str) -> Vec<(&'static str, String)> {
        (**self).exchange_form(ingest_host)
    }

    fn refused(&self, bearer: &Bearer) -> bool {
        (**self).refused(bearer)
    }
}

/// A scope for `ingest_host` under a role, or the user's default role.
fn scope(ingest_host: &str, role: Option<&str>) -> String {
    match role {
        Some(role) => format!("{ingest_host} {}", session_role(role)),
        None => ingest_host.to_owned(),
    }
}

fn session_role(role: &str) -> String {
    format!("session:role:{role}")
}

/// The form that exchanges an OAuth access token.
fn access_token_form(ingest_host: &str, role: Option<&str>) -> Vec<(&'static str, String)> {
    vec![
        ("grant_type", TOKEN_EXCHANGE.to_owned()),
        ("scope", scope(ingest_host, role)),
        (
            "subject_token_type",
            "urn:ietf:params:oauth:token-type:access_token".to_owned(),
        ),
    ]
}
