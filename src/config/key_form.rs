//! Describes the format of a profile's private key for people.

use zeroize::Zeroizing;

use super::{KeySource, Profile, read_named};

impl Profile {
    /// The format of the private key in words. `None` if there is no key or it cannot be read.
    pub(crate) fn key_form(&self) -> Option<&'static str> {
        match self.key.as_ref()? {
            KeySource::Text(text) => Some(form(text.expose())),
            KeySource::File(file) => {
                let bytes = read_named("private key", file).ok()?;
                Some(form(&Zeroizing::new(
                    String::from_utf8_lossy(&bytes).into_owned(),
                )))
            }
        }
    }
}

fn form(text: &str) -> &'static str {
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") {
        "encrypted PKCS#8 PEM"
    } else if text.contains("BEGIN RSA PRIVATE KEY") {
        "PKCS#1 PEM, not encrypted"
    } else if text.contains("BEGIN PRIVATE KEY") {
        "PKCS#8 PEM, not encrypted"
    } else {
        "without PEM header"
    }
}
