//! The way of the writers to the service, with faults on it: over HTTP in a proxy, in memory in the transport.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::faults::Faults;
use super::memory::FaultyTransport;
use super::proxy::Proxy;
use super::tokens::ExpiringTokens;
use crate::conformance::error::{Error, Result};
use crate::conformance::options::Options;
use snowpipe_streaming::transport::{HttpTransport, Transport};

/// The way to the service. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct FaultyNetwork {
    transport: Arc<ExpiringTokens>,
    faults: Faults,
    _proxy: Option<Proxy>,
}

impl FaultyNetwork {
    /// Starts the way to the account at `url`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if this machine reaches the account through a proxy, or the transport cannot be built.
    pub(super) async fn start(url: &str, options: &Options, seed: u64) -> Result<Self> {
        let faults = Faults::new(seed);
        let (inner, proxy): (Arc<dyn Transport>, _) = if let Some(inner) = &options.transport {
            let transport = FaultyTransport::new(Arc::clone(inner), faults.clone());
            (Arc::new(transport), None)
        } else {
            let (http, proxy) = through_proxy(url, options, &faults).await?;
            (Arc::new(http), Some(proxy))
        };
        let tokens = ExpiringTokens::new(inner, Arc::clone(&options.time), faults.clone());
        Ok(Self {
            transport: Arc::new(tokens),
            faults,
            _proxy: proxy,
        })
    }

    /// The transport of the writers.
    pub(super) fn transport(&self) -> Arc<dyn Transport> {
        Arc::clone(&self.transport) as Arc<dyn Transport>
    }

    /// The number of requests, and of the faults of each kind.
    pub(super) fn counts(&self) -> (u64, BTreeMap<&'static str, u64>) {
        (self.transport.requests(), self.faults.counts())
    }
}

async fn through_proxy(
    url: &str,
    options: &Options,
    faults: &Faults,
) -> Result<(HttpTransport, Proxy)> {
    if let Some(between) = options.http.proxy_to(url) {
        let message = format!(
            "the soak breaks connections in a proxy of its own, which cannot connect through the proxy {between}: run it on a machine that reaches both hosts of the account directly, or name them in NO_PROXY if this one does"
        );
        return Err(Error::Config(message));
    }
    let proxy = Proxy::start(faults.clone()).await?;
    let http = options.http.clone().proxy(proxy.url())?.build()?;
    Ok((http, proxy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_proxy_on_the_way_is_named_without_its_password() {
        let http = HttpTransport::builder().proxy("http://me:hush@proxy:3128");
        let options = Options::new("D").http(http.unwrap());
        let refused = FaultyNetwork::start("https://a.example/", &options, 1).await;
        let error = refused.unwrap_err();
        assert!(matches!(error, Error::Config(_)), "{error}");
        let text = format!("{error} {error:?}");
        assert!(
            text.contains("through the proxy http://proxy:3128"),
            "{text}"
        );
        assert!(!text.contains("hush"), "{text}");

        let options = Options::new("D").http(HttpTransport::builder().no_proxy());
        let network = FaultyNetwork::start("https://a.example/", &options, 1).await;
        assert_eq!(network.unwrap().counts(), (0, BTreeMap::new()));
    }
}
