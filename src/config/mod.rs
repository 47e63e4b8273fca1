//! Profiles: the account, and a way to log in.

mod assemble;
#[cfg(feature = "connections")]
mod connections;
mod endpoint;
mod files;
mod layers;
pub(crate) mod loader;
pub(crate) mod origin;
mod properties;
mod read;
mod settings;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::types::secret::Secret;
use url::Url;

use self::endpoint::parse_url;
#[cfg(feature = "doctor")]
use self::files::shared;
use self::files::{read_named, warn_if_shared};
pub use self::loader::ProfileLoader;
pub use self::origin::Origin;
#[cfg(feature = "doctor")]
use self::settings::SECRETS;
use self::settings::{
    ACCESS_TOKEN, ACCOUNT, APPLICATION, AUTHORIZATION, DATABASE, HOST, KEY, KEY_FILE,
    OAUTH_CLIENT_ID, OAUTH_CLIENT_SECRET, OAUTH_INCLUDE_SCOPE, OAUTH_REFRESH_TOKEN, OAUTH_SCOPE,
    OAUTH_TOKEN_ENDPOINT, PASSPHRASE, PORT, ROLE, SCHEMA, SCHEME, SPCS_TOKEN_PATH, Setting,
    TOKEN_FILE, URL, USER, WAREHOUSE, WORKLOAD_IDENTITY_PROVIDER,
};
use crate::auth::settings::OAuthSettings;
use crate::auth::{
    Credential, KeyPair, OAuth, ProgrammaticAccessToken, SpcsToken, WorkloadIdentity,
};
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::workload_identity::WorkloadIdentityProvider;

/// The account and a way to log in.
///
/// A profile is read from the official SDK's `profile.json` or the same settings as properties, from the Snowflake CLI's
/// `connections.toml` and `config.toml` (feature `connections`), and from the environment, or built with `with_…` methods.
/// [`ProfileLoader`] describes the precedence. Keys, tokens and passphrases are omitted from `Debug`, logs
/// and errors.
///
/// | In JSON and properties | Also in connections | In the environment | What it is |
/// |---|---|---|---|
/// | `account` | | `SNOWFLAKE_ACCOUNT` | account identifier, `ORGANIZATION-ACCOUNT` or a locator; required |
/// | `user` | | `SNOWFLAKE_USER` | required for a key pair, otherwise not used |
/// | `role` | | `SNOWFLAKE_ROLE` | the user's default role if absent |
/// | `url` | | `SNOWFLAKE_URL` | account URL; scheme and port are optional |
/// | `host`, `scheme`, `port` | `protocol` | `SNOWFLAKE_HOST`, `SNOWFLAKE_SCHEME`, `SNOWFLAKE_PORT` | the same in parts, if there is no `url`; without either, `https://<account>.snowflakecomputing.com` |
/// | `database`, `schema` | | `SNOWFLAKE_DATABASE` or `DATABASE_NAME`, `SNOWFLAKE_SCHEMA` or `SCHEMA_NAME` | for the caller's own use |
/// | `warehouse` | | `SNOWFLAKE_WAREHOUSE` | for SQL statements; streaming needs none |
/// | `authorization_type` | `authenticator` | `SNOWFLAKE_AUTHORIZATION_TYPE` or `SNOWFLAKE_AUTHENTICATOR` | `JWT` (also `KEYPAIR_JWT`, `SNOWFLAKE_JWT`), the default; `OAUTH` (`OAUTH_CLIENT_CREDENTIALS`); `PAT` (`PROGRAMMATIC_ACCESS_TOKEN`); `SPCS`; `WORKLOAD_IDENTITY` |
/// | `private_key` | `private_key_raw` | `PRIVATE_KEY` or `SNOWFLAKE_PRIVATE_KEY`, `…_RAW` | JWT: RSA private key, PEM or the base64 inside it |
/// | `private_key_file` | `private_key_path` | `PRIVATE_KEY_FILE` or `SNOWFLAKE_PRIVATE_KEY_FILE`, `…_PATH` | JWT: a file with the key instead |
/// | `private_key_passphrase` | `private_key_file_pwd` | `PRIVATE_KEY_PASSPHRASE` or `SNOWFLAKE_PRIVATE_KEY_PASSPHRASE` | JWT: if the key is encrypted |
/// | `oauth_client_id`, `oauth_client_secret` | | `SNOWFLAKE_OAUTH_CLIENT_ID`, `…_SECRET` | OAUTH: required |
/// | `oauth_refresh_token` | | `SNOWFLAKE_OAUTH_REFRESH_TOKEN` | OAUTH: if absent, the client credentials alone are used |
/// | `oauth_token_endpoint` | `oauth_token_request_url` | `SNOWFLAKE_OAUTH_TOKEN_ENDPOINT` or `…_REQUEST_URL` | OAUTH: an external server; if absent, the account |
/// | `oauth_scope`, `oauth_include_scope` | | `SNOWFLAKE_OAUTH_SCOPE`, `SNOWFLAKE_OAUTH_INCLUDE_SCOPE` | OAUTH: the scope instead of the one derived from the role; `false` for none |
/// | `personal_access_token` | `token` | `SNOWFLAKE_PERSONAL_ACCESS_TOKEN` or `SNOWFLAKE_TOKEN` | PAT: the token |
/// | `token_file_path` | | `SNOWFLAKE_TOKEN_FILE_PATH` | PAT: a file with the token instead; OAUTH without a client, `WORKLOAD_IDENTITY`: a file in which the token is renewed |
/// | `spcs_token_path` | | `SNOWFLAKE_SPCS_TOKEN_PATH`, before all other places | SPCS: the token file; `/snowflake/session/token` by default |
/// | `workload_identity_provider` | | `SNOWFLAKE_WORKLOAD_IDENTITY_PROVIDER` | `WORKLOAD_IDENTITY`: `AWS`, `AZURE`, `GCP` or `OIDC`; the token is in `token_file_path`, and the role applies to SQL statements only |
/// | `application` | | `SS_APPLICATION` | added to the user agent: 1 to 64 visible ASCII characters except `(`, `)` and `\` |
///
/// Blank values count as absent, and unknown keys are ignored. Plain `http://` is allowed only for servers on this machine.
///
/// ```
/// use snowpipe_streaming::Profile;
/// let profile = Profile::from_json(r#"{"account": "my_org-my_account", "user": "LOADER", "private_key_file": "rsa_key.p8"}"#)?;
/// assert_eq!(profile.url()?, "https://my-org-my-account.snowflakecomputing.com/");
/// # Ok::<(), snowpipe_streaming::Error>(())
/// ```
#[derive(Clone)]
pub struct Profile {
    account: String,
    user: Option<String>,
    role: Option<String>,
    url: Option<String>,
    database: Option<String>,
    schema: Option<String>,
    warehouse: Option<String>,
    application: Option<String>,
    kind: Kind,
    key: Option<KeySource>,
    passphrase: Option<Secret>,
    oauth: OAuthParts,
    access_token: Option<Secret>,
    token_file: Option<PathBuf>,
    origins: BTreeMap<&'static str, Origin>,
}

/// How to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    KeyPair,
    OAuth,
    AccessToken,
    /// With a token in a file that another program renews.
    TokenFile,
    /// With a token in such a file, made by this provider.
    WorkloadIdentity(WorkloadIdentityProvider),
}

#[derive(Clone)]
enum KeySource {
    Text(Secret),
    File(PathBuf),
}

/// The settings of an OAuth client.
#[derive(Clone)]
struct OAuthParts {
    client_id: Option<String>,
    client_secret: Option<Secret>,
    refresh_token: Option<Secret>,
    token_endpoint: Option<String>,
    scope: Option<String>,
    include_scope: bool,
}

impl Default for OAuthParts {
    fn default() -> Self {
        Self {
            client_id: None,
            client_secret: None,
            refresh_token: None,
            token_endpoint: None,
            scope: None,
            include_scope: true,
        }
    }
}

/// Looks up environment variables.
type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The environment of this process.
fn process_variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl Profile {
    /// Creates a profile for an account. It still needs a user and a private key, or another credential.
    pub fn new(account: impl Into<String>) -> Self {
        Self {
            account: account.into(),
            user: None,
            role: None,
            url: None,
            database: None,
            schema: None,
            warehouse: None,
            application: None,
            kind: Kind::KeyPair,
            key: None,
            passphrase: None,
            oauth: OAuthParts::default(),
            access_token: None,
            token_file: None,
            origins: BTreeMap::from([(ACCOUNT.key, Origin::Program)]),
        }
    }

    /// The account, as given.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The user.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The role; `None` for the user's default role.
    pub fn role(&self) -> Option<&str> {
        self.role.as_deref()
    }

    /// The database.
    pub fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    /// The schema.
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// The warehouse.
    pub fn warehouse(&self) -> Option<&str> {
        self.warehouse.as_deref()
    }

    /// Where a setting came from, by its key in `profile.json`. `None` if the setting is absent or not used.
    ///
    /// ```
    /// use snowpipe_streaming::config::Origin;
    /// use snowpipe_streaming::Profile;
    /// let profile = Profile::from_json(r#"{"account": "a", "user": "u"}"#)?.with_role("LOADER");
    /// assert_eq!(profile.origin("user"), Some(&Origin::Text));
    /// assert_eq!(profile.origin("role"), Some(&Origin::Program));
    /// assert_eq!(profile.origin("schema"), None);
    /// # Ok::<(), snowpipe_streaming::Error>(())
    /// ```
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        self.origins.get(key)
    }

    /// The used settings, by their keys in `profile.json`, and where each came from.
    pub fn origins(&self) -> impl Iterator<Item = (&str, &Origin)> {
        self.origins.iter().map(|(key, origin)| (*key, origin))
    }

    /// The account URL: the given one, or the one derived from the account.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the URL is malformed, or plain `http://` to another machine.
    pub fn url(&self) -> Result<String> {
        self.account_url().map(String::from)
    }

    /// The checked account URL. Its path is `/`.
    pub(crate) fn account_url(&self) -> Result<Url> {
        if let Some(url) = &self.url {
            return parse_url(url);
        }
        let host = format!("{}{ACCOUNT_DOMAIN}", self.account_identifier()?);
        parse_url(&format!("https://{host}"))
    }

    /// The checked name for the user agent.
    pub(crate) fn application(&self) -> Result<Option<&str>> {
        let Some(name) = self.application.as_deref() else {
            return Ok(None);
        };
        let visible = |c: char| c.is_ascii_graphic() && !matches!(c, '(' | ')' | '\\');
        if (1..=64).contains(&name.len()) && name.chars().all(visible) {
            Ok(Some(name))
        } else {
            Err(config(
                "application must be 1 to 64 visible ASCII characters without blanks, parentheses and backslashes; shorten or rename it",
            ))
        }
    }

    /// The public key of the profile's private key, as base64 of its DER: the value for `ALTER USER … SET RSA_PUBLIC_KEY =
    /// '…'`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] or [`ErrorKind::Authentication`] if there is no key or it cannot be read.
    pub fn rsa_public_key(&self) -> Result<String> {
        self.key_pair().map(|key| key.public_key_base64())
    }

    /// Creates the credential that the profile describes. A private key is read now, a token file when the token is needed.
    ///
    /// A client does this by itself. Call it to give a running client the credential of a changed profile: see
    /// [`set_credential`](crate::StreamingIngestClient::set_credential).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] or [`ErrorKind::Authentication`] if something is missing or cannot be read.
    pub fn credential(&self) -> Result<Arc<dyn Credential>> {
        Ok(match self.authorization()? {
            Authorization::KeyPair => Arc::new(self.key_pair()?),
            Authorization::OAuth(settings) => Arc::new(OAuth::new(settings, self.role())?),
            Authorization::ProgrammaticAccessToken(token) => {
                Arc::new(ProgrammaticAccessToken::new(token, self.role()))
            }
            Authorization::SpcsToken(file) => Arc::new(SpcsToken::new(file)),
            Authorization::WorkloadIdentity(provider, file) => {
                Arc::new(WorkloadIdentity::new(provider, file))
            }
        })
    }

    /// The authorization of the profile with its settings, except for the private key.
    pub(crate) fn authorization(&self) -> Result<Authorization> {
        self.account_identifier()?;
        match self.kind {
            Kind::KeyPair => Ok(Authorization::KeyPair),
            Kind::OAuth => {
                let (client_id, client_secret) = self.oauth.complete()?;
                Ok(Authorization::OAuth(OAuthSettings {
                    client_id: client_id.to_owned(),
                    client_secret: client_secret.clone(),
                    refresh_token: self.oauth.refresh_token.clone(),
                    token_endpoint: self.oauth.token_endpoint.clone(),
                    scope: self.oauth.scope.clone(),
                    include_scope: self.oauth.include_scope,
                }))
            }
            Kind::AccessToken => {
                let token = self.access_token.clone();
                let token = token.ok_or_else(|| ACCESS_TOKEN.missing())?;
                Ok(Authorization::ProgrammaticAccessToken(token))
            }
            Kind::TokenFile => {
                let file = self.token_file.as_deref();
                let file = file
                    .unwrap_or(Path::new(SpcsToken::DEFAULT_PATH))
                    .to_owned();
                Ok(Authorization::SpcsToken(file))
            }
            Kind::WorkloadIdentity(provider) => {
                let file = self.token_file.clone();
                let file = file.ok_or_else(|| TOKEN_FILE.missing())?;
                Ok(Authorization::WorkloadIdentity(provider, file))
            }
        }
    }

    /// The same profile with the user's default role.
    #[cfg(feature = "doctor")]
    pub(crate) fn without_role(mut self) -> Self {
        self.role = None;
        self
    }

    /// Reads the private key.
    pub(crate) fn key_pair(&self) -> Result<KeyPair> {
        let account = self.account_identifier()?;
        let user = self.user.as_deref().ok_or_else(|| USER.missing())?;
        let from_file;
        let key = match &self.key {
            None => {
                return Err(config(format!(
                    "the private key is missing; set {}, or {}",
                    KEY.names(),
                    KEY_FILE.names()
                )));
            }
            Some(KeySource::Text(text)) => text.expose().as_bytes(),
            Some(KeySource::File(file)) => {
                from_file = read_named("private key", file)?;
                warn_if_shared("private key", file);
                from_file.as_slice()
            }
        };
        KeyPair::new(account, user, self.role(), key, self.passphrase.as_ref())
    }

    /// The account identifier, without the domain if a host name was given.
    fn account_identifier(&self) -> Result<&str> {
        let account = self.account.trim();
        let account = account
            .len()
            .checked_sub(ACCOUNT_DOMAIN.len())
            .and_then(|at| account.split_at_checked(at))
            .filter(|(_, domain)| domain.eq_ignore_ascii_case(ACCOUNT_DOMAIN))
            .map_or(account, |(account, _)| account);
        if account.is_empty() {
            return Err(ACCOUNT.missing());
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !account.chars().all(plain) {
            return Err(config(
                "account must be an account identifier of letters, digits, dashes, underscores and dots, like ORGANIZATION-ACCOUNT; a URL belongs under \"url\"",
            ));
        }
        Ok(account)
    }
}

/// The `with_…` methods. Values set here take precedence over values that were read.
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
    /// other credential. [`WorkloadIdentity`] says what this rests on.
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

#[cfg(feature = "doctor")]
impl Profile {
    /// The files with secrets of the profile that other users of this machine can read or change, each as a sentence with the
    /// remedy.
    pub(crate) fn shared_files(&self) -> Vec<String> {
        let mut found = Vec::new();
        for setting in SECRETS {
            found.extend(match self.origins.get(setting.key) {
                Some(Origin::File(file)) => shared("profile", file, 0o066),
                Some(Origin::Connection { file, .. }) => shared("connections", file, 0o066),
                _ => None,
            });
        }
        if let Some(KeySource::File(file)) = &self.key {
            found.extend(shared("private key", file, 0o066));
        }
        if let Some(file) = &self.token_file {
            found.extend(match self.kind {
                Kind::AccessToken => shared("access token", file, 0o066),
                _ => shared("token file", file, 0o022),
            });
        }
        found.dedup();
        found
    }

    /// The format of the private key in words. `None` if there is no key or it cannot be read.
    pub(crate) fn key_form(&self) -> Option<&'static str> {
        match self.key.as_ref()? {
            KeySource::Text(text) => Some(form(text.expose())),
            KeySource::File(file) => {
                let bytes = read_named("private key", file).ok()?;
                Some(form(&zeroize::Zeroizing::new(
                    String::from_utf8_lossy(&bytes).into_owned(),
                )))
            }
        }
    }
}

#[cfg(feature = "doctor")]
fn form(text: &str) -> &'static str {
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") {
        "encrypted PKCS#8 PEM"
    } else if text.contains("BEGIN RSA PRIVATE KEY") {
        "PKCS#1 PEM, not encrypted"
    } else if text.contains("BEGIN PRIVATE KEY") {
        "PKCS#8 PEM, not encrypted"
    } else {
        "without PEM header"
    }
}

/// The authorization of a profile with its settings. The key for [`KeyPair`](Self::KeyPair) stays in the profile.
#[derive(Clone)]
pub(crate) enum Authorization {
    /// A JWT signed with the profile's private key.
    KeyPair,
    /// An access token from an OAuth server.
    OAuth(OAuthSettings),
    /// A programmatic access token.
    ProgrammaticAccessToken(Secret),
    /// The token in this file, which Snowpark Container Services write and replace.
    SpcsToken(PathBuf),
    /// The token in this file, with which the provider vouches for the workload.
    WorkloadIdentity(WorkloadIdentityProvider, PathBuf),
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile")
            .field("account", &self.account)
            .field("user", &self.user)
            .field("role", &self.role)
            // A malformed URL may contain a password.
            .field("url", &self.account_url().ok().map(String::from))
            .field("database", &self.database)
            .field("schema", &self.schema)
            .field("warehouse", &self.warehouse)
            .field("application", &self.application)
            .field("kind", &self.kind)
            .field("key", &self.key)
            .field("passphrase", &redacted(self.passphrase.as_ref()))
            .field("oauth", &self.oauth)
            .field("access_token", &redacted(self.access_token.as_ref()))
            .field("token_file", &self.token_file)
            .field("origins", &self.origins)
            .finish()
    }
}

impl fmt::Debug for OAuthParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuthParts")
            .field("client_id", &self.client_id)
            .field("client_secret", &redacted(self.client_secret.as_ref()))
            .field("refresh_token", &redacted(self.refresh_token.as_ref()))
            // The URL may contain a password.
            .field("token_endpoint", &self.token_endpoint.is_some())
            .field("scope", &self.scope)
            .field("include_scope", &self.include_scope)
            .finish()
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => REDACTED.fmt(f),
            Self::File(path) => path.fmt(f),
        }
    }
}

const REDACTED: &str = "[redacted]";
const ACCOUNT_DOMAIN: &str = ".snowflakecomputing.com";

fn redacted(secret: Option<&Secret>) -> Option<&'static str> {
    secret.map(|_| REDACTED)
}

fn config(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, message)
}

#[cfg(test)]
mod tests;
