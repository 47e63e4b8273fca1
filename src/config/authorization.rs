//! How a profile proves who it is.

use std::path::PathBuf;

use secrecy::SecretString;

/// What authorization a profile asks for, with the settings of that kind. The key of [`KeyPair`](Self::KeyPair) is the
/// profile's own.
#[derive(Clone)]
pub(crate) enum Authorization {
    /// A JWT signed with the profile's private key.
    KeyPair,
    /// An access token from an OAuth server.
    OAuth(OAuthSettings),
    /// A programmatic access token.
    ProgrammaticAccessToken(SecretString),
    /// The token that Snowpark Container Services put into this file and change from time to time.
    SpcsToken(PathBuf),
}

/// Where an OAuth access token comes from.
#[derive(Clone)]
pub(crate) struct OAuthSettings {
    pub(crate) client_id: String,
    pub(crate) client_secret: SecretString,
    /// With one it is the refresh-token grant, without one the client-credentials grant.
    pub(crate) refresh_token: Option<SecretString>,
    /// An external server's token endpoint; without one it is the account's `/oauth/token-request`.
    pub(crate) token_endpoint: Option<String>,
    /// The scope as it is sent, instead of the one derived from the role.
    pub(crate) scope: Option<String>,
    /// Whether a scope is sent at all.
    pub(crate) include_scope: bool,
}
