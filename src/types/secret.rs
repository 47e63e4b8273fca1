//! Secrets: keys, tokens, passphrases and passwords.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};

/// A key, token, passphrase or password. `Debug` omits it, and its memory is overwritten when it is dropped.
///
/// ```
/// use snowpipe_streaming::auth::Secret;
/// let token = Secret::from("s3cret");
/// assert_eq!(token.expose(), "s3cret");
/// assert!(!format!("{token:?}").contains("s3cret"));
/// ```
#[derive(Clone, Default)]
pub struct Secret(SecretString);

impl Secret {
    /// The secret itself. Do not log it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([redacted])")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}
