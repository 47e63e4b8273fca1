//! Tokens that the server signs and verifies without storing them.
//!
//! They are signed with aws-lc's HMAC. `jsonwebtoken::encode` and `decode` panic as soon as any crate of the program enables a
//! second crypto provider, and naming the provider takes as much code as the HMAC.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::messages::answer::Refusal;

/// The key that signs them.
#[derive(Debug)]
pub(crate) struct TokenSigner(hmac::Key);

impl TokenSigner {
    pub(crate) fn new() -> Result<Self> {
        hmac::Key::generate(hmac::HMAC_SHA256, &aws_lc_rs::rand::SystemRandom::new())
            .map(Self)
            .map_err(|_| {
                Error::new(
                    ErrorKind::Config,
                    "the system gives no random bytes for the token secret",
                )
            })
    }

    /// The claims as a signed JWT.
    pub(crate) fn sign(&self, claims: &impl Serialize) -> std::result::Result<String, Refusal> {
        let claims = serde_json::to_vec(claims)
            .map_err(|why| Refusal::malformed(format!("No token can be made: {why}.")))?;
        let header = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"HS256"}"#);
        let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
        let signature = hmac::sign(&self.0, message.as_bytes());
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// The claims of a token that this server signed.
    pub(crate) fn open<T: for<'de> Deserialize<'de>>(&self, token: &str) -> Option<T> {
        let (message, signature) = token.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        hmac::verify(&self.0, message.as_bytes(), &signature).ok()?;
        let (_, claims) = message.split_once('.')?;
        decoded(claims)
    }
}

/// A part of a JWT.
pub(crate) fn decoded<T: for<'de> Deserialize<'de>>(part: &str) -> Option<T> {
    let json = URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&json).ok()
}
