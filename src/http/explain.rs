//! Explains why reqwest could not complete a call, in a sentence with a remedy.

use std::error::Error as StdError;
use std::io;

use super::proxies::Proxies;
use super::{Request, TransportError, TransportErrorKind};

/// The destination of a call as messages name it: without the query, which contains tokens.
pub(super) struct Target {
    /// Host and port.
    host: String,
    /// The proxy on the way, without its password.
    proxy: Option<String>,
}

impl Target {
    pub(super) fn new(request: &Request, proxies: &Proxies) -> Self {
        let authority = request.uri().authority();
        let host = authority.map(|authority| match authority.port() {
            Some(port) => format!("{}:{port}", authority.host()),
            None => authority.host().to_owned(),
        });
        Self {
            host: host.unwrap_or_default(),
            proxy: proxies.between(request.uri()),
        }
    }

    pub(super) fn has_proxy(&self) -> bool {
        self.proxy.is_some()
    }

    /// This build has no TLS.
    pub(super) fn without_tls(&self) -> TransportError {
        TransportError::new(
            TransportErrorKind::Request,
            format!(
                "https://{} needs TLS, which this build does not have: enable the feature \"rustls\" of snowpipe-streaming",
                self.host
            ),
        )
    }

    /// The answer is longer than the limit.
    pub(super) fn too_long(&self, most: usize) -> TransportError {
        TransportError::new(
            TransportErrorKind::Body,
            format!(
                "the answer of {:?} is longer than {most} bytes: check the account's URL",
                self.host
            ),
        )
    }

    /// The proxy asks for a user and password (407): there are none, or they are wrong.
    pub(super) fn proxy_wants_password(&self) -> TransportError {
        TransportError::new(
            TransportErrorKind::Proxy,
            format!(
                "the proxy {} asks for a user and password (407) on the way to {:?}: put them into the proxy's URL, as in http://user:password@proxy:3128, with special characters percent-encoded",
                self.proxy.as_deref().unwrap_or_default(),
                self.host
            ),
        )
    }

    /// There was no answer.
    pub(super) fn unanswered(&self, why: reqwest::Error) -> TransportError {
        let why = why.without_url();
        if why.is_connect() {
            return self.unconnected(&why).with_source(why);
        }
        let (host, cause) = (&self.host, innermost(&why));
        let (kind, message) = if why.is_builder() {
            (
                TransportErrorKind::Request,
                format!(
                    "the request to {host:?} could not be built ({cause}): check the account's URL"
                ),
            )
        } else if why.is_timeout() {
            (
                TransportErrorKind::Timeout,
                format!("{host:?} did not answer in time ({cause})"),
            )
        } else {
            (
                TransportErrorKind::Interrupted,
                format!("the connection to {host:?} broke before the answer ({cause})"),
            )
        };
        TransportError::new(kind, message).with_source(why)
    }

    /// The answer is incomplete.
    pub(super) fn broken_off(&self, why: reqwest::Error) -> TransportError {
        let why = why.without_url();
        let cause = innermost(&why);
        TransportError::new(
            TransportErrorKind::Body,
            format!("the answer of {:?} broke off ({cause})", self.host),
        )
        .with_source(why)
    }

    fn unconnected(&self, why: &reqwest::Error) -> TransportError {
        let (host, cause) = (&self.host, innermost(why));
        if let Some(proxy) = &self.proxy {
            if let Some(failed) = self.tunnel(why, proxy) {
                return failed;
            }
        } else if why.is_dns() {
            return TransportError::new(
                TransportErrorKind::Dns,
                format!("could not resolve the host {host:?}: check the account's URL and DNS"),
            );
        }
        if let Some(remedy) = tls_remedy(why) {
            return TransportError::new(
                TransportErrorKind::Tls,
                format!("no TLS session with {host:?} ({cause}): {remedy}"),
            );
        }
        let message = if chain(why).any(is_refusal) {
            format!(
                "{host:?} refused the connection, no server listens there: check the account's URL and port"
            )
        } else {
            format!(
                "could not connect to {host:?} ({cause}): check the account's URL, firewall and proxy"
            )
        };
        TransportError::new(TransportErrorKind::Connect, message)
    }

    /// The error if the connection failed at or in the proxy.
    fn tunnel(&self, why: &reqwest::Error, proxy: &str) -> Option<TransportError> {
        let host = &self.host;
        let (kind, message) = if why.is_dns() {
            (
                TransportErrorKind::Dns,
                format!("could not resolve the proxy {proxy}: check the proxy's URL and DNS"),
            )
        } else if chain(why).any(|link| link.to_string() == WANTS_PASSWORD) {
            return Some(self.proxy_wants_password());
        } else if chain(why).any(|link| link.to_string() == REFUSES) {
            (
                TransportErrorKind::Connect,
                format!(
                    "the proxy {proxy} refuses connections to {host:?}: allow both hosts of the account in the proxy, or name the host in NO_PROXY"
                ),
            )
        } else if chain(why).any(is_refusal) {
            (
                TransportErrorKind::Connect,
                format!(
                    "the proxy {proxy} refused the connection, no server listens there: check the proxy's URL and port"
                ),
            )
        } else if tls_remedy(why).is_some() {
            return None;
        } else {
            let cause = innermost(why);
            (
                TransportErrorKind::Connect,
                format!(
                    "could not connect to {host:?} through the proxy {proxy} ({cause}): check the proxy's URL, and whether the proxy works"
                ),
            )
        };
        Some(TransportError::new(kind, message))
    }
}

/// hyper-util's tunnel errors have no public type, only these texts.
const WANTS_PASSWORD: &str = "tunnel error: proxy authorization required";
const REFUSES: &str = "tunnel error: unsuccessful";

fn is_refusal(link: &(dyn StdError + 'static)) -> bool {
    link.downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// The remedy for a failed TLS handshake; `None` if the failure has another cause.
fn tls_remedy(why: &reqwest::Error) -> Option<&'static str> {
    #[cfg(feature = "rustls")]
    if let Some(error) = chain(why).find_map(|link| link.downcast_ref::<rustls::Error>()) {
        return Some(certificate_remedy(error));
    }
    // During the handshake, bad data shows as `InvalidData` and a peer that disconnects as `UnexpectedEof`.
    let is_tls = |link: &(dyn StdError + 'static)| {
        link.downcast_ref::<io::Error>().is_some_and(|error| {
            matches!(
                error.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            )
        })
    };
    chain(why)
        .any(is_tls)
        .then_some("check the scheme and port, and whether a firewall or proxy cuts the connection")
}

#[cfg(feature = "rustls")]
fn certificate_remedy(error: &rustls::Error) -> &'static str {
    use rustls::CertificateError as Of;
    use rustls::Error::{InvalidCertificate, InvalidMessage};
    match error {
        InvalidMessage(_) => "the server does not use TLS on this port: check the scheme and port",
        // A bad signature comes from an authority that was created again under the same name.
        InvalidCertificate(Of::UnknownIssuer | Of::BadSignature) => {
            "its certificate is not from an authority that this machine trusts: for a private authority or a proxy that inspects TLS, add the authority's certificate with HttpTransportBuilder::add_root_certificate_file or SSL_CERT_FILE"
        }
        InvalidCertificate(Of::NotValidForName | Of::NotValidForNameContext { .. }) => {
            "its certificate is for another name: check the account's URL"
        }
        InvalidCertificate(
            Of::Expired
            | Of::ExpiredContext { .. }
            | Of::NotValidYet
            | Of::NotValidYetContext { .. },
        ) => {
            "its certificate is not valid now: check this machine's clock, or have the certificate renewed"
        }
        InvalidCertificate(_) => {
            "its certificate is not usable: report it to the operator of the server"
        }
        _ => "check the scheme and port, and the TLS versions that the server offers",
    }
}

fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |link| cause(*link))
}

/// The cause of an error. `source` of an `io::Error` skips the error that it wraps.
fn cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

/// The text of the innermost cause of an error.
pub(super) fn innermost(error: &(dyn StdError + 'static)) -> String {
    chain(error)
        .last()
        .map_or_else(String::new, ToString::to_string)
}
