//! Who connects, where to, and to which pipe: profiles and pipe paths.

pub(crate) mod authorization;
mod endpoint;
mod pipe;
mod read;

use std::fmt;
use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use self::endpoint::parse_url;
pub use self::pipe::PipePath;
use self::read::{ACCOUNT, KEY, KEY_FILE, USER, read_small};
use crate::auth::keypair::KeyPair;
use crate::error::{Error, ErrorKind, Result};

/// Account, user and key: what it takes to connect.
///
/// It reads the official SDK's `profile.json` and the same settings from the environment, or is put together by hand.
/// Keys and passphrases never show in `Debug`, logs or errors.
///
/// | in JSON | in the environment | what it is |
/// |---|---|---|
/// | `account` | `SNOWFLAKE_ACCOUNT` | account identifier, `ORGANIZATION-ACCOUNT` or a locator; required |
/// | `user` | `SNOWFLAKE_USER` | required |
/// | `role` | `SNOWFLAKE_ROLE` | the user's default role if absent |
/// | `url` | `SNOWFLAKE_URL` | account URL; scheme and port may be left out |
/// | `host`, `scheme`, `port` | `SNOWFLAKE_HOST`, `SNOWFLAKE_SCHEME`, `SNOWFLAKE_PORT` | the same in parts, if there is no `url`; without either, `https://<account>.snowflakecomputing.com` |
/// | `database`, `schema` | `SNOWFLAKE_DATABASE` or `DATABASE_NAME`, `SNOWFLAKE_SCHEMA` or `SCHEMA_NAME` | for the caller's own use |
/// | `private_key` | `PRIVATE_KEY` or `SNOWFLAKE_PRIVATE_KEY` | RSA private key: PEM, or the base64 inside it |
/// | `private_key_file` | `PRIVATE_KEY_FILE` or `SNOWFLAKE_PRIVATE_KEY_FILE` | a file with it, instead |
/// | `private_key_passphrase` | `PRIVATE_KEY_PASSPHRASE` or `SNOWFLAKE_PRIVATE_KEY_PASSPHRASE` | if the key is encrypted |
/// | `authorization_type` | `SNOWFLAKE_AUTHORIZATION_TYPE` | `JWT`, the default |
/// | `application` | `SS_APPLICATION` | added to the user agent: 1 to 64 visible ASCII characters except `(`, `)` and `\` |
///
/// Blank values count as absent, unknown keys are ignored. Plain `http://` is for servers on this machine only.
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
    key: Option<KeySource>,
    passphrase: Option<SecretString>,
    application: Option<String>,
}

#[derive(Clone)]
enum KeySource {
    Text(SecretString),
    File(PathBuf),
}

impl Profile {
    /// A profile for an account. A user and a private key are still needed.
    pub fn new(account: impl Into<String>) -> Self {
        Self {
            account: account.into(),
            user: None,
            role: None,
            url: None,
            database: None,
            schema: None,
            key: None,
            passphrase: None,
            application: None,
        }
    }

    /// Sets the user whose key this is.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Sets the role to work under, instead of the user's default role.
    #[must_use]
    pub fn with_role(mut self, role: impl Into<String>) -> Self {
        self.role = Some(role.into());
        self
    }

    /// Sets the account URL, instead of the one derived from the account. Without a scheme it is `https`.
    #[must_use]
    pub fn with_url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// Sets the database, for the caller's own use.
    #[must_use]
    pub fn with_database(mut self, database: impl Into<String>) -> Self {
        self.database = Some(database.into());
        self
    }

    /// Sets the schema, for the caller's own use.
    #[must_use]
    pub fn with_schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = Some(schema.into());
        self
    }

    /// Sets the private key, PEM or the base64 inside it, in place of any key or key file set before.
    #[must_use]
    pub fn with_private_key(mut self, key: impl Into<SecretString>) -> Self {
        self.key = Some(KeySource::Text(key.into()));
        self
    }

    /// Sets the file that holds the private key, in place of any key or key file set before.
    #[must_use]
    pub fn with_private_key_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.key = Some(KeySource::File(file.into()));
        self
    }

    /// Sets the passphrase of an encrypted private key.
    #[must_use]
    pub fn with_private_key_passphrase(mut self, passphrase: impl Into<SecretString>) -> Self {
        self.passphrase = Some(passphrase.into());
        self
    }

    /// Sets the name under which this program shows in the user agent.
    #[must_use]
    pub fn with_application(mut self, application: impl Into<String>) -> Self {
        self.application = Some(application.into());
        self
    }

    /// The account, as it was given.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The user.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The role, if it is not the user's default.
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

    /// The account URL that will be used: the one given, or the one derived from the account.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if it is malformed, or plain `http://` to another machine.
    pub fn url(&self) -> Result<String> {
        self.account_url().map(String::from)
    }

    /// The account URL, checked. Its path is `/`.
    pub(crate) fn account_url(&self) -> Result<Url> {
        if let Some(url) = &self.url {
            return parse_url(url);
        }
        // TLS names have no underscores, so Snowflake serves such an account under dashes. A host that was given is
        // used as it is: private link names are the account's own.
        let host = self.account_identifier()?.replace('_', "-");
        parse_url(&format!("https://{host}{ACCOUNT_DOMAIN}"))
    }

    /// The name for the user agent, checked.
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

    /// The public key that belongs to the profile's private key, as base64 of its DER: what goes between the quotes of
    /// `ALTER USER … SET RSA_PUBLIC_KEY = '…'`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] or [`ErrorKind::Authentication`] if there is no key, or it cannot be read.
    pub fn rsa_public_key(&self) -> Result<String> {
        self.credential().map(|key| key.public_key_base64())
    }

    /// The same under the user's default role.
    #[cfg(feature = "cli")]
    pub(crate) fn without_role(mut self) -> Self {
        self.role = None;
        self
    }

    /// Reads the private key.
    pub(crate) fn credential(&self) -> Result<KeyPair> {
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
            Some(KeySource::Text(text)) => text.expose_secret().as_bytes(),
            Some(KeySource::File(file)) => {
                from_file = read_small("private key", file)?;
                from_file.as_slice()
            }
        };
        KeyPair::new(account, user, self.role(), key, self.passphrase.as_ref())
    }

    /// The account without the domain of a host name, if one was given in its place.
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

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile")
            .field("account", &self.account)
            .field("user", &self.user)
            .field("role", &self.role)
            // A malformed one may hold a password.
            .field("url", &self.account_url().ok().map(String::from))
            .field("database", &self.database)
            .field("schema", &self.schema)
            .field("key", &self.key)
            .field("passphrase", &self.passphrase.as_ref().map(|_| REDACTED))
            .field("application", &self.application)
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
fn config(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, message)
}

#[cfg(test)]
mod tests;
