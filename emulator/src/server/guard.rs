//! Who may use what has no Snowflake credential: not a web page, not another machine, not a caller without the token.

use std::net::IpAddr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use snowpipe_streaming::auth::Secret;

use crate::messages::answer::Refusal;
use crate::protocol::routes::{has_statement, is_connector, is_under};

/// Where the emulator's own endpoints are.
const ADMIN: &str = "/_emulator";

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Whether a path belongs to the emulator itself. Only these letters do: whatever decodes to them is another path.
pub(crate) fn is_admin(path: &str) -> bool {
    is_under(path, ADMIN)
}

/// The rules for requests, before anything of them is read but the head.
#[derive(Debug)]
pub(crate) struct Guard {
    hosts: Vec<String>,
    any_address: bool,
    admin_token: Option<Secret>,
}

impl Guard {
    /// `hosts` are names besides those of loopback; with `any_address` every IP address is one as well.
    pub(crate) fn new(hosts: Vec<String>, any_address: bool, admin_token: Option<Secret>) -> Self {
        Self {
            hosts,
            any_address,
            admin_token: admin_token.filter(|token| !token.expose().is_empty()),
        }
    }

    pub(crate) fn has_token(&self) -> bool {
        self.admin_token.is_some()
    }

    /// Refuses what a web page or a stranger could have sent.
    pub(crate) fn check(&self, head: &Parts) -> Result<(), Refusal> {
        let path = head.uri.path();
        check_origin(head)?;
        if !is_admin(path) && !has_statement(path) {
            return Ok(());
        }
        self.check_host(head)?;
        if is_admin(path) {
            check_site(head)?;
        }
        // A connector's heartbeat has no type, and what else connectors send carries a credential that no page has.
        if head.method == Method::POST && !is_json(head) && !is_connector(path) {
            return Err(refusal(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "A POST here needs the header Content-Type: application/json.",
            ));
        }
        match &self.admin_token {
            Some(token) if is_admin(path) => check_token(head, token),
            _ => Ok(()),
        }
    }

    fn check_host(&self, head: &Parts) -> Result<(), Refusal> {
        if host(head).is_some_and(|host| self.is_ours(host)) {
            return Ok(());
        }
        Err(refusal(
            StatusCode::FORBIDDEN,
            "The Host is neither an address or name of loopback nor one that the emulator was given: start it with --host.",
        ))
    }

    fn is_ours(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else {
            return false;
        };
        if host.contains('@') {
            return false;
        }
        let name = authority.host().trim_end_matches('.');
        let bare = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'))
            .unwrap_or(name);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return self.any_address || address.is_loopback();
        }
        let lower = name.to_ascii_lowercase();
        lower == "localhost"
            || lower.ends_with(".localhost")
            || self.hosts.iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

/// Programs send no Origin; pages do, and only one that came from this very server may.
fn check_origin(head: &Parts) -> Result<(), Refusal> {
    for origin in head.headers.get_all(ORIGIN) {
        let own = origin.to_str().ok().and_then(|origin| {
            let authority = origin.split_once("://")?.1;
            Some(host(head)? == authority)
        });
        if own != Some(true) {
            return Err(refusal(
                StatusCode::FORBIDDEN,
                "The request comes from a web page of another origin.",
            ));
        }
    }
    Ok(())
}

/// Browsers say whose page a request comes from: an image or a script of another one tells by its success what is here.
fn check_site(head: &Parts) -> Result<(), Refusal> {
    let mut sites = head.headers.get_all("sec-fetch-site").iter();
    if sites.all(|site| site == "same-origin" || site == "none") {
        return Ok(());
    }
    Err(refusal(
        StatusCode::FORBIDDEN,
        "The request comes from a web page of another site.",
    ))
}

/// The headers with which a browser gives no answer to a page of another site.
pub(crate) fn sealed<B>(mut answer: Response<B>) -> Response<B> {
    let headers = answer.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    answer
}

/// The host a request is for: of its address in HTTP/2, of its only `Host` otherwise.
fn host(head: &Parts) -> Option<&str> {
    if let Some(authority) = head.uri.authority() {
        return Some(authority.as_str());
    }
    only(head, HOST)
}

fn only(head: &Parts, name: HeaderName) -> Option<&str> {
    let mut values = head.headers.get_all(name).iter();
    let first = values.next()?;
    match values.next() {
        None => first.to_str().ok(),
        Some(_) => None,
    }
}

fn is_json(head: &Parts) -> bool {
    let essence = only(head, CONTENT_TYPE).map(|kind| kind.split(';').next().unwrap_or(kind));
    essence.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn check_token(head: &Parts, token: &Secret) -> Result<(), Refusal> {
    let given = only(head, AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    let given = given.unwrap_or_default().as_bytes();
    verify_slices_are_equal(given, token.expose().as_bytes()).map_err(|_| {
        refusal(
            StatusCode::UNAUTHORIZED,
            "The header Authorization: Bearer … does not carry the admin token.",
        )
    })
}

fn refusal(status: StatusCode, message: &str) -> Refusal {
    Refusal::new(status, "ERR_REQUEST_NOT_ALLOWED", message)
}
