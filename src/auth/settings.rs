//! The settings of a credential in a profile.

use crate::types::secret::Secret;

/// The OAuth settings of a profile.
#[derive(Clone)]
pub(crate) struct OAuthSettings {
    pub(crate) client_id: String,
    pub(crate) client_secret: Secret,
    /// Selects the refresh-token grant; without it the client-credentials grant is used.
    pub(crate) refresh_token: Option<Secret>,
    /// The token endpoint of an external server. The default is the account's `/oauth/token-request`.
    pub(crate) token_endpoint: Option<String>,
    /// The scope to send instead of the one derived from the role.
    pub(crate) scope: Option<String>,
    /// Whether a scope is sent.
    pub(crate) include_scope: bool,
}
