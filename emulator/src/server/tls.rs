//! The certificate of the emulator's server, and the authority that vouches for it: both made at the start, and their keys
//! never written.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::{Error, ErrorKind, Result};
use snowpipe_streaming::time::{SystemClock, TimeSource as _};

/// The names the certificate always has.
const LOOPBACK: [&str; 3] = ["127.0.0.1", "::1", "localhost"];
/// How long before its making a certificate is valid, for clocks that are behind.
const BEFORE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long it is valid: some clients take no certificate that lives longer than 825 days.
const AFTER: Duration = Duration::from_secs(800 * 24 * 60 * 60);
/// HTTP/2 over TLS, by its name in the handshake.
pub(crate) const H2: &[u8] = b"h2";

/// What a [`Server`](super::serve::Server) needs to speak HTTPS: a certificate, and the authority that clients have to trust.
///
/// ```
/// use snowpipe_streaming_emulator::Tls;
/// let tls = Tls::generate(["emulator.internal"])?;
/// assert!(tls.authority_pem().starts_with("-----BEGIN CERTIFICATE-----"));
/// # Ok::<(), snowpipe_streaming_emulator::Error>(())
/// ```
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    authority_pem: String,
}

impl Tls {
    /// Makes an authority and a certificate for `127.0.0.1`, `::1`, `localhost` and these names or addresses. The keys stay in
    /// this process.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if a name cannot stand in a certificate.
    pub fn generate<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Result<Self> {
        let names: Vec<String> = LOOPBACK
            .map(str::to_owned)
            .into_iter()
            .chain(names.into_iter().map(Into::into))
            .collect();
        let unusable = |why: rcgen::Error| {
            Error::new(
                ErrorKind::Config,
                format!("no certificate can be made for {}: {why}; give host names and IP addresses without a port", names.join(", ")),
            )
            .with_source(why)
        };
        let issuer = authority().map_err(unusable)?;
        let key = KeyPair::generate().map_err(unusable)?;
        let certificate = params(names.clone(), "snowpipe-emulator")
            .and_then(|mut params| {
                params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
                params.use_authority_key_identifier_extension = true;
                params.signed_by(&key, &issuer)
            })
            .map_err(unusable)?;
        let config = config(certificate.der().clone(), key.serialize_der()).map_err(|why| {
            Error::new(
                ErrorKind::Config,
                format!("the emulator's own certificate does not serve: {why}"),
            )
            .with_source(why)
        })?;
        Ok(Self {
            config: Arc::new(config),
            authority_pem: issuer.pem(),
        })
    }

    /// The authority's certificate, as PEM. It holds no secret.
    pub fn authority_pem(&self) -> &str {
        &self.authority_pem
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.config.clone().into()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

fn authority() -> std::result::Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = params(Vec::new(), "snowpipe-emulator authority")?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

fn params(
    names: Vec<String>,
    common_name: &str,
) -> std::result::Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    let now = SystemClock.now();
    params.not_before = now.checked_sub(BEFORE).unwrap_or(now).into();
    params.not_after = now.checked_add(AFTER).unwrap_or(now).into();
    Ok(params)
}

fn config(
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
) -> std::result::Result<ServerConfig, tokio_rustls::rustls::Error> {
    let key = PrivateKeyDer::Pkcs8(key.into());
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![H2.to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
