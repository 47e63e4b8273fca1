//! The checks of a host: name, port, certificate and clock.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use url::{Host, Url};

use super::options::Options;
use super::report::{Check, Report};
use crate::http::proxies::proxy_between;
use crate::http::{Request, Transport, TransportError, TransportErrorKind};

/// The check fails if the clocks differ by more: JWTs may be refused as from the future or the past.
const SKEW: Duration = Duration::from_secs(60);
/// The check warns if the clocks differ by more.
const NOTICEABLE: Duration = Duration::from_secs(30);

/// The checks of a host.
struct Checks {
    dns: Check,
    tcp: Check,
    tls: Check,
    /// The remedy if the name does not resolve.
    name_remedy: &'static str,
    /// The remedy if the port does not answer.
    port_remedy: &'static str,
}

const ACCOUNT: Checks = Checks {
    dns: Check::Dns,
    tcp: Check::Tcp,
    tls: Check::Tls,
    name_remedy: "check account and url in the profile, and this machine's DNS; Snowflake's host names have dashes instead of underscores; with private link, the host must be in your own DNS",
    port_remedy: "check the port in the profile's url, and whether a firewall blocks this machine; if connections need a proxy, name it in HTTPS_PROXY",
};

const INGEST: Checks = Checks {
    dns: Check::IngestDns,
    tcp: Check::IngestTcp,
    tls: Check::IngestTls,
    name_remedy: "the account names this host for streaming: make it resolvable in this machine's DNS; with private link, add it to your own DNS",
    // Observed of accounts in AWS and Azure.
    port_remedy: "allow this host in the firewall: it is another one than the account's, and SYSTEM$ALLOWLIST() does not list it; if connections need a proxy, name it in HTTPS_PROXY",
};

/// Checks whether the account host answers requests.
pub(super) async fn account_host(
    report: &mut Report,
    url: &Url,
    transport: &dyn Transport,
    options: &Options,
) -> bool {
    reach(report, &ACCOUNT, url, options).await
        && greet(report, &ACCOUNT, url, transport, options).await
}

/// Checks whether the ingest host answers requests. `base` is its scheme, name and port.
pub(super) async fn ingest_host(
    report: &mut Report,
    base: &str,
    transport: &dyn Transport,
    options: &Options,
) -> bool {
    match Url::parse(base) {
        Ok(url) => {
            reach(report, &INGEST, &url, options).await
                && greet(report, &INGEST, &url, transport, options).await
        }
        Err(why) => {
            let text = format!(
                "the account named {base:?} as its ingest host, which is not a valid URL: {why}"
            );
            report.fail_as(Check::IngestDns, text, "check the account's URL");
            false
        }
    }
}

/// Resolves the name and connects to the port.
async fn reach(report: &mut Report, checks: &Checks, url: &Url, options: &Options) -> bool {
    if let Some(proxy) = proxy(url) {
        let because = format!("requests go through the environment's proxy {proxy}");
        report.skip(checks.dns, &because);
        report.skip(checks.tcp, &because);
        return true;
    }
    let port = url.port_or_known_default().unwrap_or(443);
    let addresses = match url.host() {
        None => Vec::new(),
        Some(Host::Ipv4(ip)) => given(report, checks, (ip, port).into()),
        Some(Host::Ipv6(ip)) => given(report, checks, (ip, port).into()),
        Some(Host::Domain(name)) => resolved(report, checks, name, port, options.timeout).await,
    };
    !addresses.is_empty() && connect(report, checks, &addresses, options.timeout).await
}

fn given(report: &mut Report, checks: &Checks, address: SocketAddr) -> Vec<SocketAddr> {
    report.ok(
        checks.dns,
        format!("{} is an address, not a name", address.ip()),
    );
    vec![address]
}

async fn resolved(
    report: &mut Report,
    checks: &Checks,
    name: &str,
    port: u16,
    limit: Duration,
) -> Vec<SocketAddr> {
    let found = timeout(limit, lookup_host((name, port))).await;
    let addresses: Vec<_> = match found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(addresses) => addresses.collect(),
        Err(why) => {
            let text = format!("the name {name:?} does not resolve: {why}");
            report.fail_as(checks.dns, text, checks.name_remedy);
            return Vec::new();
        }
    };
    if let Some(first) = addresses.first() {
        report.ok(checks.dns, format!("{name:?} resolves to {}", first.ip()));
    } else {
        let text = format!("the name {name:?} resolves to no address");
        report.fail_as(checks.dns, text, checks.name_remedy);
    }
    addresses
}

/// Tries the addresses in order.
async fn connect(
    report: &mut Report,
    checks: &Checks,
    addresses: &[SocketAddr],
    limit: Duration,
) -> bool {
    let mut failed = Vec::new();
    for address in addresses {
        let connected = timeout(limit, TcpStream::connect(address)).await;
        match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(_) => {
                report.ok(checks.tcp, format!("{address} accepts connections"));
                return true;
            }
            Err(why) => failed.push(format!("{address}: {why}")),
        }
    }
    let text = format!("no connection to {}", failed.join(", "));
    report.fail_as(checks.tcp, text, checks.port_remedy);
    false
}

/// Makes a request without a credential. Any answer is accepted.
async fn greet(
    report: &mut Report,
    checks: &Checks,
    url: &Url,
    transport: &dyn Transport,
    options: &Options,
) -> bool {
    let mut request = Request::new(Bytes::new());
    let Ok(uri) = url.as_str().try_into() else {
        report.fail_as(
            checks.tls,
            "the URL is not usable in a request",
            "check the profile's url",
        );
        return false;
    };
    *request.uri_mut() = uri;
    request
        .headers_mut()
        .insert(header::ACCEPT, header::HeaderValue::from_static("*/*"));
    let sent = options.time.now();
    let answer = match timeout(options.timeout, transport.call(request)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(why)) => {
            report.fail_as(checks.tls, why.to_string(), tls_remedy(&why));
            return false;
        }
        Err(_) => {
            let text = format!("no answer within {:?}", options.timeout);
            report.fail_as(
                checks.tls,
                text,
                "check the firewall and any proxy on the way",
            );
            return false;
        }
    };
    if url.scheme() == "https" {
        let host = url.host_str().unwrap_or_default();
        report.ok(checks.tls, format!("{host:?} has a trusted certificate"));
    } else {
        report.skip(checks.tls, "the URL is http:// to this machine");
    }
    if checks.tls == Check::Tls {
        let date = answer.headers().get(header::DATE);
        let there = date.and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
        clock(report, sent, there);
    }
    true
}

fn tls_remedy(why: &TransportError) -> &'static str {
    match why.kind() {
        TransportErrorKind::Tls if why.to_string().contains("not valid for name") => {
            "the certificate is for another host: check account and url in the profile; Snowflake's host names have dashes instead of underscores"
        }
        TransportErrorKind::Tls => {
            "add the certificate of its issuer, often an inspecting proxy, with --ca FILE, or in a program with HttpTransportBuilder::add_root_certificate_pem"
        }
        TransportErrorKind::Dns | TransportErrorKind::Connect => {
            "check the profile's url, and the proxy in HTTPS_PROXY if there is one"
        }
        _ => "check that the port in the profile's url fits the scheme, and any proxy on the way",
    }
}

/// Compares this machine's clock with the server's, which has a resolution of one second.
fn clock(report: &mut Report, here: SystemTime, there: Option<SystemTime>) {
    let Some(there) = there else {
        report.skip(Check::Clock, "the server's answer has no date");
        return;
    };
    let (skew, direction) = match here.duration_since(there) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    let seconds = skew.as_secs();
    let text = format!("this machine's clock is {seconds} s {direction} the server's");
    let remedy = "set the clock, and synchronize it with NTP: logins from the future or the past are refused";
    if skew > SKEW {
        report.fail_as(Check::Clock, text, remedy);
    } else if skew > NOTICEABLE {
        report.warn(Check::Clock, text, remedy);
    } else {
        report.ok(
            Check::Clock,
            "this machine's clock agrees with the server's",
        );
    }
}

/// The system's proxy for this URL, if there is one.
fn proxy(url: &Url) -> Option<String> {
    // This crate uses no proxy for `http://`, which is only for this machine.
    if url.scheme() != "https" {
        return None;
    }
    proxy_between(url.as_str())
}
