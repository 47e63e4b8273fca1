//! Reads a profile from JSON, a file or the environment.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use secrecy::SecretString;
use serde_json::Value;
use zeroize::Zeroizing;

use super::endpoint::url_text;
use super::{KeySource, Profile, config};
use crate::error::{Error, Result};

/// One setting under its two names.
pub(super) struct Setting {
    key: &'static str,
    env: &'static [&'static str],
}

const fn setting(key: &'static str, env: &'static [&'static str]) -> Setting {
    Setting { key, env }
}

pub(super) const ACCOUNT: Setting = setting("account", &["SNOWFLAKE_ACCOUNT"]);
pub(super) const USER: Setting = setting("user", &["SNOWFLAKE_USER"]);
const ROLE: Setting = setting("role", &["SNOWFLAKE_ROLE"]);
const URL: Setting = setting("url", &["SNOWFLAKE_URL"]);
const SCHEME: Setting = setting("scheme", &["SNOWFLAKE_SCHEME"]);
const HOST: Setting = setting("host", &["SNOWFLAKE_HOST"]);
const PORT: Setting = setting("port", &["SNOWFLAKE_PORT"]);
const DATABASE: Setting = setting("database", &["SNOWFLAKE_DATABASE", "DATABASE_NAME"]);
const SCHEMA: Setting = setting("schema", &["SNOWFLAKE_SCHEMA", "SCHEMA_NAME"]);
pub(super) const KEY: Setting = setting("private_key", &["PRIVATE_KEY", "SNOWFLAKE_PRIVATE_KEY"]);
pub(super) const KEY_FILE: Setting = setting(
    "private_key_file",
    &["PRIVATE_KEY_FILE", "SNOWFLAKE_PRIVATE_KEY_FILE"],
);
const PASSPHRASE: Setting = setting(
    "private_key_passphrase",
    &["PRIVATE_KEY_PASSPHRASE", "SNOWFLAKE_PRIVATE_KEY_PASSPHRASE"],
);
const AUTHORIZATION: Setting = setting("authorization_type", &["SNOWFLAKE_AUTHORIZATION_TYPE"]);
const APPLICATION: Setting = setting("application", &["SS_APPLICATION"]);

impl Setting {
    pub(super) fn names(&self) -> String {
        format!(
            "{:?} in the profile or {} in the environment",
            self.key,
            self.env.join(" or ")
        )
    }

    pub(super) fn missing(&self) -> Error {
        config(format!("{} is missing; set {}", self.key, self.names()))
    }

    /// The value as it is used, or nothing if it is blank.
    fn tidy(&self, value: String) -> Option<String> {
        let trimmed = value.trim();
        // Blanks belong to a passphrase, and a key is not copied without need.
        let as_is = self.key == PASSPHRASE.key || self.key == KEY.key;
        if trimmed.is_empty() {
            None
        } else if as_is {
            Some(value)
        } else {
            Some(trimmed.to_owned())
        }
    }
}

impl Profile {
    /// Reads a `profile.json`. A relative `private_key_file` is looked up in the profile's own folder.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the file cannot be read, or for the reasons of
    /// [`Profile::from_json`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let named = |e: Error| Error::new(e.kind(), format!("{}: {e}", path.display()));
        let bytes = read_small("profile", path)?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| named(config("the profile is not UTF-8; save it as UTF-8 JSON")))?;
        let mut profile = Self::from_json(text).map_err(named)?;
        if let (Some(KeySource::File(file)), Some(folder)) = (&mut profile.key, path.parent()) {
            *file = folder.join(&file);
        }
        Ok(profile)
    }

    /// Reads the text of a `profile.json`. The private key is not read yet, and may be added afterwards.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if it is not a JSON object, `account` or `user` is missing, or a
    /// setting is malformed or contradicts another.
    pub fn from_json(text: &str) -> Result<Self> {
        let value: Value =
            serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|e| {
                config(format!(
                    "the profile is not valid JSON: see line {}, column {}",
                    e.line(),
                    e.column()
                ))
            })?;
        let Value::Object(mut map) = value else {
            return Err(config(format!(
                "the profile must be a JSON object, found {}",
                type_name(&value)
            )));
        };
        Self::from_settings(&mut |setting| match map.remove(setting.key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(setting.tidy(text)),
            Some(Value::Number(number)) if setting.key == PORT.key => Ok(Some(number.to_string())),
            Some(other) => Err(config(format!(
                "the key {:?} must be a string, found {}",
                setting.key,
                type_name(&other)
            ))),
        })
    }

    /// Reads the environment variables named above. The private key is not read yet, and may be added afterwards.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if account or user is missing, or a setting is malformed or
    /// contradicts another.
    pub fn from_env() -> Result<Self> {
        Self::from_lookup(&|name| std::env::var(name).ok())
    }

    /// [`Profile::from_env`] over any environment.
    pub(crate) fn from_lookup(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        Self::from_settings(&mut |setting| {
            Ok(setting
                .env
                .iter()
                .find_map(|name| setting.tidy(lookup(name)?)))
        })
    }

    fn from_settings(read: &mut dyn FnMut(&Setting) -> Result<Option<String>>) -> Result<Self> {
        // First, because the other kinds need other settings.
        check_authorization(read(&AUTHORIZATION)?.as_deref())?;
        let profile = Self {
            account: read(&ACCOUNT)?.ok_or_else(|| ACCOUNT.missing())?,
            user: Some(read(&USER)?.ok_or_else(|| USER.missing())?),
            role: read(&ROLE)?,
            url: url_text(
                read(&URL)?,
                read(&SCHEME)?.as_deref(),
                read(&HOST)?,
                read(&PORT)?,
            )?,
            database: read(&DATABASE)?,
            schema: read(&SCHEMA)?,
            key: match (read(&KEY)?, read(&KEY_FILE)?) {
                (Some(_), Some(_)) => {
                    return Err(config(format!(
                        "both {:?} and {:?} are set; leave one of them out",
                        KEY.key, KEY_FILE.key
                    )));
                }
                (Some(text), None) => Some(KeySource::Text(text.into())),
                (None, file) => file.map(|file| KeySource::File(file.into())),
            },
            passphrase: read(&PASSPHRASE)?.map(SecretString::from),
            application: read(&APPLICATION)?,
        };
        profile.account_identifier()?;
        profile.account_url()?;
        profile.application()?;
        Ok(profile)
    }
}

fn check_authorization(kind: Option<&str>) -> Result<()> {
    let Some(kind) = kind else { return Ok(()) };
    if ["JWT", "KEYPAIR_JWT"]
        .iter()
        .any(|known| kind.eq_ignore_ascii_case(known))
    {
        return Ok(());
    }
    Err(config(format!(
        "{} must be JWT (a key pair), the only kind supported so far; leave {} out and set {}",
        AUTHORIZATION.key,
        AUTHORIZATION.names(),
        KEY.names()
    )))
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// No profile and no key is nearly as large; a wrong path may be endless.
const MAX_FILE: u64 = 1 << 20;

/// Reads a file whole, if it is small enough to be a profile or a key.
pub(super) fn read_small(what: &str, path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .map_err(|e| config(format!("the {what} {} cannot be read: {e}", path.display())))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(config(format!(
            "the {what} {} is larger than a megabyte; is it the right file?",
            path.display()
        )));
    }
    Ok(bytes)
}
