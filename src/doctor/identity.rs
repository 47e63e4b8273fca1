//! The checks that need no network: the profile, its key, and the identity in the JWT.

use std::sync::Arc;

use super::report::{Check, Report};
use crate::auth::Credential;
use crate::config::Authorization;
use crate::config::Profile;
use crate::types::error::Result;

/// Without a role in the scope the service works under the user's default one (redpanda-data/connect, streamingv2/token.go).
pub(super) const NO_ROLE: &str = "no role given: the user's DEFAULT_ROLE is used";

/// The credential of the profile.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) credential: Arc<dyn Credential>,
    /// The remedy if the account refuses the credential.
    pub(super) remedy: String,
}

/// Reports on the profile, and returns it if it could be loaded.
pub(super) fn profile(report: &mut Report, profile: Result<Profile>) -> Option<Profile> {
    match profile {
        Ok(profile) => {
            let role = match profile.role() {
                Some(role) => format!("role {role}"),
                None => NO_ROLE.to_owned(),
            };
            let text = format!(
                "account {}, {}{role}, {}",
                profile.account(),
                profile
                    .user()
                    .map(|user| format!("user {user}, "))
                    .unwrap_or_default(),
                profile.url().unwrap_or_default()
            );
            let origins: Vec<_> = profile
                .origins()
                .map(|(key, origin)| format!("{key} from {origin}"))
                .collect();
            let shared = profile.shared_files();
            match (origins.as_slice(), shared.as_slice()) {
                ([], []) => report.ok(Check::Profile, text),
                (origins, []) => report.ok_but(Check::Profile, text, origins.join(", ")),
                (_, shared) => report.warn(Check::Profile, text, shared.join("; ")),
            }
            Some(profile)
        }
        Err(error) => {
            report.fail(Check::Profile, &error);
            None
        }
    }
}

impl Identity {
    /// Creates the credential that the profile describes, and reports on it.
    pub(super) fn examine(report: &mut Report, profile: &Profile) -> Option<Self> {
        let made = match profile.authorization() {
            Ok(Authorization::KeyPair) => Self::of_key_pair(report, profile),
            Ok(other) => Self::of_token(report, profile, &other),
            Err(error) => Err(error),
        };
        match made {
            Ok(identity) => Some(identity),
            Err(error) => {
                report.fail(Check::PrivateKey, &error);
                report.skip(Check::Identity, "there is no credential");
                None
            }
        }
    }

    fn of_key_pair(report: &mut Report, profile: &Profile) -> Result<Self> {
        let pair = profile.key_pair()?;
        let user = identifier(profile.user().unwrap_or_default());
        let register = format!(
            "ALTER USER {user} SET RSA_PUBLIC_KEY='{}'",
            pair.public_key_base64()
        );
        report.ok_but(
            Check::PrivateKey,
            format!(
                "an RSA key that can sign, {}; fingerprint {}",
                profile.key_form().unwrap_or_default(),
                pair.fingerprint()
            ),
            format!("if it is not registered yet: {register}"),
        );
        report.ok(
            Check::Identity,
            format!("JWT subject {}, issuer {}", pair.subject(), pair.issuer()),
        );
        let remedy = format!(
            "in Snowflake, DESC USER {user} has to show the fingerprint {} as RSA_PUBLIC_KEY_FP or RSA_PUBLIC_KEY_2_FP; if it does not, {register}; if it does, check account and user in the profile, which make the subject {}",
            pair.fingerprint(),
            pair.subject()
        );
        Ok(Self {
            credential: Arc::new(pair),
            remedy,
        })
    }

    fn of_token(report: &mut Report, profile: &Profile, kind: &Authorization) -> Result<Self> {
        let credential = profile.credential()?;
        let (what, remedy) = match kind {
            Authorization::KeyPair | Authorization::OAuth(_) => (
                "an access token of an OAuth server",
                "check client id and secret, the scope, and that an OAuth security integration of the account trusts the server: DESC SECURITY INTEGRATION",
            ),
            Authorization::ProgrammaticAccessToken(_) => (
                "a programmatic access token",
                "check in SHOW USER PROGRAMMATIC ACCESS TOKENS that the token is active and not expired, and make a new one if not; its user needs a network policy: without one Snowflake takes no programmatic access token",
            ),
            Authorization::SpcsToken(_) => (
                "a token in a file that another program renews",
                "check that the token file is the one that Snowflake mounts into the container",
            ),
            Authorization::WorkloadIdentity(..) => (
                "the token of a workload identity",
                "check that DESC USER shows a WORKLOAD_IDENTITY with the provider, issuer and subject of the token, and that the token's audience is snowflakecomputing.com or in its OIDC_AUDIENCE_LIST",
            ),
        };
        report.skip(
            Check::PrivateKey,
            &format!("the profile logs in with {what}"),
        );
        report.skip(
            Check::Identity,
            "the identity is inside the token, which only the account reads",
        );
        Ok(Self {
            credential,
            remedy: remedy.to_owned(),
        })
    }
}

/// A user's name as an identifier in a statement.
fn identifier(name: &str) -> String {
    let mut chars = name.chars();
    let begins = chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if begins && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '$')) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.to_uppercase().replace('"', "\"\""))
    }
}
