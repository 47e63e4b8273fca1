//! Parsing the server's answers, in every variant that has been observed. Pure functions from bytes to values or errors.
//!
//! Fields that decide about rows (continuation and committed tokens, reject counters) are read strictly: a wrong type is an
//! error, never a default. Informational fields are read leniently: an unreadable value counts as missing.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::{Duration, SystemTime};

use crate::types::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::base::host::{dashed, is_on_this_machine};
use crate::base::json::{Named, Object, Scalar};
use crate::base::text::{self, QUOTE, printable, quote};
use crate::types::channel_status::ChannelStatus;
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::offset::OffsetToken;

/// The most channels in one status call and in its answer.
pub(crate) const MAX_CHANNELS: usize = 1000;

/// The longest accepted text of an ingest host: longer than any DNS name with a scheme and a port.
const MAX_HOST_TEXT: usize = 300;

/// The longest token that is accepted, because it is sent with each call.
const MAX_TOKEN: usize = 64 << 10;

/// From this value on, a JWT's `exp` is read as milliseconds: as seconds it would be in the year 5138.
const MILLISECONDS_FROM: f64 = 1e11;

/// The host of the ingest endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IngestHost {
    /// The name without scheme and port, to which a token is scoped.
    pub(crate) host: String,
    /// Scheme, host and port, without a slash at the end.
    pub(crate) base: String,
}

/// The answer to `GET /v2/streaming/hostname`: text, a JSON string or `{"hostname": …}`.
pub(crate) fn ingest_host(body: &[u8], account_url: &Url) -> Result<IngestHost> {
    let text = text_or_field(body, |fields| [fields.hostname]).ok_or_else(|| {
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
pub(crate) fn scoped_token(body: &[u8]) -> Result<Secret> {
    let is_token_char = |c: char| c.is_ascii_alphanumeric() || "-._~+/=:".contains(c);
    // The error does not quote the answer, which may contain a token.
    text_or_field(body, |fields| [fields.token, fields.access_token])
        .filter(|token| token.len() <= MAX_TOKEN && token.chars().all(is_token_char))
        .map(Secret::from)
        .ok_or_else(|| {
            protocol(
                "the answer to the token exchange holds no usable token; check the account's URL and any proxy between",
            )
        })
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    exp: Scalar,
}

/// When a JWT expires, given in seconds or in milliseconds; also one that stands behind `WIF.<provider>.`. `None` if the token is
/// not a JWT or has no expiry.
pub(crate) fn token_expiry(token: &str) -> Option<SystemTime> {
    time_of(claims_of(token)?.exp)
}

fn claims_of(token: &str) -> Option<Claims> {
    let of_workload = token
        .strip_prefix("WIF.")
        .and_then(|rest| rest.split_once('.'));
    let jwt = of_workload.map_or(token, |(_, jwt)| jwt);
    let payload = jwt.split('.').nth(1)?;
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    let Object(claims) = serde_json::from_slice::<Object<Claims>>(&payload).ok()?;
    Some(claims)
}

fn time_of(claim: Scalar) -> Option<SystemTime> {
    let Scalar::Number(time) = claim else {
        return None;
    };
    let time = time.as_f64().filter(|time| *time > 0.0)?;
    let seconds = if time >= MILLISECONDS_FROM {
        time / 1000.0
    } else {
        time
    };
    let since = Duration::try_from_secs_f64(seconds).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(since)
}

/// The error in an answer, escaped for display. Both parts may be missing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerError {
    pub(crate) code: Option<String>,
    pub(crate) message: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorFields {
    code: Scalar,
    error_code: Scalar,
    status_code: Scalar,
    message: Scalar,
}

/// The body of an error: `code` or `error_code` or a numeric `status_code`, with `message`; or a bare JSON string.
/// Anything else, such as a gateway's HTML page, is ignored.
pub(crate) fn server_error(body: &[u8]) -> ServerError {
    if let Ok(Object(fields)) = serde_json::from_slice(body) {
        return error_fields(&fields);
    }
    match serde_json::from_slice::<Scalar>(body) {
        Ok(Scalar::Text(text)) if is_code(&text) => ServerError {
            code: Some(printable(&text, text::CODE)),
            message: None,
        },
        Ok(Scalar::Text(text)) => ServerError {
            code: None,
            message: shown(&text, QUOTE),
        },
        _ => ServerError::default(),
    }
}

fn error_fields(fields: &ErrorFields) -> ServerError {
    let code = [&fields.code, &fields.error_code, &fields.status_code]
        .into_iter()
        .filter_map(Scalar::text)
        .find(|code| !code.is_empty() && code != "0");
    let message = fields.message.as_str();
    ServerError {
        code: code.map(|code| printable(&code, text::CODE)),
        message: message.and_then(|message| shown(message, QUOTE)),
    }
}

fn is_code(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

/// The refusal in the body of a 200, whose `status_code` is then not 0.
pub(crate) fn refusal(body: &[u8]) -> Option<ServerError> {
    let Object(fields) = serde_json::from_slice::<Object<ErrorFields>>(body).ok()?;
    let code = fields.status_code.text()?;
    let fine = code == "0" || code.is_empty() || code.eq_ignore_ascii_case("SUCCESS");
    (!fine).then(|| error_fields(&fields))
}

/// The body of a 200. `what` names the call.
pub(crate) fn json<T: DeserializeOwned>(body: &[u8], what: &str) -> Result<T> {
    serde_json::from_slice(body).map_err(|why| {
        let problem = if why.is_data() {
            "is not of the expected form"
        } else {
            "is not JSON"
        };
        unreadable(body, &format!("the answer to {what} {problem}"))
    })
}

/// The answer to an append.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Appended {
    pub(crate) next_continuation_token: Scalar,
}

/// The answer to an open.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Opened {
    pub(crate) next_continuation_token: Scalar,
    channel_status: Option<Object<StatusFields>>,
}

/// The answer to a status call.
#[derive(Debug, Deserialize)]
pub(crate) struct Statuses {
    #[serde(default)]
    channel_statuses: Option<Named<StatusFields, MAX_CHANNELS>>,
}

/// A channel in an answer, with all field names that have been observed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct StatusFields {
    database_name: Scalar,
    schema_name: Scalar,
    pipe_name: Scalar,
    channel_name: Scalar,
    channel_status_code: Scalar,
    status_code: Scalar,
    last_committed_offset_token: Scalar,
    created_on_ms: Scalar,
    rows_inserted: Scalar,
    rows_inserted_count: Scalar,
    rows_parsed: Scalar,
    rows_parsed_count: Scalar,
    rows_error_count: Scalar,
    rows_errors: Scalar,
    row_error_count: Scalar,
    last_error_offset_upper_bound: Scalar,
    last_error_offset_token_upper_bound: Scalar,
    last_error_message: Scalar,
    last_error_timestamp_ms: Scalar,
    last_error_timestamp: Scalar,
    snowflake_avg_processing_latency_ms: Scalar,
}

/// The token that the next append of the channel must carry.
pub(crate) fn next_continuation_token(token: &Scalar, what: &str) -> Result<String> {
    token
        .text()
        .filter(|token| !token.is_empty() && token.len() <= MAX_TOKEN)
        .ok_or_else(|| {
            protocol(format!(
                "the answer to {what} holds no usable next_continuation_token; reopen the channel"
            ))
        })
}

/// The `channel_status` of an open answer, if it has one.
pub(crate) fn opened_status(answer: &Opened) -> Result<Option<ChannelStatus>> {
    match &answer.channel_status {
        None => Ok(None),
        Some(Object(status)) => channel_status(status).map(Some),
    }
}

/// The answer to a status call, by the names in the server's spelling.
pub(crate) fn channel_statuses(answer: &Statuses) -> Result<BTreeMap<String, ChannelStatus>> {
    let Some(Named(entries)) = &answer.channel_statuses else {
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

fn channel_status(fields: &StatusFields) -> Result<ChannelStatus> {
    let text = |field: &Scalar| field.text().unwrap_or_default();
    let code = fields.channel_status_code.text();
    let code = code.unwrap_or_else(|| text(&fields.status_code));
    let bounds = [
        &fields.last_error_offset_upper_bound,
        &fields.last_error_offset_token_upper_bound,
    ];
    let failed_at = [
        &fields.last_error_timestamp_ms,
        &fields.last_error_timestamp,
    ];
    let inserted = [
        ("rows_inserted", &fields.rows_inserted),
        ("rows_inserted_count", &fields.rows_inserted_count),
    ];
    Ok(ChannelStatus {
        database_name: text(&fields.database_name),
        schema_name: text(&fields.schema_name),
        pipe_name: text(&fields.pipe_name),
        channel_name: text(&fields.channel_name),
        status_code: printable(&code, text::CODE),
        latest_committed_offset_token: token(&fields.last_committed_offset_token)?,
        created_on_ms: whole(&fields.created_on_ms),
        has_row_counts: inserted
            .iter()
            .any(|(_, value)| !matches!(value, Scalar::Nothing)),
        rows_inserted_count: counter(&inserted)?,
        rows_parsed_count: counter(&[
            ("rows_parsed", &fields.rows_parsed),
            ("rows_parsed_count", &fields.rows_parsed_count),
        ])?,
        rows_error_count: counter(&[
            ("rows_error_count", &fields.rows_error_count),
            ("rows_errors", &fields.rows_errors),
            ("row_error_count", &fields.row_error_count),
        ])?,
        last_error_offset_token_upper_bound: bounds
            .into_iter()
            .find_map(Scalar::text)
            .filter(|bound| !bound.is_empty())
            .map(|bound| OffsetToken::from_server(&bound)),
        last_error_message: fields
            .last_error_message
            .text()
            .and_then(|message| shown(&message, text::MESSAGE)),
        last_error_timestamp_ms: failed_at.into_iter().find_map(whole),
        server_avg_processing_latency: whole(&fields.snowflake_avg_processing_latency_ms)
            .map(Duration::from_millis),
    })
}

/// A committed token. Null and absent mean none; a wrong type must not, or rows would be sent again.
fn token(field: &Scalar) -> Result<Option<OffsetToken>> {
    match field {
        Scalar::Nothing => Ok(None),
        field => match field.text() {
            Some(text) if text.is_empty() => Ok(None),
            Some(text) => Ok(Some(OffsetToken::from_server(&text))),
            None => Err(protocol(
                "last_committed_offset_token of a channel status is not text",
            )),
        },
    }
}

/// A row counter, from the first of its names that is present, or 0.
fn counter(fields: &[(&str, &Scalar)]) -> Result<u64> {
    let found = fields
        .iter()
        .find(|(_, value)| !matches!(value, Scalar::Nothing));
    let Some((name, value)) = found else {
        return Ok(0);
    };
    whole(value)
        .ok_or_else(|| protocol(format!("{name} of a channel status is not a count of rows")))
}

/// A whole number of at least 0, as a number (a fraction is cut off) or as text.
fn whole(value: &Scalar) -> Option<u64> {
    match value {
        Scalar::Text(text) => text.trim().parse().ok(),
        Scalar::Number(number) => number.as_u64().or_else(|| {
            let seconds = number.as_f64().filter(|n| *n >= 0.0)?;
            Duration::try_from_secs_f64(seconds)
                .ok()
                .map(|n| n.as_secs())
        }),
        Scalar::Nothing | Scalar::Other => None,
    }
}

/// The fields of the account host's answers.
#[derive(Default, Deserialize)]
#[serde(default)]
struct AccountFields {
    hostname: Scalar,
    token: Scalar,
    access_token: Scalar,
}

/// An answer that is a single text: bare, as a JSON string, or in one of these fields of a JSON object.
fn text_or_field<const N: usize>(
    body: &[u8],
    fields: impl FnOnce(AccountFields) -> [Scalar; N],
) -> Option<String> {
    let bare = std::str::from_utf8(body).ok()?.trim();
    if bare.starts_with('{') {
        let Object(answer) = serde_json::from_str(bare).ok()?;
        return fields(answer)
            .iter()
            .find_map(Scalar::as_str)
            .and_then(non_empty);
    }
    if bare.starts_with('"') {
        return serde_json::from_str::<Scalar>(bare)
            .ok()?
            .as_str()
            .and_then(non_empty);
    }
    non_empty(bare)
}

fn non_empty(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// A text, shortened and escaped for display, unless it is empty.
fn shown(text: &str, max: usize) -> Option<String> {
    Some(printable(text, max)).filter(|text| !text.is_empty())
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
