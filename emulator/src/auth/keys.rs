//! RSA keys of the emulator's users: made, read, registered, and used to check signatures.

use std::fmt;
use std::sync::OnceLock;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pkcs8::{Document, LineEnding, SecretDocument};
use sha2::{Digest, Sha256};
use snowpipe_streaming::auth::Secret;

use crate::error::{Error, ErrorKind, Result};

/// A fresh 2048-bit key as unencrypted PKCS#8 PEM.
pub(crate) fn generate() -> Result<Secret> {
    let unmade = || Error::new(ErrorKind::Config, "no RSA key could be generated");
    let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| unmade())?;
    let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| unmade())?;
    let document = SecretDocument::try_from(der.as_ref()).map_err(|_| unmade())?;
    let pem = document
        .to_pem("PRIVATE KEY", LineEnding::LF)
        .map_err(|_| unmade())?;
    Ok(Secret::from(pem.as_str()))
}

/// The key of emulators that were given none. One a process: making one takes longer than most tests do.
pub(crate) fn shared() -> Result<Secret> {
    static SHARED: OnceLock<Secret> = OnceLock::new();
    if let Some(key) = SHARED.get() {
        return Ok(key.clone());
    }
    let key = generate()?;
    Ok(SHARED.get_or_init(|| key).clone())
}

/// A registered public key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PublicKey {
    der: Vec<u8>,
}

impl PublicKey {
    /// Reads a PEM that begins with `BEGIN PUBLIC KEY`.
    pub(crate) fn from_pem(pem: &str) -> Result<Self> {
        let unread = |why: String| {
            Error::new(
                ErrorKind::Config,
                format!(
                    "the public key cannot be read: {why}; make it with `openssl rsa -in KEY.p8 -pubout`"
                ),
            )
        };
        match Document::from_pem(pem) {
            Ok(("PUBLIC KEY", document)) => Ok(Self {
                der: document.into_vec(),
            }),
            Ok((label, _)) => Err(unread(format!("it is a {label}"))),
            Err(why) => Err(unread(why.to_string())),
        }
    }

    /// The public half of an unencrypted PKCS#8 PEM.
    pub(crate) fn of_private_pem(pem: &Secret) -> Result<Self> {
        let unread = || {
            Error::new(
                ErrorKind::Config,
                "the emulator's private key is not an unencrypted PKCS#8 PEM of an RSA key; \
                 make one with `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048`",
            )
        };
        let (_, document) = SecretDocument::from_pem(pem.expose()).map_err(|_| unread())?;
        let pair = KeyPair::from_pkcs8(document.as_bytes()).map_err(|_| unread())?;
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| unread())?;
        Ok(Self {
            der: der.as_ref().to_vec(),
        })
    }

    /// The key as a PEM that begins with `BEGIN PUBLIC KEY`.
    pub(crate) fn to_pem(&self) -> Result<String> {
        let document = Document::try_from(self.der.as_slice());
        document
            .and_then(|document| document.to_pem("PUBLIC KEY", LineEnding::LF))
            .map_err(|why| {
                Error::new(
                    ErrorKind::Config,
                    format!("the public key cannot be written: {why}"),
                )
            })
    }

    /// `SHA256:` and the hash of the key's DER, as a JWT's issuer names it.
    pub(crate) fn fingerprint(&self) -> String {
        format!("SHA256:{}", STANDARD.encode(Sha256::digest(&self.der)))
    }

    /// Whether `signature` is this key's RS256 signature of `message`.
    pub(crate) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.der)
            .verify(message, signature)
            .is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fingerprint())
    }
}
