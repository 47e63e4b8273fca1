//! The log of requests as JSON for assertions: without secrets, and with decoded rows.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, HeaderValue};
use http::{HeaderMap, Request};
use serde_json::{Map, Value, json};

use super::endpoints::{PAGE_BYTES, number, parameters, unknown};
use super::faults::{endpoint, endpoint_name};
use crate::instance::Emulator;
use crate::messages::answer::Refusal;
use crate::messages::body;
use crate::protocol::request_log::LoggedRequest;
use crate::protocol::routes::Endpoint;

/// The default and the greatest length of a page.
const PAGE: usize = 100;
const MOST_PAGE: usize = 1_000;
/// The most bytes of a body that are decoded.
const MOST_DECODED: usize = 1024 * 1024;

/// A filter of requests.
struct Wanted {
    after: u64,
    limit: usize,
    endpoint: Option<Endpoint>,
    channel: Option<String>,
}

impl Wanted {
    fn read(request: &Request<Bytes>) -> Result<Self, Refusal> {
        let mut wanted = Self {
            after: 0,
            limit: PAGE,
            endpoint: None,
            channel: None,
        };
        for (name, value) in parameters(request) {
            match name.as_str() {
                "after" => wanted.after = number(&name, &value)? as u64,
                "limit" => wanted.limit = number(&name, &value)?.min(MOST_PAGE),
                "endpoint" => wanted.endpoint = Some(endpoint(&value)?),
                "channel" => wanted.channel = Some(value.to_uppercase()),
                _ => return Err(unknown(&name, "after, limit, endpoint and channel")),
            }
        }
        Ok(wanted)
    }

    fn is_about(&self, request: &LoggedRequest) -> bool {
        self.endpoint.is_none_or(|only| only == request.endpoint)
            && self.channel.as_ref().is_none_or(|only| {
                let mut channels = request.channels.iter();
                channels.any(|name| name.to_uppercase() == *only)
            })
    }
}

/// A page of the requests, oldest first. Each has a number; `after` continues after one.
pub(crate) fn list(emulator: &Emulator, request: &Request<Bytes>) -> Result<Value, Refusal> {
    let wanted = Wanted::read(request)?;
    let (last, log) = {
        let handler = emulator.handler();
        (handler.log.total(), handler.log.entries().clone())
    };
    let first = last - log.len() as u64 + 1;
    let found = (first..)
        .zip(&log)
        .filter(|(number, request)| *number > wanted.after && wanted.is_about(request));
    let mut bytes = 0;
    let mut listed = Vec::new();
    for (number, request) in found.take(wanted.limit) {
        if bytes > PAGE_BYTES {
            break;
        }
        let request = shown(number, request);
        bytes += request.to_string().len();
        listed.push(request);
    }
    Ok(json!({ "requests": listed, "last": last }))
}

fn shown(number: u64, request: &LoggedRequest) -> Value {
    let pairs = |pairs: &[(String, String)]| -> Map<String, Value> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
            .collect()
    };
    let (body, is_whole) = decoded(request);
    json!({
        "number": number,
        "endpoint": endpoint_name(request.endpoint),
        "method": request.head.method,
        "path": request.head.path,
        "query": pairs(&request.head.query),
        "headers": pairs(&request.head.headers),
        "channels": request.channels,
        "channel_count": request.channel_count,
        "body_bytes": request.body_bytes,
        "body": body,
        "body_is_whole": is_whole,
        "status": request.status,
        "fault": request.fault.map(|fault| fault.replace(' ', "_")),
    })
}

/// The body as JSON, the rows of an append as a list; and whether that is all of it.
fn decoded(request: &LoggedRequest) -> (Value, bool) {
    if request.body_bytes == 0 {
        return (Value::Null, true);
    }
    if request.endpoint == Endpoint::Append {
        let Some(lines) = unpacked(request) else {
            return (Value::Null, false);
        };
        let lines = body::lines(&lines).map(|line| {
            serde_json::from_slice(line)
                .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(line)))
        });
        return (lines.collect(), true);
    }
    let start = &request.head.body_start;
    let is_whole = start.len() == request.body_bytes;
    let body = serde_json::from_slice(start)
        .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(start)));
    (body, is_whole)
}

fn unpacked(request: &LoggedRequest) -> Option<Vec<u8>> {
    if request.rows.is_empty() {
        return None;
    }
    let mut headers = HeaderMap::new();
    let mut sent = request.head.headers.iter();
    if let Some((_, encoding)) = sent.find(|(name, _)| name == CONTENT_ENCODING.as_str()) {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_str(encoding).ok()?);
    }
    body::decompress(&headers, &request.rows, MOST_DECODED).ok()
}
