//! All settings with their names.

use serde_json::Value;

use super::config;
use crate::types::error::{Error, Result};

/// One setting.
pub(super) struct Setting {
    /// Its name in the official SDK's profile.
    pub(super) key: &'static str,
    /// Further names in the Snowflake CLI's files.
    pub(super) cli: &'static [&'static str],
    /// Its names in the environment; the first one that is set is used.
    pub(super) env: &'static [&'static str],
    kind: Kind,
}

/// The type of a setting's value.
#[derive(PartialEq)]
enum Kind {
    Text,
    /// Text that is not trimmed: blanks are part of it, or it is a secret that should not be copied.
    Verbatim,
    Number,
    Flag,
}

const fn setting(
    key: &'static str,
    cli: &'static [&'static str],
    env: &'static [&'static str],
) -> Setting {
    of_kind(Kind::Text, key, cli, env)
}

const fn of_kind(
    kind: Kind,
    key: &'static str,
    cli: &'static [&'static str],
    env: &'static [&'static str],
) -> Setting {
    Setting {
        key,
        cli,
        env,
        kind,
    }
}

pub(super) const ACCOUNT: Setting = setting("account", &[], &["SNOWFLAKE_ACCOUNT"]);
pub(super) const USER: Setting = setting("user", &[], &["SNOWFLAKE_USER"]);
pub(super) const ROLE: Setting = setting("role", &[], &["SNOWFLAKE_ROLE"]);
pub(super) const URL: Setting = setting("url", &[], &["SNOWFLAKE_URL"]);
pub(super) const SCHEME: Setting = setting("scheme", &["protocol"], &["SNOWFLAKE_SCHEME"]);
pub(super) const HOST: Setting = setting("host", &[], &["SNOWFLAKE_HOST"]);
pub(super) const PORT: Setting = of_kind(Kind::Number, "port", &[], &["SNOWFLAKE_PORT"]);
pub(super) const DATABASE: Setting =
    setting("database", &[], &["SNOWFLAKE_DATABASE", "DATABASE_NAME"]);
pub(super) const SCHEMA: Setting = setting("schema", &[], &["SNOWFLAKE_SCHEMA", "SCHEMA_NAME"]);
pub(super) const WAREHOUSE: Setting = setting("warehouse", &[], &["SNOWFLAKE_WAREHOUSE"]);
pub(super) const AUTHORIZATION: Setting = setting(
    "authorization_type",
    &["authenticator"],
    &["SNOWFLAKE_AUTHORIZATION_TYPE", "SNOWFLAKE_AUTHENTICATOR"],
);
pub(super) const KEY: Setting = of_kind(
    Kind::Verbatim,
    "private_key",
    &["private_key_raw"],
    &[
        "PRIVATE_KEY",
        "SNOWFLAKE_PRIVATE_KEY",
        "SNOWFLAKE_PRIVATE_KEY_RAW",
    ],
);
pub(super) const KEY_FILE: Setting = setting(
    "private_key_file",
    &["private_key_path"],
    &[
        "PRIVATE_KEY_FILE",
        "SNOWFLAKE_PRIVATE_KEY_FILE",
        "SNOWFLAKE_PRIVATE_KEY_PATH",
    ],
);
pub(super) const PASSPHRASE: Setting = of_kind(
    Kind::Verbatim,
    "private_key_passphrase",
    &["private_key_file_pwd"],
    &["PRIVATE_KEY_PASSPHRASE", "SNOWFLAKE_PRIVATE_KEY_PASSPHRASE"],
);
pub(super) const OAUTH_CLIENT_ID: Setting =
    setting("oauth_client_id", &[], &["SNOWFLAKE_OAUTH_CLIENT_ID"]);
pub(super) const OAUTH_CLIENT_SECRET: Setting = setting(
    "oauth_client_secret",
    &[],
    &["SNOWFLAKE_OAUTH_CLIENT_SECRET"],
);
pub(super) const OAUTH_REFRESH_TOKEN: Setting = setting(
    "oauth_refresh_token",
    &[],
    &["SNOWFLAKE_OAUTH_REFRESH_TOKEN"],
);
pub(super) const OAUTH_TOKEN_ENDPOINT: Setting = setting(
    "oauth_token_endpoint",
    &["oauth_token_request_url"],
    &[
        "SNOWFLAKE_OAUTH_TOKEN_ENDPOINT",
        "SNOWFLAKE_OAUTH_TOKEN_REQUEST_URL",
    ],
);
pub(super) const OAUTH_SCOPE: Setting = setting("oauth_scope", &[], &["SNOWFLAKE_OAUTH_SCOPE"]);
pub(super) const OAUTH_INCLUDE_SCOPE: Setting = of_kind(
    Kind::Flag,
    "oauth_include_scope",
    &[],
    &["SNOWFLAKE_OAUTH_INCLUDE_SCOPE"],
);
pub(super) const ACCESS_TOKEN: Setting = setting(
    "personal_access_token",
    &["token"],
    &["SNOWFLAKE_PERSONAL_ACCESS_TOKEN", "SNOWFLAKE_TOKEN"],
);
pub(super) const TOKEN_FILE: Setting =
    setting("token_file_path", &[], &["SNOWFLAKE_TOKEN_FILE_PATH"]);
pub(super) const SPCS_TOKEN_PATH: Setting =
    setting("spcs_token_path", &[], &["SNOWFLAKE_SPCS_TOKEN_PATH"]);
pub(super) const WORKLOAD_IDENTITY_PROVIDER: Setting = setting(
    "workload_identity_provider",
    &[],
    &["SNOWFLAKE_WORKLOAD_IDENTITY_PROVIDER"],
);
pub(super) const APPLICATION: Setting = setting("application", &[], &["SS_APPLICATION"]);

pub(super) const ALL: [&Setting; 25] = [
    &ACCOUNT,
    &USER,
    &ROLE,
    &URL,
    &SCHEME,
    &HOST,
    &PORT,
    &DATABASE,
    &SCHEMA,
    &WAREHOUSE,
    &AUTHORIZATION,
    &KEY,
    &KEY_FILE,
    &PASSPHRASE,
    &OAUTH_CLIENT_ID,
    &OAUTH_CLIENT_SECRET,
    &OAUTH_REFRESH_TOKEN,
    &OAUTH_TOKEN_ENDPOINT,
    &OAUTH_SCOPE,
    &OAUTH_INCLUDE_SCOPE,
    &ACCESS_TOKEN,
    &TOKEN_FILE,
    &SPCS_TOKEN_PATH,
    &WORKLOAD_IDENTITY_PROVIDER,
    &APPLICATION,
];

/// Settings whose values are secrets.
pub(super) const SECRETS: [&Setting; 5] = [
    &KEY,
    &PASSPHRASE,
    &OAUTH_CLIENT_SECRET,
    &OAUTH_REFRESH_TOKEN,
    &ACCESS_TOKEN,
];

/// Settings whose values are paths.
pub(super) const PATHS: [&Setting; 3] = [&KEY_FILE, &TOKEN_FILE, &SPCS_TOKEN_PATH];

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

    /// The trimmed value; `None` if it is blank.
    pub(super) fn tidy(&self, value: String) -> Option<String> {
        let trimmed = value.trim();
        if trimmed.is_empty() {
            None
        } else if self.kind == Kind::Verbatim {
            Some(value)
        } else {
            Some(trimmed.to_owned())
        }
    }

    /// The value as text, if its type is right. `name` is the name of the setting in its file.
    pub(super) fn text(&self, name: &str, value: Value) -> Result<Option<String>> {
        match (value, &self.kind) {
            (Value::Null, _) => Ok(None),
            (Value::String(text), _) => Ok(self.tidy(text)),
            (Value::Number(number), Kind::Number) => Ok(Some(number.to_string())),
            (Value::Bool(flag), Kind::Flag) => Ok(Some(flag.to_string())),
            (other, kind) => {
                let expected = match kind {
                    Kind::Text | Kind::Verbatim => "a string",
                    Kind::Number => "a number",
                    Kind::Flag => "true or false",
                };
                Err(config(format!(
                    "the key {name:?} must be {expected}, found {}",
                    type_name(&other)
                )))
            }
        }
    }
}

pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
