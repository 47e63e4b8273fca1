//! How a profile proves who it is.

use std::path::PathBuf;

use secrecy::SecretString;

use crate::auth::settings::OAuthSettings;

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
