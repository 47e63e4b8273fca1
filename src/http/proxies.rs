//! Chooses the proxy for a host.

use std::fmt;
use std::sync::Arc;

use crate::types::secret::Secret;
use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use url::Url;

use crate::base::host::is_on_this_machine;
use crate::types::error::{Error, ErrorKind, Result};

/// The supported protocols. A `socks5h` proxy also resolves names.
const SCHEMES: [&str; 4] = ["http", "https", "socks5", "socks5h"];

/// Where the proxies come from.
#[derive(Debug, Clone, Default)]
pub(super) enum ProxySource {
    /// The environment, or the operating system's settings.
    #[default]
    System,
    /// No proxies.
    Nothing,
    /// One proxy for all hosts. The URL may contain a password.
    Fixed(Secret),
}

impl ProxySource {
    /// The proxy with this URL.
    pub(super) fn fixed(text: &str) -> Result<Self> {
        let refused = |why: &str| {
            Error::new(
                ErrorKind::Config,
                format!(
                    "the proxy's URL {why}; write it like http://proxy:3128 or http://user:password@proxy:3128"
                ),
            )
        };
        let text = text.trim();
        let text = if text.contains("://") {
            text.to_owned()
        } else {
            format!("http://{text}")
        };
        // The parser's messages do not contain its input.
        let url = Url::parse(&text).map_err(|why| refused(&format!("is malformed ({why})")))?;
        if !SCHEMES.contains(&url.scheme()) {
            return Err(refused(
                "must begin with http://, https://, socks5:// or socks5h://",
            ));
        }
        if !url.has_host() {
            return Err(refused("names no host"));
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(refused("must end after host and port"));
        }
        Ok(Self::Fixed(Secret::from(String::from(url))))
    }

    /// Configures the client to use these proxies.
    pub(super) fn configure(
        &self,
        client: reqwest::ClientBuilder,
    ) -> reqwest::Result<reqwest::ClientBuilder> {
        Ok(match self {
            Self::System => client,
            Self::Nothing => client.no_proxy(),
            Self::Fixed(url) => client.proxy(reqwest::Proxy::all(url.expose())?),
        })
    }

    pub(super) fn proxies(&self) -> Proxies {
        let matcher = match self {
            Self::System => Some(Matcher::from_system()),
            Self::Nothing => None,
            Self::Fixed(url) => Some(Matcher::builder().all(url.expose()).build()),
        };
        Proxies {
            matcher: matcher.map(Arc::new),
            source: self.clone(),
        }
    }

    /// Whether a request to `url` bypasses the proxies. Plain HTTP is used only within this machine: a proxy elsewhere could read
    /// the request, and cannot connect back.
    pub(super) fn is_bypassed(&self, url: &Url) -> bool {
        let is_elsewhere = match self {
            Self::System => true,
            Self::Nothing => false,
            Self::Fixed(proxy) => {
                Url::parse(proxy.expose()).is_ok_and(|proxy| !is_on_this_machine(&proxy))
            }
        };
        is_elsewhere && url.scheme() == "http" && is_on_this_machine(url)
    }
}

/// The system's proxy for a URL, without its password.
#[cfg(feature = "doctor")]
pub(crate) fn proxy_between(url: &str) -> Option<String> {
    let target = url.parse().ok()?;
    ProxySource::System.proxies().between(&target)
}

/// Repeats the choice of the HTTP client, which does not expose it.
#[derive(Clone)]
pub(super) struct Proxies {
    matcher: Option<Arc<Matcher>>,
    source: ProxySource,
}

impl Proxies {
    /// The proxy for `target`, without its password.
    pub(super) fn between(&self, target: &Uri) -> Option<String> {
        let url = Url::parse(&target.to_string()).ok()?;
        if self.source.is_bypassed(&url) {
            return None;
        }
        let proxy = self.matcher.as_ref()?.intercept(target)?;
        let text = proxy.uri().to_string();
        let (scheme, authority) = text.split_once("://")?;
        // If a password contains an unencoded @, the matcher takes the rest of it as part of the host.
        let host = authority.rsplit('@').next().unwrap_or_default();
        Some(format!("{scheme}://{}", host.trim_end_matches('/')))
    }
}

/// Written by hand, because the matcher may show a part of a password.
impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.matcher {
            Some(_) => "Some(..)",
            None => "None",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::ProxySource;
    use crate::ErrorKind;

    #[test]
    fn a_fixed_proxy_is_for_all_hosts_and_shows_no_password() {
        for (given, shown) in [
            ("proxy:3128", "http://proxy:3128"),
            ("http://me:hush@proxy:3128/", "http://proxy:3128"),
            (" https://me:hush@[::1]:8443", "https://[::1]:8443"),
            ("socks5h://me:hush@proxy:1080", "socks5h://proxy:1080"),
        ] {
            let source = ProxySource::fixed(given).unwrap();
            let proxies = source.proxies();
            for target in ["https://127.0.0.1:1/x", "https://a.example/y"] {
                let between = proxies.between(&target.parse().unwrap());
                assert_eq!(between.as_deref(), Some(shown));
            }
            // Only a proxy on this machine gets what is not encrypted.
            let between = proxies.between(&"http://127.0.0.1:1/x".parse().unwrap());
            let is_local = given.contains("[::1]");
            assert_eq!(between.as_deref(), is_local.then_some(shown));
            let debug = format!("{source:?} {proxies:?}");
            assert!(!debug.contains("hush"), "{debug}");
        }
        let none = ProxySource::Nothing.proxies();
        assert_eq!(none.between(&"https://a.example".parse().unwrap()), None);
    }

    #[test]
    fn an_invalid_proxy_url_is_refused_without_showing_its_password() {
        for (given, why) in [
            ("", "malformed"),
            ("http://me:hush@:1", "malformed"),
            ("http://me:hush@proxy:99999", "malformed"),
            ("ftp://me:hush@proxy:1080", "must begin with http://"),
            ("socks5:///hush", "names no host"),
            ("http://me:hush@proxy/path", "end after host and port"),
            (
                "socks5://me:hush@proxy:1080/path",
                "end after host and port",
            ),
        ] {
            let error = ProxySource::fixed(given).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains(why), "{error}");
            assert!(!format!("{error:?}").contains("hush"), "{error:?}");
        }
    }

    #[test]
    fn a_password_with_an_unencoded_at_sign_is_not_shown() {
        use hyper_util::client::proxy::matcher::Matcher;
        use std::sync::Arc;
        for given in [
            "http://me:hu@sh@proxy:3128",
            "socks5h://me:hu@sh@proxy:1080",
        ] {
            let matcher = Matcher::builder().all(given).build();
            let proxies = super::Proxies {
                matcher: Some(Arc::new(matcher)),
                source: ProxySource::System,
            };
            let between = proxies.between(&"https://a.example/y".parse().unwrap());
            let shown = format!("{between:?} {proxies:?}");
            assert!(!shown.contains("sh@"), "{shown}");
        }
    }
}
