//! Checks requests and sets the headers of all responses. Other web pages get no data, even if their host name resolves to this
//! machine.

use axum::extract::{Request, State};
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, ORIGIN, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// The longest query string, in bytes.
const QUERY_BYTES: usize = 1024;
/// The port that URLs omit.
const HTTP_PORT: u16 = 80;

const CONTENT: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Checks requests for one port.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guard {
    port: u16,
}

impl Guard {
    pub(super) fn new(port: u16) -> Self {
        Self { port }
    }

    /// The response to a request that is refused.
    fn objection(self, request: &Request) -> Option<Response> {
        let headers = request.headers();
        if !self.is_for_us(request.uri(), headers) {
            let message = "This is the dashboard of a program on your machine: open it at its printed address.";
            return Some((StatusCode::MISDIRECTED_REQUEST, message).into_response());
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let allow = [(ALLOW, "GET, HEAD")];
            let message = "The dashboard is read-only.";
            return Some((StatusCode::METHOD_NOT_ALLOWED, allow, message).into_response());
        }
        if request.uri().query().unwrap_or_default().len() > QUERY_BYTES {
            return Some((StatusCode::URI_TOO_LONG, "The query is too long.").into_response());
        }
        if is_data(request.uri().path()) && !self.is_from_here(headers) {
            let message = "The request comes from another page.";
            return Some((StatusCode::FORBIDDEN, message).into_response());
        }
        None
    }

    /// Whether host and port, in the URI or in the header, are those of the dashboard.
    fn is_for_us(self, uri: &Uri, headers: &HeaderMap) -> bool {
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return false;
        };
        let host = host.to_str().ok().and_then(|host| host.parse().ok());
        host.is_some_and(|host| self.is_ours(&host))
            && uri.authority().is_none_or(|host| self.is_ours(host))
    }

    fn is_ours(self, authority: &Authority) -> bool {
        let is_loopback = ["127.0.0.1", "localhost", "[::1]"]
            .iter()
            .any(|name| authority.host().eq_ignore_ascii_case(name));
        is_loopback
            && !authority.as_str().contains('@')
            && authority.port().map_or(HTTP_PORT, |port| port.as_u16()) == self.port
    }

    /// Whether the request comes from the page's own script, or from a person or program and not from another page.
    fn is_from_here(self, headers: &HeaderMap) -> bool {
        let mut sites = headers.get_all("sec-fetch-site").iter();
        // WebSocket requests and old browsers send only the origin.
        let mut origins = headers.get_all(ORIGIN).iter();
        sites.all(|site| site == "same-origin" || site == "none")
            && origins.all(|origin| {
                let host = origin.to_str().ok().and_then(|o| o.strip_prefix("http://"));
                let host = host.and_then(|host| host.parse().ok());
                host.is_some_and(|host| self.is_ours(&host))
            })
    }
}

/// Whether a path is data. Links on other pages may lead to the files only.
fn is_data(path: &str) -> bool {
    matches!(path, "/data" | "/events" | "/metrics")
}

/// Passes valid requests on, and sets the headers of every response.
pub(super) async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    // Files may be cached if the browser revalidates them.
    let cache = if is_data(request.uri().path()) {
        "no-store"
    } else {
        "no-cache"
    };
    let mut response = match guard.objection(&request) {
        Some(objection) => objection,
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(CONTENT_SECURITY_POLICY, CONTENT);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    response
}
