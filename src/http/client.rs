//! The HTTP transport, built on reqwest.

use std::fmt;
#[cfg(feature = "rustls")]
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::StatusCode;

use super::explain::{Target, innermost};
use super::proxies::{Proxies, ProxySource};
#[cfg(feature = "rustls")]
use super::roots;
use super::{AnswerLimit, Request, Response, Transport, TransportError};
#[cfg(feature = "rustls")]
use crate::base::files::{LARGE, read_limited};
use crate::types::error::{Error, ErrorKind, Result};

/// The longest answer to a request without an [`AnswerLimit`].
pub(crate) const MAX_RESPONSE: usize = 64 * 1024 * 1024;

/// How long an HTTP/2 connection with pending calls may be silent before a ping, and how long the peer has to answer it. The
/// sum is well below the deadline of an attempt.
const HTTP2_PING: Duration = Duration::from_secs(10);

/// HTTP and HTTPS with pooled connections. The default is HTTP/1.1, with one connection per uploading channel, which costs less
/// CPU than one shared HTTP/2 connection; see [`http2`](HttpTransportBuilder::http2).
///
/// | What | From where |
/// |---|---|
/// | proxies | `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, also in lower case, then the settings of macOS or Windows; with user and password in the URL; not used for `http://` to this machine. [`proxy`](HttpTransportBuilder::proxy) and [`no_proxy`](HttpTransportBuilder::no_proxy) override them |
/// | trusted authorities | the operating system, or `SSL_CERT_FILE` and `SSL_CERT_DIR` together if one is set; and those that the program adds |
///
/// ```
/// use std::time::Duration;
/// use snowpipe_streaming::transport::HttpTransport;
/// let transport = HttpTransport::builder().connect_timeout(Duration::from_secs(3)).no_proxy().build()?;
/// # Ok::<(), snowpipe_streaming::Error>(())
/// ```
#[derive(Clone)]
pub struct HttpTransport {
    client: reqwest::Client,
    /// For requests that bypass the proxies.
    direct: reqwest::Client,
    proxy: ProxySource,
    proxies: Proxies,
}

/// Written by hand, because `reqwest::Client` shows a part of a proxy password that contains an unencoded `@`.
impl fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTransport")
            .field("proxies", &self.proxies)
            .finish_non_exhaustive()
    }
}

impl HttpTransport {
    /// Creates a builder with the default settings.
    pub fn builder() -> HttpTransportBuilder {
        HttpTransportBuilder::default()
    }
}

/// Builds an [`HttpTransport`].
#[derive(Debug, Clone)]
#[must_use]
pub struct HttpTransportBuilder {
    connect_timeout: Duration,
    pool_idle_timeout: Duration,
    proxy: ProxySource,
    http2: bool,
    #[cfg(feature = "rustls")]
    roots: Vec<reqwest::Certificate>,
    #[cfg(feature = "rustls")]
    only_these_roots: bool,
}

impl Default for HttpTransportBuilder {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            // Below 60 s, after which load balancers commonly drop an idle connection.
            pool_idle_timeout: Duration::from_secs(50),
            proxy: ProxySource::default(),
            http2: false,
            #[cfg(feature = "rustls")]
            roots: Vec::new(),
            #[cfg(feature = "rustls")]
            only_these_roots: false,
        }
    }
}

impl HttpTransportBuilder {
    /// Sets the limit for name resolution, connection and TLS handshake together. Default: 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how long an unused connection is kept. Default: 50 s.
    pub fn pool_idle_timeout(mut self, timeout: Duration) -> Self {
        self.pool_idle_timeout = timeout;
        self
    }

    /// Connects directly and ignores the system's proxies.
    pub fn no_proxy(mut self) -> Self {
        self.proxy = ProxySource::Nothing;
        self
    }

    /// Connects to every host through this proxy and ignores the system's proxies. A proxy on another machine is not used for
    /// `http://` to this machine, because it could read the credential. User and password are part of the URL, with
    /// special characters percent-encoded: `http://user:password@proxy:3128`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if `url` is malformed, or its scheme is not `http`, `https`, `socks5` or `socks5h`.
    pub fn proxy(mut self, url: &str) -> Result<Self> {
        self.proxy = ProxySource::fixed(url)?;
        Ok(self)
    }

    /// The proxy that requests to `url` would go through, without its password.
    pub fn proxy_to(&self, url: &str) -> Option<String> {
        self.proxy.proxies().between(&url.parse().ok()?)
    }

    /// Uses HTTP/2 with servers that offer it over TLS. All calls then share one connection. Use it for many channels with few
    /// rows each, or where connections are limited.
    pub fn http2(mut self) -> Self {
        self.http2 = true;
        self
    }

    /// Also trusts these root certificates: one or more in PEM.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if `pem` contains no certificate.
    #[cfg(feature = "rustls")]
    pub fn add_root_certificate_pem(mut self, pem: &[u8]) -> Result<Self> {
        let none = || {
            Error::new(
                ErrorKind::Config,
                "the root certificates contain no certificate in PEM; give a file with -----BEGIN CERTIFICATE-----",
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

    /// Also trusts the root certificates in this PEM file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if the file cannot be read or contains no certificate.
    #[cfg(feature = "rustls")]
    pub fn add_root_certificate_file(self, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let named = |why: &dyn std::fmt::Display| {
            Error::new(ErrorKind::Config, format!("{}: {why}", path.display()))
        };
        let pem = read_limited(path, LARGE).map_err(|why| {
            named(&format!("the root certificates cannot be read: {why}")).with_source(why)
        })?;
        self.add_root_certificate_pem(&pem)
            .map_err(|why| named(&why))
    }

    /// Trusts only the added certificates, not those of the operating system and the environment.
    #[cfg(feature = "rustls")]
    pub fn only_these_roots(mut self) -> Self {
        self.only_these_roots = true;
        self
    }

    /// Builds the transport. It connects on its first call.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if a root certificate is unusable, `SSL_CERT_FILE` or `SSL_CERT_DIR` is set and there is no usable
    /// certificate, or the operating system's trust store cannot be read.
    pub fn build(self) -> Result<HttpTransport> {
        let unusable = |why: reqwest::Error| {
            let cause = innermost(&why);
            Error::new(
                ErrorKind::Config,
                format!("the HTTP client cannot be set up: {cause}; check the root certificates"),
            )
            .with_source(why)
        };
        // The caller counts attempts and sets their deadlines, so the transport must neither retry nor follow redirects.
        let plain = || {
            let client = reqwest::Client::builder()
                .retry(reqwest::retry::never())
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .connect_timeout(self.connect_timeout)
                .pool_idle_timeout(self.pool_idle_timeout)
                // All calls share one HTTP/2 connection, so a dead one has to be detected within an attempt.
                .http2_keep_alive_interval(HTTP2_PING)
                .http2_keep_alive_timeout(HTTP2_PING);
            if self.http2 {
                client
            } else {
                client.http1_only()
            }
        };
        let direct = plain().no_proxy();
        // It never uses TLS and needs no certificates.
        #[cfg(feature = "rustls")]
        let direct = direct.tls_certs_only([]);
        let client = self.proxy.configure(plain()).map_err(unusable)?;
        #[cfg(feature = "rustls")]
        let client = if self.only_these_roots {
            client.tls_certs_only(self.roots)
        } else if let Some(named) = roots::from_environment()? {
            client.tls_certs_only(named.into_iter().chain(self.roots))
        } else {
            client.tls_certs_merge(self.roots)
        };
        Ok(HttpTransport {
            client: client.build().map_err(unusable)?,
            direct: direct.build().map_err(unusable)?,
            proxies: self.proxy.proxies(),
            proxy: self.proxy,
        })
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn call(&self, request: Request) -> Result<Response, TransportError> {
        let target = Target::new(&request, &self.proxies);
        let limit = request.extensions().get::<AnswerLimit>();
        let limit = limit.map_or(MAX_RESPONSE, |limit| limit.0);
        if request.uri().scheme_str() == Some("https") && !cfg!(feature = "rustls") {
            return Err(target.without_tls());
        }
        let request = reqwest::Request::try_from(request).map_err(|why| target.unanswered(why))?;
        let client = if self.proxy.is_bypassed(request.url()) {
            &self.direct
        } else {
            &self.client
        };
        let mut answer = client
            .execute(request)
            .await
            .map_err(|why| target.unanswered(why))?;
        if answer.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED && target.has_proxy() {
            return Err(target.proxy_wants_password());
        }
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = answer.status();
        *response.version_mut() = answer.version();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(|why| target.broken_off(why))? {
            if body.len() + chunk.len() > limit {
                return Err(target.too_long(limit));
            }
            body.extend_from_slice(&chunk);
        }
        *response.body_mut() = body.freeze();
        Ok(response)
    }
}

#[cfg(test)]
#[path = "client_tests/mod.rs"]
mod tests;
