//! Host names.

use url::{Host, Url};

/// Replaces underscores by dashes in Snowflake's public host names, as in its certificates and token scopes. Private link
/// names, which are in the customer's DNS, and other hosts are not changed.
pub(crate) fn dashed(host: &str) -> String {
    let mut labels = host.rsplit('.');
    let public = labels
        .nth(1)
        .is_some_and(|label| label.eq_ignore_ascii_case("snowflakecomputing"));
    if public && !labels.any(|label| label.eq_ignore_ascii_case("privatelink")) {
        host.replace('_', "-")
    } else {
        host.to_owned()
    }
}

/// Whether the URL is on this machine, so that requests need no TLS.
pub(crate) fn is_on_this_machine(url: &Url) -> bool {
    url.host().is_some_and(|host| match host {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => ip.is_loopback(),
    })
}
