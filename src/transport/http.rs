//! The transport over real HTTP, on reqwest.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use super::{Request, Response, Transport, TransportError, TransportErrorKind};
use crate::error::{Error, ErrorKind, Result};

/// Answers are short; one that is longer is not from the server we mean.
const MAX_RESPONSE: usize = 64 * 1024 * 1024;

/// HTTP and HTTPS with pooled connections.
///
/// Proxies are taken from `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`. Servers are trusted by the operating
/// system's certificate store; a container without one needs [`HttpTransportBuilder::add_root_certificate_pem`].
///
/// ```
/// use std::time::Duration;
/// use snowpipe_streaming::HttpTransport;
/// let transport = HttpTransport::builder().connect_timeout(Duration::from_secs(3)).no_proxy().build()?;
/// # Ok::<(), snowpipe_streaming::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct HttpTransport {
    client: reqwest::Client,
}

impl HttpTransport {
    /// Starts with the defaults.
    pub fn builder() -> HttpTransportBuilder {
        HttpTransportBuilder::default()
    }
}

/// How [`HttpTransport`] connects.
#[derive(Debug, Clone)]
#[must_use]
pub struct HttpTransportBuilder {
    connect_timeout: Duration,
    pool_idle_timeout: Duration,
    no_proxy: bool,
    #[cfg(feature = "rustls")]
    roots: Vec<reqwest::Certificate>,
    #[cfg(feature = "rustls")]
    only_these_roots: bool,
}

impl Default for HttpTransportBuilder {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            // Below the minute after which load balancers commonly drop a quiet connection.
            pool_idle_timeout: Duration::from_secs(50),
            no_proxy: false,
            #[cfg(feature = "rustls")]
            roots: Vec::new(),
            #[cfg(feature = "rustls")]
            only_these_roots: false,
        }
    }
}

impl HttpTransportBuilder {
    /// The longest that name resolution, connection and TLS handshake may take together. 10 s by default.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long an unused connection is kept. 50 s by default.
    pub fn pool_idle_timeout(mut self, timeout: Duration) -> Self {
        self.pool_idle_timeout = timeout;
        self
    }

    /// Connects directly, whatever proxies the environment names.
    pub fn no_proxy(mut self) -> Self {
        self.no_proxy = true;
        self
    }

    /// Also trusts servers that these certificates, one or more in PEM, vouch for.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if `pem` holds no certificate.
    #[cfg(feature = "rustls")]
    pub fn add_root_certificate_pem(mut self, pem: &[u8]) -> Result<Self> {
        let none = || {
            Error::new(
                ErrorKind::Config,
                "the root certificates hold no certificate in PEM; give a file with -----BEGIN CERTIFICATE-----",
            )
        };
        let roots = reqwest::Certificate::from_pem_bundle(pem)
            .map_err(|why| none().with_source(why.without_url()))?;
        if roots.is_empty() {
            return Err(none());
        }
        self.roots.extend(roots);
        Ok(self)
    }

    /// Trusts only the certificates added, not those of the operating system.
    #[cfg(feature = "rustls")]
    pub fn only_these_roots(mut self) -> Self {
        self.only_these_roots = true;
        self
    }

    /// Makes the transport. It connects on its first call.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if a root certificate is unusable or the operating system's trust store cannot be read.
    pub fn build(self) -> Result<HttpTransport> {
        // The caller counts attempts and owns their deadlines: nothing may be sent twice or elsewhere behind its back.
        let client = reqwest::Client::builder()
            .retry(reqwest::retry::never())
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(self.connect_timeout)
            .pool_idle_timeout(self.pool_idle_timeout);
        let client = if self.no_proxy {
            client.no_proxy()
        } else {
            client
        };
        #[cfg(feature = "rustls")]
        let client = if self.only_these_roots {
            client.tls_certs_only(self.roots)
        } else {
            client.tls_certs_merge(self.roots)
        };
        let client = client.build().map_err(|why| {
            let cause = innermost(&why);
            Error::new(
                ErrorKind::Config,
                format!("the HTTP client cannot be set up: {cause}; check the root certificates"),
            )
            .with_source(why)
        })?;
        Ok(HttpTransport { client })
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn call(&self, request: Request) -> Result<Response, TransportError> {
        let host = host_of(&request);
        if request.uri().scheme_str() == Some("https") && !cfg!(feature = "rustls") {
            return Err(without_tls(&host));
        }
        let request = reqwest::Request::try_from(request).map_err(|why| explain(why, &host))?;
        let mut answer = self
            .client
            .execute(request)
            .await
            .map_err(|why| explain(why, &host))?;
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = answer.status();
        *response.version_mut() = answer.version();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(|why| broken_off(why, &host))? {
            if body.len() + chunk.len() > MAX_RESPONSE {
                return Err(TransportError::new(
                    TransportErrorKind::Body,
                    format!(
                        "the answer of {host:?} is longer than {MAX_RESPONSE} bytes: check the account's URL"
                    ),
                ));
            }
            body.extend_from_slice(&chunk);
        }
        *response.body_mut() = body.freeze();
        Ok(response)
    }
}

/// Host and port: all that a message names of an address, whose query holds tokens.
fn host_of(request: &Request) -> String {
    let authority = request.uri().authority();
    authority
        .map(|authority| match authority.port() {
            Some(port) => format!("{}:{port}", authority.host()),
            None => authority.host().to_owned(),
        })
        .unwrap_or_default()
}

fn without_tls(host: &str) -> TransportError {
    TransportError::new(
        TransportErrorKind::Request,
        format!(
            "https://{host} needs TLS, which this build leaves out: enable the feature \"rustls\" of snowpipe-streaming"
        ),
    )
}

fn explain(why: reqwest::Error, host: &str) -> TransportError {
    use TransportErrorKind as Kind;
    let why = why.without_url();
    let cause = innermost(&why);
    let (kind, message) = if why.is_connect() {
        if chain(&why).any(|link| link.to_string() == "dns error") {
            let mend = "check the account's URL and DNS";
            (
                Kind::Dns,
                format!("could not resolve the host {host:?}: {mend}"),
            )
        } else if chain(&why).any(is_tls) {
            let mend = "check the scheme and port, and whether the certificate's issuer is trusted";
            (
                Kind::Tls,
                format!("no TLS session with {host:?} ({cause}): {mend}"),
            )
        } else {
            let mend = "check the account's URL, firewall and proxy";
            (
                Kind::Connect,
                format!("could not connect to {host:?} ({cause}): {mend}"),
            )
        }
    } else if why.is_builder() {
        let mend = "check the account's URL";
        (
            Kind::Request,
            format!("the request to {host:?} could not be built ({cause}): {mend}"),
        )
    } else if why.is_timeout() {
        (
            Kind::Timeout,
            format!("{host:?} did not answer in time ({cause})"),
        )
    } else {
        (
            Kind::Interrupted,
            format!("the connection to {host:?} broke before the answer ({cause})"),
        )
    };
    TransportError::new(kind, message).with_source(why)
}

fn broken_off(why: reqwest::Error, host: &str) -> TransportError {
    let why = why.without_url();
    let cause = innermost(&why);
    TransportError::new(
        TransportErrorKind::Body,
        format!("the answer of {host:?} broke off ({cause})"),
    )
    .with_source(why)
}

/// While connecting, a TLS session reports what it cannot accept as invalid data, and a peer that leaves as its end.
fn is_tls(link: &(dyn StdError + 'static)) -> bool {
    link.downcast_ref::<io::Error>().is_some_and(|error| {
        matches!(
            error.kind(),
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
        )
    })
}

fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |link| cause(*link))
}

/// What caused an error. An `io::Error` hides the error it wraps from `source`.
fn cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

fn innermost(error: &(dyn StdError + 'static)) -> String {
    chain(error)
        .last()
        .map_or_else(String::new, ToString::to_string)
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
