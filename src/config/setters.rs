//! The `with_…` methods of a profile. Values set here take precedence over values that were read.

use std::path::PathBuf;

use crate::types::secret::Secret;

use super::origin::Origin;
use super::settings::{
    ACCESS_TOKEN, APPLICATION, AUTHORIZATION, DATABASE, HOST, KEY, KEY_FILE, OAUTH_CLIENT_ID,
    OAUTH_CLIENT_SECRET, OAUTH_INCLUDE_SCOPE, OAUTH_REFRESH_TOKEN, OAUTH_SCOPE,
    OAUTH_TOKEN_ENDPOINT, PASSPHRASE, PORT, ROLE, SCHEMA, SCHEME, SPCS_TOKEN_PATH, Setting,
    TOKEN_FILE, URL, USER, WAREHOUSE, WORKLOAD_IDENTITY_PROVIDER,
};
use super::{KeySource, Kind, Profile};
use crate::types::workload_identity::WorkloadIdentityProvider;

impl Profile {
    /// Sets the user.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self.set_here(&USER, &[])
    }

    /// Sets the role to use instead of the user's default role.
    #[must_use]
    pub fn with_role(mut self, role: impl Into<String>) -> Self {
        self.role = Some(role.into());
        self.set_here(&ROLE, &[])
    }

    /// Sets the account URL instead of the one derived from the account. The default scheme is `https`.
    #[must_use]
    pub fn with_url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self.set_here(&URL, &[&HOST, &SCHEME, &PORT])
    }

    /// Sets the database, for the caller's own use.
    #[must_use]
    pub fn with_database(mut self, database: impl Into<String>) -> Self {
        self.database = Some(database.into());
        self.set_here(&DATABASE, &[])
    }

    /// Sets the schema, for the caller's own use.
    #[must_use]
    pub fn with_schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = Some(schema.into());
        self.set_here(&SCHEMA, &[])
    }

    /// Sets the warehouse for SQL statements. Streaming needs none.
    #[must_use]
    pub fn with_warehouse(mut self, warehouse: impl Into<String>) -> Self {
        self.warehouse = Some(warehouse.into());
        self.set_here(&WAREHOUSE, &[])
    }

    /// Logs in with this private key, PEM or the base64 inside it. Replaces any key or other credential.
    #[must_use]
    pub fn with_private_key(mut self, key: impl Into<Secret>) -> Self {
        self.key = Some(KeySource::Text(key.into()));
        self.log_in_with(Kind::KeyPair).set_here(&KEY, &[&KEY_FILE])
    }

    /// Logs in with the private key in this file. Replaces any key or other credential.
    #[must_use]
    pub fn with_private_key_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.key = Some(KeySource::File(file.into()));
        self.log_in_with(Kind::KeyPair).set_here(&KEY_FILE, &[&KEY])
    }

    /// Sets the passphrase of an encrypted private key.
    #[must_use]
    pub fn with_private_key_passphrase(mut self, passphrase: impl Into<Secret>) -> Self {
        self.passphrase = Some(passphrase.into());
        self.set_here(&PASSPHRASE, &[])
    }

    /// Logs in with access tokens for this OAuth client. Replaces any other credential. A refresh token and a token endpoint
    /// that were read, not set by a method, belong to another client and are removed.
    #[must_use]
    pub fn with_oauth_client(mut self, id: impl Into<String>, secret: impl Into<Secret>) -> Self {
        if !self.is_set_here(&OAUTH_REFRESH_TOKEN) {
            self.oauth.refresh_token = None;
            self.origins.remove(OAUTH_REFRESH_TOKEN.key);
        }
        if !self.is_set_here(&OAUTH_TOKEN_ENDPOINT) {
            self.oauth.token_endpoint = None;
            self.origins.remove(OAUTH_TOKEN_ENDPOINT.key);
        }
        self.oauth.client_id = Some(id.into());
        self.oauth.client_secret = Some(secret.into());
        self.log_in_with(Kind::OAuth)
            .set_here(&OAUTH_CLIENT_ID, &[])
            .set_here(&OAUTH_CLIENT_SECRET, &[])
    }

    /// Sets the refresh token of the OAuth client. Without it the client credentials alone are used.
    #[must_use]
    pub fn with_oauth_refresh_token(mut self, token: impl Into<Secret>) -> Self {
        self.oauth.refresh_token = Some(token.into());
        self.set_here(&OAUTH_REFRESH_TOKEN, &[])
    }

    /// Sets the token endpoint of an external OAuth server. The default is the account.
    #[must_use]
    pub fn with_oauth_token_endpoint(mut self, url: impl Into<String>) -> Self {
        self.oauth.token_endpoint = Some(url.into());
        self.set_here(&OAUTH_TOKEN_ENDPOINT, &[])
    }

    /// Sets the scope that the OAuth client requests instead of the one derived from the role.
    #[must_use]
    pub fn with_oauth_scope(mut self, scope: impl Into<String>) -> Self {
        self.oauth.scope = Some(scope.into());
        self.oauth.include_scope = true;
        self.set_here(&OAUTH_SCOPE, &[&OAUTH_INCLUDE_SCOPE])
    }

    /// Makes the OAuth client request no scope.
    #[must_use]
    pub fn without_oauth_scope(mut self) -> Self {
        self.oauth.include_scope = false;
        self.set_here(&OAUTH_INCLUDE_SCOPE, &[&OAUTH_SCOPE])
    }

    /// Logs in with this programmatic access token. Replaces any other credential.
    #[must_use]
    pub fn with_personal_access_token(mut self, token: impl Into<Secret>) -> Self {
        self.access_token = Some(token.into());
        self.log_in_with(Kind::AccessToken)
            .set_here(&ACCESS_TOKEN, &[&TOKEN_FILE])
    }

    /// Logs in with the token in this file, which is read again whenever a token is needed. Replaces any other credential.
    /// Snowpark Container Services write it to `/snowflake/session/token`.
    #[must_use]
    pub fn with_spcs_token_path(mut self, file: impl Into<PathBuf>) -> Self {
        self.token_file = Some(file.into());
        self.log_in_with(Kind::TokenFile)
            .set_here(&SPCS_TOKEN_PATH, &[&TOKEN_FILE])
    }

    /// Logs in with the token of a workload identity in this file, which is read again whenever a token is needed. Replaces any
    /// other credential. [`WorkloadIdentity`](crate::auth::WorkloadIdentity) says what this rests on.
    #[must_use]
    pub fn with_workload_identity(
        mut self,
        provider: WorkloadIdentityProvider,
        token_file: impl Into<PathBuf>,
    ) -> Self {
        self.token_file = Some(token_file.into());
        self.log_in_with(Kind::WorkloadIdentity(provider))
            .set_here(&WORKLOAD_IDENTITY_PROVIDER, &[])
            .set_here(&TOKEN_FILE, &[&SPCS_TOKEN_PATH])
    }

    /// Sets the name of this program in the user agent.
    #[must_use]
    pub fn with_application(mut self, application: impl Into<String>) -> Self {
        self.application = Some(application.into());
        self.set_here(&APPLICATION, &[])
    }

    fn log_in_with(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self.set_here(&AUTHORIZATION, &[])
    }

    fn is_set_here(&self, setting: &Setting) -> bool {
        self.origins.get(setting.key) == Some(&Origin::Program)
    }

    /// Records that the program set this setting, and that it replaces the others.
    fn set_here(mut self, setting: &Setting, instead_of: &[&Setting]) -> Self {
        self.origins.insert(setting.key, Origin::Program);
        for other in instead_of {
            self.origins.remove(other.key);
        }
        self
    }
}
