//! Strict checks against the documentation "Snowpipe Streaming REST API endpoints": with them a test shows that a client does
//! not depend on anything undocumented.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{Request, StatusCode};
use url::form_urlencoded;

use super::routes::{Call, Endpoint};
use crate::channels::channel::is_elastic;
use crate::messages::answer::Refusal;

/// The parameters and the body that an endpoint accepts.
struct Documented {
    parameters: &'static [&'static str],
    content_type: &'static str,
}

/// `None` for endpoints that are not documented.
fn documented(call: &Call) -> Option<Documented> {
    const TRACING: &[&str] = &["requestId", "retryCount"];
    const APPEND: &[&str] = &[
        "continuationToken",
        "startOffsetToken",
        "endOffsetToken",
        "requestId",
        "retryCount",
    ];
    const SQL: &[&str] = &["requestId", "retry", "async", "nullable", "partition"];
    let (parameters, content_type) = match call.endpoint {
        Endpoint::Hostname | Endpoint::Open | Endpoint::Status | Endpoint::Drop => {
            (TRACING, "application/json")
        }
        Endpoint::Token | Endpoint::Authorize => (TRACING, "application/x-www-form-urlencoded"),
        Endpoint::Append if call.channels.iter().any(|name| is_elastic(name)) => {
            (TRACING, "application/x-ndjson")
        }
        Endpoint::Append => (APPEND, "application/x-ndjson"),
        Endpoint::Statement => (SQL, "application/json"),
        Endpoint::PipeInfo
        | Endpoint::AppendFiles
        | Endpoint::Upload
        | Endpoint::Telemetry
        | Endpoint::Login
        | Endpoint::Query
        | Endpoint::Session => return None,
    };
    Some(Documented {
        parameters,
        content_type,
    })
}

/// Refuses what the documentation does not have.
pub(crate) fn check(call: &Call, request: &Request<Bytes>) -> Result<(), Refusal> {
    let Some(documented) = documented(call) else {
        return Ok(());
    };
    let query = request.uri().query().unwrap_or_default();
    for (name, _) in form_urlencoded::parse(query.as_bytes()) {
        if !documented.parameters.contains(&&*name) {
            return Err(Refusal::malformed(format!(
                "The {} endpoint has no query parameter {name:?}, only {}.",
                call.endpoint,
                documented.parameters.join(", ")
            )));
        }
    }
    let headers = request.headers();
    // OAuth does not ask for one: there neither the official SDK nor supabase/etl has one.
    let is_oauth = matches!(call.endpoint, Endpoint::Authorize | Endpoint::Token);
    if !is_oauth && !headers.contains_key(USER_AGENT) {
        return Err(Refusal::malformed("The header User-Agent is missing."));
    }
    if request.body().is_empty() {
        return Ok(());
    }
    let wanted = documented.content_type;
    let given = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let essence = given.map(|kind| kind.split(';').next().unwrap_or(kind).trim());
    if essence.is_some_and(|kind| kind.eq_ignore_ascii_case(wanted)) {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "ERR_UNSUPPORTED_CONTENT_TYPE",
        format!(
            "The Content-Type is {} where {wanted} belongs.",
            given.unwrap_or("missing")
        ),
    ))
}
