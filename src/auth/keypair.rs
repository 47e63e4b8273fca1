//! Key-pair authentication: the user logs in with a JWT signed by an RSA private key.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::types::secret::Secret;
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::crypto::aws_lc;
use jsonwebtoken::{Algorithm, EncodingKey};
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use rsa::pkcs8::EncodePublicKey as _;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tracing::debug;

use super::{
    Bearer, Credential, CredentialContext, CredentialError, KEYPAIR_JWT, private_key, session_role,
};
use crate::base::time::epoch_millis;
use crate::types::error::{Error, ErrorKind, Result};

/// Snowflake refuses a JWT that is valid for more than an hour.
const LIFETIME_S: u64 = 59 * 60;
/// `iat` is this much earlier than now, because a server whose clock is behind refuses a JWT from the future.
const CLOCK_SKEW_S: u64 = 60;
/// A new JWT is signed when the old one has less than this left, so that none expires in flight.
const RENEW_BEFORE_S: u64 = 5 * 60;

const HEADER: &str = r#"{"typ":"JWT","alg":"RS256"}"#;

/// Key-pair authentication: a user's RSA key, and the last JWT signed with it.
pub struct KeyPair {
    issuer: String,
    subject: String,
    role: Option<String>,
    key: EncodingKey,
    public_key: Vec<u8>,
    fingerprint: String,
    signed: Mutex<Option<Signed>>,
}

struct Signed {
    token: Secret,
    issued_s: u64,
    expires_s: u64,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    iat: u64,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    scp: Option<String>,
}

impl KeyPair {
    /// Reads a user's private key and checks that it can sign. The key is PKCS#8 (encrypted or not) or PKCS#1, as PEM, as the
    /// base64 inside a PEM, or as DER. Without a role the user's default role is used.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] or [`ErrorKind::Authentication`] if the key cannot be read or cannot sign.
    pub fn new(
        account: &str,
        user: &str,
        role: Option<&str>,
        private_key: &[u8],
        passphrase: Option<&Secret>,
    ) -> Result<Self> {
        let private = private_key::read(private_key, passphrase)?;
        let public_key = private
            .to_public_key()
            .to_public_key_der()
            .map_err(|_| unusable())?
            .into_vec();
        // The signer takes PKCS#1 as DER, not PKCS#8.
        let der = private.to_pkcs1_der().map_err(|_| unusable())?;
        let fingerprint = format!("SHA256:{}", STANDARD.encode(Sha256::digest(&public_key)));
        let subject = format!("{}.{}", account_name(account), user.to_uppercase());
        let pair = Self {
            issuer: format!("{subject}.{fingerprint}"),
            subject,
            role: role.map(str::to_owned),
            key: EncodingKey::from_rsa_der(der.as_bytes()),
            public_key,
            fingerprint,
            signed: Mutex::new(None),
        };
        pair.sign("")?;
        debug!(fingerprint = pair.fingerprint, "private key loaded");
        Ok(pair)
    }

    /// `SHA256:` and the base64 of the public key's SHA-256, as `DESC USER` shows it under `RSA_PUBLIC_KEY_FP`.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The JWT's `iss`: the subject and the fingerprint.
    #[cfg(feature = "doctor")]
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The JWT's `sub`: account and user.
    #[cfg(feature = "doctor")]
    pub(crate) fn subject(&self) -> &str {
        &self.subject
    }

    /// The public key for `ALTER USER … SET RSA_PUBLIC_KEY`: `SubjectPublicKeyInfo` as one line of base64.
    pub fn public_key_base64(&self) -> String {
        STANDARD.encode(&self.public_key)
    }

    /// The JWT for `now`: the last one while it is valid, otherwise a new one.
    fn jwt(&self, now: SystemTime) -> Result<Secret> {
        let now_s = epoch_millis(now) / 1000;
        let mut signed = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = &*signed
            // If the clock was set back, the last JWT is from the future.
            && (last.issued_s..last.expires_s.saturating_sub(RENEW_BEFORE_S)).contains(&now_s)
        {
            return Ok(last.token.clone());
        }
        let issued_s = now_s.saturating_sub(CLOCK_SKEW_S);
        let expires_s = issued_s + LIFETIME_S;
        let token = Secret::from(self.encode(issued_s, expires_s)?);
        *signed = Some(Signed {
            token: token.clone(),
            issued_s,
            expires_s,
        });
        Ok(token)
    }

    fn encode(&self, iat: u64, exp: u64) -> Result<String> {
        let claims = Claims {
            iss: &self.issuer,
            sub: &self.subject,
            iat,
            exp,
            scp: self.role.as_deref().map(session_role),
        };
        let claims = serde_json::to_vec(&claims).map_err(|_| unusable())?;
        let message = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(HEADER),
            URL_SAFE_NO_PAD.encode(claims)
        );
        let signature = self.sign(&message)?;
        Ok(format!("{message}.{signature}"))
    }

    /// RS256 of `message` in unpadded base64url.
    ///
    /// Names the crypto provider, because `jsonwebtoken::encode` panics if another crate of the program enables a second
    /// provider.
    fn sign(&self, message: &str) -> Result<String> {
        let signer = (aws_lc::DEFAULT_PROVIDER.signer_factory)(&Algorithm::RS256, &self.key)
            .map_err(|_| unusable())?;
        let signature = signer
            .try_sign(message.as_bytes())
            .map_err(|_| unusable())?;
        Ok(URL_SAFE_NO_PAD.encode(signature))
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair")
            .field("issuer", &self.issuer)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Credential for KeyPair {
    async fn bearer(&self, context: CredentialContext<'_>) -> Result<Bearer, CredentialError> {
        Ok(Bearer::new(self.jwt(context.now())?, KEYPAIR_JWT))
    }

    fn role(&self) -> Option<&str> {
        self.role.as_deref()
    }

    fn refused(&self, _bearer: &Bearer) -> bool {
        // Retrying now does not help: the same claims would be refused again unless the clock changes.
        *self.signed.lock().unwrap_or_else(PoisonError::into_inner) = None;
        false
    }
}

/// The account as a JWT names it: upper case, without region, cloud or host name.
///
/// An account locator is cut at its first dot, and `LOCATOR-SUFFIX.global` at its first dash. `ORGANIZATION-ACCOUNT` is not
/// changed.
pub(crate) fn account_name(account: &str) -> String {
    let account = account.to_uppercase();
    let end = if account.contains(".GLOBAL") {
        account.find('-')
    } else {
        account.find('.')
    };
    end.and_then(|end| account.get(..end))
        .unwrap_or(&account)
        .to_owned()
}

fn unusable() -> Error {
    Error::new(
        ErrorKind::Authentication,
        "the private key cannot sign: it is damaged or of an unsupported kind; make a new one with `openssl genrsa 2048 | openssl pkcs8 -topk8 -v2 aes-256-cbc -out NEW`",
    )
}
