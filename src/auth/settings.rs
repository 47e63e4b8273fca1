//! The settings of a credential, as a profile has them.

use secrecy::SecretString;

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
