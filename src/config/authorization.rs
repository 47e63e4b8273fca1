//! The authorization that a profile describes.

use std::path::PathBuf;

use crate::types::secret::Secret;

use crate::auth::settings::OAuthSettings;
use crate::types::workload_identity::WorkloadIdentityProvider;

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
