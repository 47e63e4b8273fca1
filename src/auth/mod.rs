//! Credentials: how a client logs in to the account host, and exchanges that login for a token scoped to the ingest host.
//!
//! By default a client uses the credential that its [`Profile`](crate::Profile) describes.
//! [`ClientBuilder::credential`](crate::ClientBuilder::credential) sets another, and
//! [`StreamingIngestClient::set_credential`](crate::StreamingIngestClient::set_credential) replaces it while the client runs.
//!
//! | Credential | What it sends | Grant of the exchange |
//! |---|---|---|
//! | [`KeyPair`] | a JWT signed with the user's RSA key | `jwt-bearer` |
//! | [`OAuth`] | an access token from Snowflake's or an external OAuth server | `token-exchange` |
//! | [`ProgrammaticAccessToken`] | the token itself | `token-exchange` |
//! | [`SpcsToken`] | the token in the file of Snowpark Container Services | `token-exchange` |
//! | [`WorkloadIdentity`] | the token with which a cloud or a cluster vouches for the workload | none |
//!
//! The exchange of a key pair follows "Snowpipe Streaming REST API endpoints"; the others were observed of the official SDK
//! 1.9.1. What [`WorkloadIdentity`] rests on is said there.
//!
//! For any other way to log in, implement [`Credential`]. This one gets its tokens from a vault:
//!
//! ```
//! use async_trait::async_trait;
//! use snowpipe_streaming::auth::{Bearer, Credential, CredentialContext, CredentialError};
//! # #[derive(Debug)]
//! # struct Vault;
//! # impl Vault { async fn access_token(&self) -> std::io::Result<String> { Ok("secret".into()) } }
//!
//! #[derive(Debug)]
//! struct FromVault(Vault);
//!
//! #[async_trait]
//! impl Credential for FromVault {
//!     async fn bearer(&self, _context: CredentialContext<'_>) -> Result<Bearer, CredentialError> {
//!         // Retried: the vault may be reachable again soon.
//!         let token = self.0.access_token().await.map_err(CredentialError::temporary)?;
//!         Ok(Bearer::new(token, "OAUTH"))
//!     }
//!
//!     fn role(&self) -> Option<&str> {
//!         Some("LOADER")
//!     }
//! }
//! # let bearer = Bearer::new("secret", "OAUTH");
//! # assert_eq!(FromVault(Vault).exchange_form(&bearer, "h")[1].1, "h session:role:LOADER");
//! ```

pub(crate) mod cache;
mod error;
pub(crate) mod flight;
pub(crate) mod keypair;
mod oauth;
mod oauth_answer;
mod pat;
mod private_key;
pub(crate) mod settings;
mod spcs;
mod token_file;
mod workload_identity;

#[cfg(test)]
mod keypair_tests;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use url::Url;

pub use self::error::CredentialError;
pub use self::keypair::KeyPair;
pub use self::oauth::OAuth;
pub use self::pat::ProgrammaticAccessToken;
pub use self::spcs::SpcsToken;
pub use self::workload_identity::WorkloadIdentity;
use crate::base::time::TimeSource;
use crate::http::Transport;
pub use crate::types::secret::Secret;
pub use crate::types::workload_identity::WorkloadIdentityProvider;

const KEYPAIR_JWT: &str = "KEYPAIR_JWT";
const OAUTH: &str = "OAUTH";
const PROGRAMMATIC_ACCESS_TOKEN: &str = "PROGRAMMATIC_ACCESS_TOKEN";
const WORKLOAD_IDENTITY_FEDERATION: &str = "WORKLOAD_IDENTITY_FEDERATION";

/// The value of `Authorization` for the account host. `Debug` omits the token.
#[derive(Debug, Clone)]
pub struct Bearer {
    pub(crate) token: Secret,
    pub(crate) token_type: Cow<'static, str>,
}

impl Bearer {
    /// Creates a bearer token. `token_type` is the value of `X-Snowflake-Authorization-Token-Type`: `KEYPAIR_JWT`, `OAUTH`,
    /// `PROGRAMMATIC_ACCESS_TOKEN` or `WORKLOAD_IDENTITY_FEDERATION`. If it is empty, the header is not sent.
    pub fn new(token: impl Into<Secret>, token_type: impl Into<Cow<'static, str>>) -> Self {
        Self {
            token: token.into(),
            token_type: token_type.into(),
        }
    }

    /// The token itself.
    pub fn token(&self) -> &Secret {
        &self.token
    }

    /// The value of `X-Snowflake-Authorization-Token-Type`.
    pub fn token_type(&self) -> &str {
        &self.token_type
    }
}

impl cache::Held {
    /// The token as a request carries it.
    pub(crate) fn bearer(&self) -> Bearer {
        Bearer::new(self.token.clone(), self.token_type)
    }
}

/// What a credential can use to get a token.
#[derive(Debug, Clone, Copy)]
pub struct CredentialContext<'a> {
    pub(crate) time: &'a dyn TimeSource,
    pub(crate) account_url: &'a Url,
    pub(crate) transport: &'a Arc<dyn Transport>,
    pub(crate) attempt_timeout: Duration,
}

impl<'a> CredentialContext<'a> {
    /// The current time. If the clocks of the account host and this machine differ, it is the host's time.
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

    /// The deadline of one network call.
    pub fn attempt_timeout(&self) -> Duration {
        self.attempt_timeout
    }
}

/// A way to log in to the account host.
#[async_trait]
pub trait Credential: fmt::Debug + Send + Sync + 'static {
    /// Returns a bearer token for the account host. The client calls this before each call to that host, so an implementation
    /// that fetches tokens should cache them.
    ///
    /// The client may drop the future before it completes, and does so after twice [`CredentialContext::attempt_timeout`].
    ///
    /// # Errors
    ///
    /// If there is no token: [`CredentialError::temporary`] or [`CredentialError::permanent`]. If the error
    /// [is retryable](CredentialError::is_retryable), rows wait and the client calls again. Otherwise channels are invalidated
    /// as [`Unauthorized`](crate::InvalidationCause::Unauthorized).
    async fn bearer(&self, context: CredentialContext<'_>) -> Result<Bearer, CredentialError>;

    /// The role of the scoped token. The default is `None`, which is the user's default role.
    fn role(&self) -> Option<&str> {
        None
    }

    /// Whether the client exchanges the bearer token for a token of the ingest host. The default is `true`. If it is `false`, the
    /// client sends the bearer token itself to the ingest host, without its type, and asks for the next one before the `exp` of a
    /// JWT, or after 55 minutes.
    fn is_exchanged(&self) -> bool {
        true
    }

    /// The form fields of the request that exchanges `bearer` for a token scoped to `ingest_host`, before percent-encoding. The
    /// client sends the bearer token in `Authorization`.
    ///
    /// The default follows from [`Bearer::token_type`] and [`role`](Self::role): the grant `jwt-bearer` for `KEYPAIR_JWT`, and
    /// `token-exchange` for `PROGRAMMATIC_ACCESS_TOKEN` and for any other type, which is exchanged as an OAuth access token.
    fn exchange_form(&self, bearer: &Bearer, ingest_host: &str) -> Vec<(&'static str, String)> {
        let scope = match self.role() {
            Some(role) => format!("{ingest_host} {}", session_role(role)),
            None => ingest_host.to_owned(),
        };
        let (grant_type, subject_token_type) = match bearer.token_type() {
            KEYPAIR_JWT => ("jwt-bearer", None),
            PROGRAMMATIC_ACCESS_TOKEN => ("token-exchange", Some("programmatic_access_token")),
            _ => (
                "token-exchange",
                Some("urn:ietf:params:oauth:token-type:access_token"),
            ),
        };
        let mut form = vec![
            (
                "grant_type",
                format!("urn:ietf:params:oauth:grant-type:{grant_type}"),
            ),
            ("scope", scope),
        ];
        form.extend(subject_token_type.map(|kind| ("subject_token_type", kind.to_owned())));
        form
    }

    /// Called when the account host refused a bearer token with 401. Returns whether [`bearer`](Self::bearer) may return a
    /// different token now; if so, the client calls it once more. The default is `false`.
    fn refused(&self, bearer: &Bearer) -> bool {
        let _ = bearer;
        false
    }
}

#[async_trait]
impl<C: Credential + ?Sized> Credential for Arc<C> {
    async fn bearer(&self, context: CredentialContext<'_>) -> Result<Bearer, CredentialError> {
        (**self).bearer(context).await
    }

    fn role(&self) -> Option<&str> {
        (**self).role()
    }

    fn is_exchanged(&self) -> bool {
        (**self).is_exchanged()
    }

    fn exchange_form(&self, bearer: &Bearer, ingest_host: &str) -> Vec<(&'static str, String)> {
        (**self).exchange_form(bearer, ingest_host)
    }

    fn refused(&self, bearer: &Bearer) -> bool {
        (**self).refused(bearer)
    }
}

fn session_role(role: &str) -> String {
    format!("session:role:{role}")
}
