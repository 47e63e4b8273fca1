//! Reading what the server answers, in every variant it has been seen to use. Pure: bytes in, values or an error out.
//!
//! What decides about rows (continuation and committed tokens, reject counters) is read strictly: a wrong type is an
//! error, never a default. What only informs is read leniently: an unreadable value is as good as none.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use serde_json::{Map, Value};
use url::Url;

use crate::channel::ChannelStatus;
use crate::config::{dashed, is_on_this_machine};
use crate::error::{Error, ErrorKind, Result};
use crate::offset::OffsetToken;

/// How much of an answer an error message quotes, in characters.
const QUOTE: usize = 200;

/// Longer than any DNS name with a scheme and a port.
const MAX_HOST_TEXT: usize = 300;

/// From here on, a JWT's `exp` is taken for milliseconds: as seconds it would lie in the year 5138.
const MILLISECONDS_FROM: f64 = 1e11;

/// Where the ingest endpoints are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IngestHost {
    /// The name alone: what a token is scoped to.
    pub(crate) host: String,
    /// Scheme, host and port, without a slash at the end.
    pub(crate) base: String,
}

/// The answer to `GET /v2/streaming/hostname`: text, a JSON string or `{"hostname": …}`.
pub(crate) fn ingest_host(body: &[u8], account_url: &Url) -> Result<IngestHost> {
    let text = text_or_field(body, &["hostname"]).ok_or_else(|| {
        unreadable(
            body,
            "the answer to the host name discovery holds no host name",
        )
    })?;
    let refused = |why: &str| {
        let quote = quote(&text);
        protocol(format!(
            "the server named {quote:?} as the ingest host, but {why}; check the account's URL"
        ))
    };
    let (scheme, authority) = match text.split_once("://") {
        Some((scheme @ ("http" | "https"), authority)) => (Some(scheme), authority),
        Some(_) => return Err(refused("its scheme is neither http nor https")),
        None => (None, text.as_str()),
    };
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let is_host_char = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    if authority.is_empty() || text.len() > MAX_HOST_TEXT || !authority.chars().all(is_host_char) {
        return Err(refused("that is not a host name"));
    }
    let (host, port) = match authority.rsplit_once(':') {
        _ if authority.parse::<Ipv6Addr>().is_ok() => (&*format!("[{authority}]"), None),
        Some((host, port)) if !authority.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let host = dashed(host);
    let scheme_of_base = scheme.unwrap_or(account_url.scheme());
    let inherited = account_url.port().filter(|_| scheme.is_none());
    let base = match (port, inherited) {
        (Some(port), _) => format!("{scheme_of_base}://{host}:{port}"),
        (None, Some(port)) => format!("{scheme_of_base}://{host}:{port}"),
        (None, None) => format!("{scheme_of_base}://{host}"),
    };
    let url = Url::parse(&base).ok().filter(|_| port != Some(""));
    let url = url.ok_or_else(|| refused("that is not a host name"))?;
    if scheme_of_base == "http" && account_url.scheme() == "https" {
        return Err(refused("it would leave HTTPS"));
    }
    if scheme_of_base == "http" && !is_on_this_machine(&url) {
        return Err(refused(
            "tokens go to other machines over https:// only, and it inherits http:// from the account's URL unless it says otherwise",
        ));
    }
    Ok(IngestHost { host, base })
}

/// The answer to `POST /oauth/token`: text, a JSON string, `{"token": …}` or `{"access_token": …}`.
pub(crate) fn scoped_token(body: &[u8]) -> Result<SecretString> {
    let is_token_char = |c: char| c.is_ascii_alphanumeric() || "-._~+/=:".contains(c);
    // The answer is not quoted: it may hold a token all the same.
    text_or_field(body, &["token", "access_token"])
        .filter(|token| token.chars().all(is_token_char))
        .map(SecretString::from)
        .ok_or_else(|| {
            protocol(
                "the answer to the token exchange holds no token; check the account's URL and any proxy between",
            )
        })
}

/// When a JWT expires, given in seconds or in milliseconds. `None` if the token is no JWT or does not say.
pub(crate) fn token_expiry(token: &str) -> Option<SystemTime> {
    let payload = token.split('.').nth(1)?;
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    let exp = claims.get("exp")?.as_f64().filter(|exp| *exp > 0.0)?;
    let seconds = if exp >= MILLISECONDS_FROM {
        exp / 1000.0
    } else {
        exp
    };
    let since = Duration::try_from_secs_f64(seconds).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(since)
}

/// What an answer says of an error. Both parts may be missing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerError {
    pub(crate) code: Option<String>,
    pub(crate) message: Option<String>,
}

/// The body of an error: `code` or `error_code` or a numeric `status_code`, with `message`; or a bare JSON string.
/// Anything else, such as a gateway's HTML page, says nothing.
pub(crate) fn server_error(body: &[u8]) -> ServerError {
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => error_fields(&fields),
        Ok(Value::String(text)) if is_code(&text) => ServerError {
            code: Some(text),
            message: None,
        },
        Ok(Value::String(text)) => ServerError {
            code: None,
            message: non_empty(&text),
        },
        _ => ServerError::default(),
    }
}

fn error_fields(fields: &Map<String, Value>) -> ServerError {
    let code = ["code", "error_code", "status_code"]
        .iter()
        .filter_map(|name| fields.get(*name).and_then(text_of))
        .find(|code| !code.is_empty() && code != "0");
    ServerError {
        code,
        message: fields
            .get("message")
            .and_then(Value::as_str)
            .and_then(non_empty),
    }
}

fn is_code(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

/// A 200 that says no all the same: its `status_code` is not 0.
pub(crate) fn refusal(answer: &Value) -> Option<ServerError> {
    let Value::Object(fields) = answer else {
        return None;
    };
    let code = fields.get("status_code").and_then(text_of)?;
    let fine = code == "0" || code.is_empty() || code.eq_ignore_ascii_case("SUCCESS");
    (!fine).then(|| error_fields(fields))
}

/// The body of a 200 as JSON. `what` names the call.
pub(crate) fn json(body: &[u8], what: &str) -> Result<Value> {
    serde_json::from_slice(body)
        .map_err(|_| unreadable(body, &format!("the answer to {what} is not JSON")))
}

/// The token that the next append of the channel must carry.
pub(crate) fn next_continuation_token(answer: &Value, what: &str) -> Result<String> {
    answer
        .get("next_continuation_token")
        .and_then(text_of)
        .filter(|token| !token.is_empty())
        .ok_or_else(|| {
            protocol(format!(
                "the answer to {what} holds no next_continuation_token; reopen the channel"
            ))
        })
}

/// The `channel_status` of an open answer, if it has one.
pub(crate) fn opened_status(answer: &Value) -> Result<Option<ChannelStatus>> {
    match answer.get("channel_status") {
        None | Some(Value::Null) => Ok(None),
        Some(status) => channel_status(status).map(Some),
    }
}

/// The answer to a status call, by the names as the server wrote them.
pub(crate) fn channel_statuses(answer: &Value) -> Result<BTreeMap<String, ChannelStatus>> {
    let Some(Value::Object(entries)) = answer.get("channel_statuses") else {
        return Err(protocol(
            "the answer to the channel status call holds no channel_statuses",
        ));
    };
    entries
        .iter()
        .map(|(name, entry)| {
            let mut status = channel_status(entry)?;
            if status.channel_name.is_empty() {
                status.channel_name.clone_from(name);
            }
            Ok((name.clone(), status))
        })
        .collect()
}

fn channel_status(entry: &Value) -> Result<ChannelStatus> {
    let Value::Object(fields) = entry else {
        return Err(protocol("a channel status is not a JSON object"));
    };
    let text = |name: &str| fields.get(name).and_then(text_of);
    Ok(ChannelStatus {
        database_name: text("database_name").unwrap_or_default(),
        schema_name: text("schema_name").unwrap_or_default(),
        pipe_name: text("pipe_name").unwrap_or_default(),
        channel_name: text("channel_name").unwrap_or_default(),
        status_code: text("channel_status_code")
            .or_else(|| text("status_code"))
            .unwrap_or_default(),
        latest_committed_offset_token: token(fields, "last_committed_offset_token")?,
        created_on_ms: number_of(fields, &["created_on_ms"]),
        rows_inserted_count: counter(fields, &["rows_inserted", "rows_inserted_count"])?,
        rows_parsed_count: counter(fields, &["rows_parsed", "rows_parsed_count"])?,
        rows_error_count: counter(
            fields,
            &["rows_error_count", "rows_errors", "row_error_count"],
        )?,
        last_error_offset_token_upper_bound: [
            "last_error_offset_upper_bound",
            "last_error_offset_token_upper_bound",
        ]
        .iter()
        .find_map(|name| text(name))
        .filter(|bound| !bound.is_empty())
        .map(|bound| OffsetToken::from_server(&bound)),
        last_error_message: text("last_error_message").filter(|message| !message.is_empty()),
        last_error_timestamp_ms: number_of(
            fields,
            &["last_error_timestamp_ms", "last_error_timestamp"],
        ),
        server_avg_processing_latency: number_of(fields, &["snowflake_avg_processing_latency_ms"])
            .map(Duration::from_millis),
    })
}

/// A committed token. Null and absent mean none; a wrong type must not, or rows would be sent again.
fn token(fields: &Map<String, Value>, name: &str) -> Result<Option<OffsetToken>> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match text_of(value) {
            Some(text) if text.is_empty() => Ok(None),
            Some(text) => Ok(Some(OffsetToken::from_server(&text))),
            None => Err(protocol(format!("{name} of a channel status is not text"))),
        },
    }
}

/// A row counter under the first of its names that is there; 0 if none is.
fn counter(fields: &Map<String, Value>, names: &[&str]) -> Result<u64> {
    let found = names
        .iter()
        .filter_map(|name| Some((name, fields.get(*name)?)))
        .find(|(_, value)| !value.is_null());
    let Some((name, value)) = found else {
        return Ok(0);
    };
    whole(value)
        .ok_or_else(|| protocol(format!("{name} of a channel status is not a count of rows")))
}

/// An informative number under the first of its names that has a readable one.
fn number_of(fields: &Map<String, Value>, names: &[&str]) -> Option<u64> {
    names
        .iter()
        .find_map(|name| fields.get(*name).and_then(whole))
}

/// A whole number of at least 0, as a number (a fraction is cut off) or as text.
fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        Value::Number(number) => number.as_u64().or_else(|| {
            let seconds = number.as_f64().filter(|n| *n >= 0.0)?;
            Duration::try_from_secs_f64(seconds)
                .ok()
                .map(|n| n.as_secs())
        }),
        _ => None,
    }
}

/// Text, or a number as text.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// An answer that is one text, however it is wrapped: bare, a JSON string, or a JSON object with one of `names`.
fn text_or_field(body: &[u8], names: &[&str]) -> Option<String> {
    let bare = std::str::from_utf8(body).ok()?.trim();
    if !bare.starts_with(['{', '"']) {
        return non_empty(bare);
    }
    match serde_json::from_str(bare).ok()? {
        Value::String(text) => non_empty(&text),
        Value::Object(fields) => names
            .iter()
            .find_map(|name| fields.get(*name).and_then(Value::as_str))
            .and_then(non_empty),
        _ => None,
    }
}

fn non_empty(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The beginning of a text, on one line.
pub(crate) fn quote(text: &str) -> String {
    let line: String = text
        .chars()
        .take(QUOTE)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    line.trim().to_owned()
}

fn protocol(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Protocol, message)
}

fn unreadable(body: &[u8], what: &str) -> Error {
    let start = quote(&String::from_utf8_lossy(
        body.get(..4 * QUOTE).unwrap_or(body),
    ));
    protocol(format!(
        "{what}; it starts with {start:?}: check the account's URL and any proxy between"
    ))
}

#[cfg(test)]
#[path = "wire_tests/mod.rs"]
mod tests;
