//! What can be said without a network: the profile, its key, and who the account is told we are.

use std::sync::Arc;

use super::report::{Check, Report};
use crate::auth::Credential;
use crate::config::Profile;
use crate::error::Result;

/// How we log in.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) credential: Arc<dyn Credential>,
    /// What to do if the account refuses it.
    pub(super) mend: String,
}

/// The profile, if it was readable.
pub(super) fn profile(report: &mut Report, profile: Result<Profile>) -> Option<Profile> {
    match profile {
        Ok(profile) => {
            let role = profile.role().unwrap_or("the user's default role");
            let text = format!(
                "account {}, user {}, {role}, {}",
                profile.account(),
                profile.user().unwrap_or("as the token says"),
                profile.url().unwrap_or_default()
            );
            report.ok(Check::Profile, text);
            Some(profile)
        }
        Err(error) => {
            report.fail(Check::Profile, &error);
            None
        }
    }
}

impl Identity {
    /// Makes the credential that the profile describes.
    pub(super) fn examine(report: &mut Report, profile: &Profile) -> Option<Self> {
        let pair = match profile.credential() {
            Ok(pair) => pair,
            Err(error) => {
                report.fail(Check::PrivateKey, &error);
                report.skip(Check::Identity, "the private key cannot be used");
                return None;
            }
        };
        let user = profile.user().unwrap_or_default();
        let register = format!(
            "ALTER USER {} SET RSA_PUBLIC_KEY='{}'",
            identifier(user),
            pair.public_key_base64()
        );
        report.ok_but(
            Check::PrivateKey,
            format!("an RSA key that signs; fingerprint {}", pair.fingerprint()),
            format!("unless it is registered: {register}"),
        );
        report.ok(
            Check::Identity,
            format!("JWT subject {}, issuer {}", pair.subject(), pair.issuer()),
        );
        let mend = format!(
            "in Snowflake, DESC USER {} has to show the fingerprint {} as RSA_PUBLIC_KEY_FP or RSA_PUBLIC_KEY_2_FP; if not, {register}; if so, check that account and user in the profile are right: they make the subject {}",
            identifier(user),
            pair.fingerprint(),
            pair.subject()
        );
        Some(Self {
            credential: Arc::new(pair),
            mend,
        })
    }
}

/// A user's name as a statement takes it.
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
