//! Reads an RSA private key in the formats that openssl writes, and names the remedy for those that are not supported.

use crate::types::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rsa::RsaPrivateKey;
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use rsa::pkcs8::pkcs5::EncryptionScheme;
use rsa::pkcs8::pkcs5::pbes2::Kdf;
use rsa::pkcs8::{self, EncryptedPrivateKeyInfo, PrivateKeyInfo, SubjectPublicKeyInfoRef};
use rsa::traits::PublicKeyParts as _;
use zeroize::Zeroizing;

use crate::types::error::{Error, ErrorKind, Result};

/// Snowflake refuses shorter keys, and aws-lc does not sign with them.
const MIN_BITS: usize = 2048;

/// Longer than any RSA key that can sign. Checking a key takes time quadratic in its length.
const MAX_DER: usize = 16 * 1024;

/// Beyond these limits checking the passphrase would take seconds or gigabytes: the file is damaged or hostile.
const MAX_PBKDF2_ITERATIONS: u32 = 1_000_000;
const MAX_SCRYPT_WORK: u64 = 1 << 22;

const CONVERT: &str = "openssl pkcs8 -topk8 -v2 aes-256-cbc -in OLD -out NEW";
const GENERATE: &str = "openssl genrsa 2048 | openssl pkcs8 -topk8 -v2 aes-256-cbc -out NEW";

/// Reads a private key given as PEM (PKCS#8, encrypted PKCS#8 or PKCS#1), as the base64 inside a PEM, or as DER.
///
/// PEM may come from an environment variable: with quotes around it, `\n` spelled out, or blanks instead of line ends.
pub(super) fn read(key: &[u8], passphrase: Option<&Secret>) -> Result<RsaPrivateKey> {
    let key = match std::str::from_utf8(key) {
        Ok(text) => from_text(text, passphrase)?,
        Err(_) => from_der(key, passphrase)?,
    };
    let bits = key.n().bits();
    if bits < MIN_BITS {
        return Err(refuse(format!(
            "the private key has {bits} bits, and Snowflake requires at least {MIN_BITS}; make a new one with `{GENERATE}`"
        )));
    }
    Ok(key)
}

fn from_text(text: &str, passphrase: Option<&Secret>) -> Result<RsaPrivateKey> {
    let text = Zeroizing::new(unquote(text).replace("\\r", "").replace("\\n", "\n"));
    if !text.contains("-----BEGIN") {
        return from_der(&base64_body(&text)?, passphrase);
    }
    let Some((label, body)) = pem_block(&text) else {
        return Err(refuse(
            "the private key's PEM text is incomplete: its END line is missing; give the whole file",
        ));
    };
    match label {
        "PUBLIC KEY" | "RSA PUBLIC KEY" => Err(public_key()),
        "CERTIFICATE" => Err(refuse(
            "a certificate was given instead of the private key; give the private key of the certificate",
        )),
        "EC PRIVATE KEY" => Err(not_rsa("an EC key")),
        "OPENSSH PRIVATE KEY" => Err(refuse(format!(
            "the private key is in OpenSSH format, which is not supported; make one with `{GENERATE}`"
        ))),
        // Only the headers of a traditional encrypted PEM hold a colon; base64 never does.
        _ if body.contains("Proc-Type:") => Err(refuse(format!(
            "the private key is encrypted in openssl's traditional PEM format, which is not supported; convert it with `{CONVERT}`"
        ))),
        "ENCRYPTED PRIVATE KEY" => {
            let der = base64_body(body)?;
            let info = EncryptedPrivateKeyInfo::try_from(der.as_slice())
                .map_err(|_| unsupported_encryption())?;
            decrypt(&info, passphrase)
        }
        _ => from_der(&base64_body(body)?, passphrase),
    }
}

/// The text without a byte-order mark, surrounding blanks, and quotes from a shell or an `.env` file.
fn unquote(text: &str) -> &str {
    let text = text.trim_start_matches('\u{feff}').trim();
    ['"', '\'']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(text)
        .trim()
}

/// Label and body of the first private key in the text, or of the first block if there is no private key.
fn pem_block(text: &str) -> Option<(&str, &str)> {
    let blocks = || {
        text.split("-----BEGIN ").skip(1).filter_map(|rest| {
            let (label, rest) = rest.split_once("-----")?;
            let (body, _) = rest.split_once("-----END ")?;
            Some((label, body))
        })
    };
    blocks()
        .find(|(label, _)| label.ends_with("PRIVATE KEY"))
        .or_else(|| blocks().next())
}

fn base64_body(text: &str) -> Result<Zeroizing<Vec<u8>>> {
    let packed: Zeroizing<String> =
        Zeroizing::new(text.chars().filter(|c| !c.is_whitespace()).collect());
    STANDARD
        .decode(packed.as_bytes())
        .map(Zeroizing::new)
        .map_err(|_| garbage())
}

fn from_der(der: &[u8], passphrase: Option<&Secret>) -> Result<RsaPrivateKey> {
    if let Ok(info) = PrivateKeyInfo::try_from(der) {
        from_pkcs8(&info)
    } else if let Ok(info) = EncryptedPrivateKeyInfo::try_from(der) {
        decrypt(&info, passphrase)
    } else if SubjectPublicKeyInfoRef::try_from(der).is_ok() {
        Err(public_key())
    } else {
        from_pkcs1(der)
    }
}

fn from_pkcs1(der: &[u8]) -> Result<RsaPrivateKey> {
    if der.len() > MAX_DER {
        return Err(refuse(format!(
            "the private key has {} bytes, and no RSA key that can sign is longer than {MAX_DER}; make a new one with `{GENERATE}`",
            der.len()
        )));
    }
    RsaPrivateKey::from_pkcs1_der(der).map_err(|_| garbage())
}

fn from_pkcs8(info: &PrivateKeyInfo<'_>) -> Result<RsaPrivateKey> {
    match info.algorithm.oid.to_string().as_str() {
        "1.2.840.113549.1.1.1" => from_pkcs1(info.private_key),
        "1.2.840.10045.2.1" => Err(not_rsa("an EC key")),
        _ => Err(not_rsa("not an RSA key")),
    }
}

fn decrypt(
    info: &EncryptedPrivateKeyInfo<'_>,
    passphrase: Option<&Secret>,
) -> Result<RsaPrivateKey> {
    check_work(&info.encryption_algorithm)?;
    let passphrase = passphrase
        .map(Secret::expose)
        .filter(|p| !p.is_empty())
        .ok_or_else(|| {
            refuse("the private key is encrypted and no passphrase was given; set private_key_passphrase, or PRIVATE_KEY_PASSPHRASE in the environment")
        })?;
    let plain = info.decrypt(passphrase).map_err(|e| match e {
        // A wrong passphrase leads to bad padding or, if the padding is valid by chance, to bad DER.
        pkcs8::Error::EncryptedPrivateKey(
            pkcs8::pkcs5::Error::DecryptFailed | pkcs8::pkcs5::Error::EncryptFailed,
        )
        | pkcs8::Error::Asn1(_) => wrong_passphrase(),
        _ => unsupported_encryption(),
    })?;
    let inner = PrivateKeyInfo::try_from(plain.as_bytes()).map_err(|_| wrong_passphrase())?;
    from_pkcs8(&inner)
}

/// Refuses key derivations that take too much memory or time, or that make the library panic.
fn check_work(scheme: &EncryptionScheme<'_>) -> Result<()> {
    let EncryptionScheme::Pbes2(params) = scheme else {
        return Err(unsupported_encryption());
    };
    let is_bounded = match &params.kdf {
        Kdf::Pbkdf2(p) => p.iteration_count <= MAX_PBKDF2_ITERATIONS,
        Kdf::Scrypt(p) => {
            let work = p
                .cost_parameter
                .saturating_mul(u64::from(p.block_size))
                .saturating_mul(u64::from(p.parallelization));
            p.cost_parameter > 1 && work <= MAX_SCRYPT_WORK
        }
        _ => false,
    };
    if is_bounded {
        Ok(())
    } else {
        Err(unsupported_encryption())
    }
}

fn refuse(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Authentication, message)
}

fn garbage() -> Error {
    refuse(format!(
        "the private key cannot be read: it is not an RSA private key in PEM, base64 or DER, or it is damaged; give PKCS#8 PEM, as `{CONVERT}` writes it"
    ))
}

fn wrong_passphrase() -> Error {
    refuse(format!(
        "the private key cannot be decrypted: the passphrase is wrong or the key is damaged; try it with `{CONVERT}`"
    ))
}

fn unsupported_encryption() -> Error {
    refuse(format!(
        "the private key is encrypted in a way that is not supported (supported: PBES2 with AES or 3DES); convert it with `{CONVERT}`"
    ))
}

fn not_rsa(what: &str) -> Error {
    refuse(format!(
        "the private key is {what}, and Snowflake accepts only RSA keys; make one with `{GENERATE}`"
    ))
}

fn public_key() -> Error {
    refuse(
        "a public key was given instead of the private key; give the private key that belongs to it",
    )
}

#[cfg(test)]
mod tests {
    use rsa::pkcs8::pkcs5::pbes2::Parameters;

    use super::{EncryptionScheme, check_work};

    #[test]
    fn a_key_that_takes_seconds_to_decrypt_is_refused() {
        let check = |iterations| {
            let parameters = Parameters::pbkdf2_sha256_aes256cbc(iterations, &[1; 8], &[2; 16]);
            check_work(&EncryptionScheme::Pbes2(parameters.unwrap()))
        };
        check(1_000_000).unwrap();
        let error = check(1_000_001).unwrap_err();
        assert!(error.to_string().contains("convert it with"), "{error}");
    }
}
