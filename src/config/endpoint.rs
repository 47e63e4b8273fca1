//! Parses and checks the account URL.

use std::net::Ipv6Addr;

use url::Url;

use super::config;
use crate::base::host::{dashed, is_on_this_machine};
use crate::types::error::Result;

/// The URL as text, from `url` or its parts.
pub(super) fn url_text(
    url: Option<String>,
    scheme: Option<&str>,
    host: Option<String>,
    port: Option<String>,
) -> Result<Option<String>> {
    let scheme = scheme.unwrap_or("https");
    if let Some(url) = url {
        return Ok(Some(if url.contains("://") {
            url
        } else {
            format!("{scheme}://{url}")
        }));
    }
    let Some(host) = host else { return Ok(None) };
    if host.contains("://") {
        return Err(config(
            "host contains a whole URL; put it under \"url\", or SNOWFLAKE_URL in the environment",
        ));
    }
    let host = match host.parse::<Ipv6Addr>() {
        Ok(v6) => format!("[{v6}]"),
        Err(_) => host,
    };
    let Some(port) = port else {
        return Ok(Some(format!("{scheme}://{host}")));
    };
    match port.parse::<u16>() {
        Ok(1..) => Ok(Some(format!("{scheme}://{host}:{port}"))),
        _ => Err(config("port must be a whole number from 1 to 65535")),
    }
}

/// Parses and checks a URL: `https`, or `http` to this machine, and nothing after host and port.
pub(super) fn parse_url(text: &str) -> Result<Url> {
    let text = text.trim();
    let mut url = if text.contains("://") {
        Url::parse(text)
    } else {
        Url::parse(&format!("https://{text}"))
    }
    // The parser's messages do not contain its input.
    .map_err(|e| {
        config(format!(
            "the account URL is malformed ({e}); write it like https://ORGANIZATION-ACCOUNT.snowflakecomputing.com"
        ))
    })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(config(
            "the account URL contains a user name or password; remove them",
        ));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(config(
            "the account URL must end after host and port; remove the rest",
        ));
    }
    if let Some(dashed) = url.domain().map(dashed) {
        url.set_host(Some(&dashed))
            .map_err(|_| config("the account URL has no host; add one"))?;
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_on_this_machine(&url) => Ok(url),
        "http" => Err(config(
            "the account URL is plain http://, which sends the credentials unencrypted; use https:// (http:// is for servers on this machine: 127.0.0.1, [::1], localhost)",
        )),
        _ => Err(config("the scheme of the account URL must be https")),
    }
}
