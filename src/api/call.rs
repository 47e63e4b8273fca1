//! A call: its endpoint and content, and the HTTP request made from it.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::failure::{Failure, Host, decided};
use super::wire;
use crate::auth::Bearer;
use crate::base::metrics::{Counters, Endpoint};
use crate::http::{Request, Response};
use crate::types::error::{Error, ErrorKind};

const TOKEN_TYPE: HeaderName = HeaderName::from_static("x-snowflake-authorization-token-type");

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// An attempt of a request. All attempts share the request id, and the count rises.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    pub(crate) request_id: Uuid,
    pub(crate) retry_count: u32,
}

/// A request without the host, the credential and the attempt.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) endpoint: Endpoint,
    /// Names the call in messages, as in "opening channel \"x\"".
    pub(super) what: String,
    pub(super) method: Method,
    pub(super) path: String,
    /// Values are percent-encoded.
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Bytes,
    /// Where the call is counted; with the calls of the account if this is `None`.
    pub(super) counters: Option<Arc<Counters>>,
}

impl Call {
    pub(super) fn new(endpoint: Endpoint, what: String, method: Method, path: String) -> Self {
        Self {
            endpoint,
            what,
            method,
            path,
            query: Vec::new(),
            headers: Vec::new(),
            body: Bytes::new(),
            counters: None,
        }
    }

    pub(super) fn json(mut self, body: &impl Serialize) -> Result<Self, Failure> {
        let body = serde_json::to_vec(body).map_err(|why| {
            let message = format!("{} failed: its body cannot be written", self.what);
            Failure::NotSent(Error::new(ErrorKind::Config, message).with_source(why))
        })?;
        self.body = body.into();
        self.headers.push((header::CONTENT_TYPE, JSON));
        Ok(self)
    }

    /// Reads the body of a successful answer, unless it contains a refusal.
    pub(super) fn answer<T: DeserializeOwned>(&self, response: &Response) -> Result<T, Failure> {
        match wire::refusal(response.body()) {
            Some(said) => Err(decided(Host::Ingest, &self.what, response.status(), said)),
            None => wire::json(response.body(), &self.what).map_err(Failure::Ambiguous),
        }
    }

    /// The HTTP request to the host at `base`, with the request id and the retry count.
    pub(super) fn request(
        &self,
        base: &str,
        bearer: &Bearer,
        attempt: Attempt,
        user_agent: &HeaderValue,
    ) -> Result<Request, Failure> {
        let query: String = self
            .query
            .iter()
            .flat_map(|(name, value)| [*name, "=", value.as_str(), "&"])
            .collect();
        let Attempt {
            request_id,
            retry_count,
        } = attempt;
        let counted = match self.endpoint {
            // The SQL API marks a repeated request with `retry=true`.
            Endpoint::Statement => String::new(),
            _ => format!("&retryCount={retry_count}"),
        };
        let url = format!("{base}{}?{query}requestId={request_id}{counted}", self.path);
        let refused = |why: &str| {
            let message = format!("{} failed: {why}", self.what);
            Failure::NotSent(Error::new(ErrorKind::Config, message))
        };
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", bearer.token.expose()))
            .map_err(|_| refused("the credential holds characters that cannot be sent"))?;
        authorization.set_sensitive(true);
        let mut request = Request::new(self.body.clone());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = url.try_into().map_err(|_| {
            refused("the names and tokens do not make a valid address, or one that is too long")
        })?;
        let headers = request.headers_mut();
        headers.insert(header::AUTHORIZATION, authorization);
        if !bearer.token_type.is_empty() {
            headers.insert(
                TOKEN_TYPE,
                HeaderValue::try_from(&*bearer.token_type)
                    .map_err(|_| refused("the credential's type cannot be sent"))?,
            );
        }
        headers.insert(header::ACCEPT, JSON);
        headers.insert(header::ACCEPT_CHARSET, HeaderValue::from_static("UTF-8"));
        headers.insert(header::USER_AGENT, user_agent.clone());
        headers.extend(self.headers.iter().cloned());
        Ok(request)
    }
}

/// In the form that Snowflake recommends: product, platform, language, and the program that uses the SDK.
pub(super) fn user_agent(application: Option<&str>) -> HeaderValue {
    let product = concat!("snowpipe-streaming-rust/", env!("CARGO_PKG_VERSION"));
    let platform = format!("({} {})", std::env::consts::OS, std::env::consts::ARCH);
    let language = concat!("RUST/", env!("CARGO_PKG_RUST_VERSION"));
    let application = application
        .map(|application| format!(" (app={application})"))
        .unwrap_or_default();
    HeaderValue::try_from(format!("{product} {platform} {language}{application}"))
        .unwrap_or(HeaderValue::from_static(product))
}
