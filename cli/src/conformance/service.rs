//! Requests to the service as an experiment writes them, and the answers as they come, each noted as evidence.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use url::{Position, Url, form_urlencoded};
use uuid::Uuid;

use super::Broken;
use super::hidden::Hidden;
use super::wire::{self, IngestHost};
use snowpipe_streaming::Error;
use snowpipe_streaming::auth::Secret;
use snowpipe_streaming::auth::{Bearer, Credential};
use snowpipe_streaming::sql::{Rows, SqlClient};
use snowpipe_streaming::time::TimeSource;
use snowpipe_streaming::transport::Transport;

const TOKEN_TYPE: HeaderName = HeaderName::from_static("x-snowflake-authorization-token-type");

/// A token is exchanged again if it ends sooner than this.
const BEFORE_EXPIRY: Duration = Duration::from_secs(120);

/// How long a token lives that does not say so.
const UNKNOWN_LIFE: Duration = Duration::from_secs(600);

/// A request and its answer, without secrets and without the names of the account's objects. A statement has the method `STATEMENT`,
/// its text as the body, and the status 200 or 422.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Exchange {
    /// The method.
    pub method: String,
    /// The path and the query.
    pub path: String,
    /// The headers of the request, without the authorization.
    pub request_headers: Vec<(String, String)>,
    /// The beginning of the request's body.
    pub request_body: String,
    /// The status of the answer.
    pub status: u16,
    /// The headers of the answer.
    pub headers: Vec<(String, String)>,
    /// The beginning of the answer's body.
    pub body: String,
    /// How long the answer took.
    pub elapsed_ms: u64,
}

/// A request without host and authorization.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Bytes,
    id: Uuid,
    /// How often the request was sent before.
    retries: u32,
}

impl Request {
    pub(super) fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            query: Vec::new(),
            headers: vec![(header::ACCEPT, HeaderValue::from_static("application/json"))],
            body: Bytes::new(),
            id: Uuid::from_u128(fastrand::u128(..)),
            retries: 0,
        }
    }

    /// The same request, sent once more.
    pub(super) fn again(&self) -> Self {
        Self {
            retries: self.retries + 1,
            ..self.clone()
        }
    }

    pub(super) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(super) fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }

    pub(super) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub(super) fn body(mut self, kind: &'static str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.headers
            .push((header::CONTENT_TYPE, HeaderValue::from_static(kind)));
        self
    }

    pub(super) fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body, if it is JSON.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(super) fn field(&self, name: &str) -> Option<String> {
        self.json().get(name)?.as_str().map(str::to_owned)
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The error's code: of a field, or a JSON string by itself.
    pub(super) fn code(&self) -> Option<String> {
        let body = self.json();
        let field = |name: &str| match body.get(name)? {
            Value::String(code) => Some(code.clone()),
            Value::Number(code) => Some(code.to_string()),
            _ => None,
        };
        let code = field("error_code").or_else(|| field("code"));
        code.or_else(|| body.as_str().map(str::to_owned))
    }

    /// Status and code, as in `400 STALE_CONTINUATION_TOKEN_SEQUENCER`.
    pub(super) fn outcome(&self) -> String {
        match self.code() {
            Some(code) => format!("{} {code}", self.status),
            None => self.status.to_string(),
        }
    }
}

/// The two hosts of an account.
#[derive(Debug)]
pub(super) struct Service {
    url: Url,
    credential: Arc<dyn Credential>,
    /// Logs in with the credential.
    login: SqlClient,
    transport: Arc<dyn Transport>,
    time: Arc<dyn TimeSource>,
    timeout: Duration,
    ingest: Option<IngestHost>,
    /// The token of the ingest host, and when it expires.
    token: Option<(Secret, SystemTime)>,
    /// Whether a channel could be opened.
    pub(super) has_opened: bool,
    pub(super) hidden: Hidden,
    pub(super) evidence: Vec<Exchange>,
}

impl Service {
    pub(super) fn new(
        url: Url,
        credential: Arc<dyn Credential>,
        login: SqlClient,
        transport: Arc<dyn Transport>,
        time: Arc<dyn TimeSource>,
        timeout: Duration,
        hidden: Hidden,
    ) -> Self {
        Self {
            url,
            credential,
            login,
            transport,
            time,
            timeout,
            ingest: None,
            token: None,
            has_opened: false,
            hidden,
            evidence: Vec::new(),
        }
    }

    pub(super) fn time(&self) -> &dyn TimeSource {
        &*self.time
    }

    /// A token of the credential.
    pub(super) async fn bearer(&mut self) -> Result<Bearer, Broken> {
        let bearer = tokio::time::timeout(self.timeout, self.login.bearer()).await;
        let bearer = bearer
            .map_err(|_| Broken::new("the credential gave no token in time"))?
            .map_err(|why| Broken::last(format!("the credential gave no token: {why}")))?;
        self.hidden.secret(bearer.token());
        Ok(bearer)
    }

    /// A request to the account host.
    pub(super) async fn account(&mut self, request: &Request) -> Result<Answer, Broken> {
        let bearer = self.bearer().await?;
        let base = format!(
            "{}://{}",
            self.url.scheme(),
            &self.url[Position::BeforeHost..Position::AfterPort]
        );
        self.send(&base, &bearer, request).await
    }

    /// A request to the ingest host.
    pub(super) async fn ingest(&mut self, request: &Request) -> Result<Answer, Broken> {
        let soon = self.time.now() + BEFORE_EXPIRY;
        let known = self.token.as_ref().filter(|(_, end)| *end > soon);
        let known = known.map(|(token, _)| token.clone());
        let token = match known {
            Some(token) => token,
            None => self.new_token().await?,
        };
        let answer = self.ingest_with(&token, request).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        // The token may have ended before its time.
        let token = self.new_token().await?;
        let answer = self.ingest_with(&token, &request.again()).await?;
        match answer.status {
            401 => Err(Broken::of("a request with a new token", &answer)),
            _ => Ok(answer),
        }
    }

    async fn new_token(&mut self) -> Result<Secret, Broken> {
        let answer = self.exchange().await?;
        self.keep_token(&answer)
    }

    /// A request to the ingest host with this token.
    pub(super) async fn ingest_with(
        &mut self,
        token: &Secret,
        request: &Request,
    ) -> Result<Answer, Broken> {
        let base = self.ingest_host().await?.base;
        let bearer = Bearer::new(token.clone(), "OAUTH");
        self.send(&base, &bearer, request).await
    }

    /// Exchanges the credential for a token of the ingest host.
    pub(super) async fn exchange(&mut self) -> Result<Answer, Broken> {
        self.exchange_for(None).await
    }

    /// The same for a token with this scope, if there is one.
    pub(super) async fn exchange_for(&mut self, scope: Option<String>) -> Result<Answer, Broken> {
        let host = self.ingest_host().await?.host;
        let bearer = self.bearer().await?;
        let mut form = self.credential.exchange_form(&bearer, &host);
        if let Some(scope) = scope {
            form.retain(|(name, _)| *name != "scope");
            form.push(("scope", scope));
        }
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let request = Request::post("/oauth/token").body("application/x-www-form-urlencoded", form);
        self.account(&request).await
    }

    /// The scope of the credential's role, if it is exchanged and has one.
    pub(super) fn role_scope(&self) -> Option<String> {
        let role = self.credential.role()?;
        let is_exchanged = self.credential.is_exchanged();
        is_exchanged.then(|| format!("session:role:{role}"))
    }

    /// Reads a token from the answer to its exchange, for the requests that follow.
    pub(super) fn keep_token(&mut self, answer: &Answer) -> Result<Secret, Broken> {
        let status = answer.status;
        if !answer.is_success() {
            let code = answer.outcome();
            return Err(Broken::last(format!(
                "the token exchange was answered {code}"
            )));
        }
        let token = wire::scoped_token(&answer.body)
            .map_err(|why| Broken::last(format!("{why} (status {status})")))?;
        self.hidden.secret(&token);
        let end = wire::token_expiry(token.expose());
        let end = end.unwrap_or_else(|| self.time.now() + UNKNOWN_LIFE);
        self.token = Some((token.clone(), end));
        Ok(token)
    }

    /// The ingest host.
    pub(super) async fn ingest_host(&mut self) -> Result<IngestHost, Broken> {
        if let Some(host) = &self.ingest {
            return Ok(host.clone());
        }
        let answer = self
            .account(&Request::get("/v2/streaming/hostname"))
            .await?;
        if !answer.is_success() {
            let code = answer.outcome();
            return Err(Broken::last(format!(
                "the account host does not name the ingest host: {code}; run snowpipe doctor"
            )));
        }
        self.keep_host(&answer)
    }

    /// Reads the ingest host from the answer that names it.
    pub(super) fn keep_host(&mut self, answer: &Answer) -> Result<IngestHost, Broken> {
        // The host in the answer is spelled otherwise than the one that is used.
        let shown = match answer.json() {
            Value::String(host) => host,
            _ => answer.text().trim().to_owned(),
        };
        if !shown.contains(['{', '<', ' ']) {
            self.hidden.name(&shown, "<ingest-host>");
        }
        let host = wire::ingest_host(&answer.body, &self.url)
            .map_err(|why| Broken::last(self.hidden.hide(&why)))?;
        self.hidden.name(&host.host, "<ingest-host>");
        if let Some(last) = self.evidence.last_mut() {
            last.body = self.hidden.hide(&answer.text());
        }
        self.ingest = Some(host.clone());
        Ok(host)
    }

    async fn send(
        &mut self,
        base: &str,
        bearer: &Bearer,
        request: &Request,
    ) -> Result<Answer, Broken> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&request.query);
        query.append_pair("requestId", &request.id.to_string());
        if request.retries > 0 {
            query.append_pair("retryCount", &request.retries.to_string());
        }
        let path = format!("{}?{}", request.path, query.finish());
        // Without names and numbers of this run, so that two runs can be compared.
        let last = request.path.rsplit(['/', ':']).next().unwrap_or_default();
        let what = format!("{} …{last}", request.method);
        let unsendable = |why: &dyn std::fmt::Display| Broken::new(format!("{what}: {why}"));
        let mut built = http::Request::new(request.body.clone());
        *built.method_mut() = request.method.clone();
        *built.uri_mut() = format!("{base}{path}")
            .try_into()
            .map_err(|why: http::uri::InvalidUri| unsendable(&why))?;
        let headers = built.headers_mut();
        let value = format!("Bearer {}", bearer.token().expose());
        let mut value = HeaderValue::try_from(value).map_err(|why| unsendable(&why))?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
        let kind = HeaderValue::try_from(bearer.token_type()).map_err(|why| unsendable(&why))?;
        headers.insert(TOKEN_TYPE, kind);
        let product = concat!("snowpipe-streaming-rust/", env!("CARGO_PKG_VERSION"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(product));
        headers.extend(request.headers.iter().cloned());
        let started = Instant::now();
        let answer = tokio::time::timeout(self.timeout, self.transport.call(built)).await;
        let answer = answer
            .map_err(|_| unsendable(&"no answer in time"))?
            .map_err(|why| unsendable(&why))?;
        let elapsed = started.elapsed();
        let answer = Answer {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            body: answer.into_body(),
        };
        self.note(&path, request, &answer, elapsed);
        Ok(answer)
    }

    /// Notes a statement and its answer as evidence.
    pub(super) fn note_statement(
        &mut self,
        statement: &str,
        answer: &std::result::Result<Rows, Error>,
        elapsed: Duration,
    ) {
        let (status, body) = match answer {
            Ok(rows) => (
                200,
                json!({ "columns": rows.columns, "rows": without_owners(rows) }),
            ),
            Err(why) => (
                422,
                json!({ "code": why.code(), "message": why.to_string() }),
            ),
        };
        self.evidence.push(Exchange {
            method: "STATEMENT".to_owned(),
            path: "/api/v2/statements".to_owned(),
            request_headers: Vec::new(),
            request_body: self.hidden.hide(statement),
            status,
            headers: Vec::new(),
            body: self.hidden.hide(&body.to_string()),
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        });
    }

    fn note(&mut self, path: &str, request: &Request, answer: &Answer, elapsed: Duration) {
        let hide = |text: &str| self.hidden.hide(text);
        let shown = |name: &HeaderName, value: &HeaderValue| {
            let value = String::from_utf8_lossy(value.as_bytes());
            (name.to_string(), hide(&value))
        };
        let request_headers = request
            .headers
            .iter()
            .map(|(name, value)| shown(name, value));
        let headers = answer.headers.iter();
        let headers = headers.filter(|(name, _)| **name != header::SET_COOKIE);
        let exchange = Exchange {
            method: request.method.to_string(),
            path: hide(path),
            request_headers: request_headers.collect(),
            request_body: hide(&String::from_utf8_lossy(&request.body)),
            status: answer.status,
            headers: headers.map(|(name, value)| shown(name, value)).collect(),
            body: hide(&shown_body(path, answer)),
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        };
        self.evidence.push(exchange);
    }
}

/// The rows of a listing without the names of roles.
fn without_owners(listing: &Rows) -> Vec<Vec<Option<&str>>> {
    let is_owner = |place: usize| {
        let name = listing.columns.get(place);
        name.is_some_and(|name| name.eq_ignore_ascii_case("owner"))
    };
    let rows = listing.rows.iter().map(|row| {
        let cells = row.iter().enumerate();
        let cells = cells.map(|(place, cell)| match cell {
            Some(_) if is_owner(place) => Some("<role>"),
            cell => cell.as_deref(),
        });
        cells.collect()
    });
    rows.collect()
}

/// The body of an answer without the secrets that it was asked for: a token has its form only, and of pipe information, which has
/// keys of a stage, the names of the fields are left.
fn shown_body(path: &str, answer: &Answer) -> String {
    let text = answer.text();
    if path.starts_with("/oauth/") {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
        let words = text.split_inclusive(|c| !is_token(c));
        let words = words.map(|word| match word.char_indices().next_back() {
            Some((_, last)) if word.len() > 40 && !is_token(last) => format!("<secret>{last}"),
            Some(_) if word.len() > 40 => "<secret>".to_owned(),
            _ => word.to_owned(),
        });
        return words.collect();
    }
    if path.contains(":pipe-info") {
        let mut body = answer.json();
        without_values(&mut body);
        return body.to_string();
    }
    text
}

fn without_values(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(without_values),
        Value::Null => {}
        other => *other = Value::from("…"),
    }
}
