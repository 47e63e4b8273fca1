//! Putting a profile together by hand. What is set here comes before whatever was read.

use std::path::PathBuf;

use secrecy::SecretString;

use super::origin::Origin;
use super::settings::{
    ACCESS_TOKEN, APPLICATION, AUTHORIZATION, DATABASE, HOST, KEY, KEY_FILE, OAUTH_CLIENT_ID,
    OAUTH_CLIENT_SECRET, OAUTH_INCLUDE_SCOPE, OAUTH_REFRESH_TOKEN, OAUTH_SCOPE,
    OAUTH_TOKEN_ENDPOINT, PASSPHRASE, PORT, ROLE, SCHEMA, SCHEME, SPCS_TOKEN_PATH, Setting,
    TOKEN_FILE, URL, USER, WAREHOUSE,
};
use super::{KeySource, Kind, Profile};

impl Profile {
    /// Sets the user.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self.set_here(&USER, &[])
    }

    /// Sets the role to work under, instead of the user's default role.
    #[must_use]
    pub fn with_role(mut self, role: impl Into<String>) -> Self {
        self.role = Some(role.into());
        self.set_here(&ROLE, &[])
    }

    /// Sets the account URL, instead of the one derived from the account. Without a scheme it is `https`.
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

    /// Sets the warehouse that SQL statements run in. Streaming needs none.
    #[must_use]
    pub fn with_warehouse(mut self, warehouse: impl Into<String>) -> Self {
        self.warehouse = Some(warehouse.into());
        self.set_here(&WAREHOUSE, &[])
    }

    /// Logs in with this private key, PEM or the base64 inside it, in place of any key or other credential set before.
    #[must_use]
    pub fn with_private_key(mut self, key: impl Into<SecretString>) -> Self {
        self.key = Some(KeySource::Text(key.into()));
        self.log_in_with(Kind::KeyPair).set_here(&KEY, &[&KEY_FILE])
    }

    /// Logs in with the private key in this file, in place of any key or other credential set before.
    #[must_use]
    pub fn with_private_key_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.key = Some(KeySource::File(file.into()));
        self.log_in_with(Kind::KeyPair).set_here(&KEY_FILE, &[&KEY])
    }

    /// Sets the passphrase of an encrypted private key.
    #[must_use]
    pub fn with_private_key_passphrase(mut self, passphrase: impl Into<SecretString>) -> Self {
        self.passphrase = Some(passphrase.into());
        self.set_here(&PASSPHRASE, &[])
    }

    /// Logs in with access tokens that this OAuth client gets from the account, in place of any credential set before. A
    /// refresh token and a token endpoint that were read, and not set by hand, are another client's and go with it.
    #[must_use]
    pub fn with_oauth_client(
        mut self,
        id: impl Into<String>,
        secret: impl Into<SecretString>,
    ) -> Self {
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

    /// Has the OAuth client use this refresh token. Without one it uses its client credentials alone.
    #[must_use]
    pub fn with_oauth_refresh_token(mut self, token: impl Into<SecretString>) -> Self {
        self.oauth.refresh_token = Some(token.into());
        self.set_here(&OAUTH_REFRESH_TOKEN, &[])
    }

    /// Has the OAuth client get its tokens here, at an external server, and not at the account.
    #[must_use]
    pub fn with_oauth_token_endpoint(mut self, url: impl Into<String>) -> Self {
        self.oauth.token_endpoint = Some(url.into());
        self.set_here(&OAUTH_TOKEN_ENDPOINT, &[])
    }

    /// Has the OAuth client ask for this scope, and not for the one derived from the role.
    #[must_use]
    pub fn with_oauth_scope(mut self, scope: impl Into<String>) -> Self {
        self.oauth.scope = Some(scope.into());
        self.oauth.include_scope = true;
        self.set_here(&OAUTH_SCOPE, &[&OAUTH_INCLUDE_SCOPE])
    }

    /// Has the OAuth client ask for no scope.
    #[must_use]
    pub fn without_oauth_scope(mut self) -> Self {
        self.oauth.include_scope = false;
        self.set_here(&OAUTH_INCLUDE_SCOPE, &[&OAUTH_SCOPE])
    }

    /// Logs in with this programmatic access token, in place of any credential set before.
    #[must_use]
    pub fn with_personal_access_token(mut self, token: impl Into<SecretString>) -> Self {
        self.access_token = Some(token.into());
        self.log_in_with(Kind::AccessToken)
            .set_here(&ACCESS_TOKEN, &[&TOKEN_FILE])
    }

    /// Logs in with the token in this file, which is read anew whenever it changes, in place of any credential set
    /// before. Snowpark Container Services keep one under `/snowflake/session/token`.
    #[must_use]
    pub fn with_spcs_token_path(mut self, file: impl Into<PathBuf>) -> Self {
        self.token_file = Some(file.into());
        self.log_in_with(Kind::TokenFile)
            .set_here(&SPCS_TOKEN_PATH, &[&TOKEN_FILE])
    }

    /// Sets the name under which this program shows in the user agent.
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

    /// Notes who set this, and that it takes the place of the others.
    fn set_here(mut self, setting: &Setting, instead_of: &[&Setting]) -> Self {
        self.origins.insert(setting.key, Origin::Program);
        for other in instead_of {
            self.origins.remove(other.key);
        }
        self
    }
}
