//! Names of hosts.

use url::{Host, Url};

/// The host with dashes for underscores, if it is one of Snowflake's: its certificates and token scopes know only those.
/// A private link's name is in the customer's DNS as it is, and hosts of others are what they are called.
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

/// Whether what is sent there stays on this machine, and needs no protection on the way.
pub(crate) fn is_on_this_machine(url: &Url) -> bool {
    url.host().is_some_and(|host| match host {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => ip.is_loopback(),
    })
}
