//! What the two clients send, brought into a form in which it can be compared, and what of it differs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use serde_json::Value;
use snowpipe_streaming::emulator::{Endpoint, LoggedRequest, RequestHead};
use url::form_urlencoded;

use crate::scenario::Side;

/// Headers that say something of this one request, of which only the name is compared.
const OF_ONE_REQUEST: [&str; 10] = [
    "amz-sdk-invocation-id",
    "amz-sdk-request",
    "content-length",
    "host",
    "user-agent",
    "x-amz-date",
    "x-amz-decoded-content-length",
    "x-amz-user-agent",
    "x-snowflake-min-append-timestamp-ms",
    "x-snowflake-uncompressed-content-length",
];

/// Stands for all endpoints but the stage's.
const EVERY: &str = "every request";

/// What each client sent, as features of its requests by endpoint.
#[derive(Debug, Default)]
pub(crate) struct Wire(BTreeMap<(String, Side), BTreeSet<String>>);

impl Wire {
    /// Takes down what a server saw.
    pub(crate) fn add(&mut self, side: Side, log: &[LoggedRequest]) {
        for request in log {
            let is_elastic = request
                .channels
                .first()
                .is_some_and(|name| name == "ELASTIC");
            let kind = if is_elastic { " (elastic)" } else { "" };
            let of = format!("{}{kind}", request.endpoint);
            let features = self.0.entry((of, side)).or_default();
            features.extend(features_of(&request.head));
            let all = self.0.entry((EVERY.to_owned(), side)).or_default();
            // The uploads are another library's.
            if request.endpoint != Endpoint::Upload {
                all.extend(common(&request.head));
            }
        }
    }

    /// Every difference, one in a line.
    pub(crate) fn differences(&self) -> BTreeSet<String> {
        let none = BTreeSet::new();
        let mut lines = BTreeSet::new();
        for (of, _) in self.0.keys() {
            let sent = |side| self.0.get(&(of.clone(), side));
            let (official, ours) = match (sent(Side::Official), sent(Side::Ours)) {
                (Some(_), None) => {
                    lines.insert(format!("{of}: only the official SDK asks for it"));
                    continue;
                }
                (None, Some(_)) => {
                    lines.insert(format!("{of}: only this crate asks for it"));
                    continue;
                }
                (official, ours) => (official.unwrap_or(&none), ours.unwrap_or(&none)),
            };
            for feature in official.difference(ours) {
                lines.insert(format!("{of}: only the official SDK: {feature}"));
            }
            for feature in ours.difference(official) {
                lines.insert(format!("{of}: only this crate: {feature}"));
            }
        }
        lines
    }
}

/// What is the same in all requests of a client.
fn common(head: &RequestHead) -> Vec<String> {
    let agent = head.headers.iter().find(|(name, _)| name == "user-agent");
    let agent = agent.map_or("", |(_, agent)| agent.as_str());
    let product = agent.split('/').next().unwrap_or_default();
    vec![head.version.clone(), format!("user-agent of {product}")]
}

fn features_of(head: &RequestHead) -> Vec<String> {
    let mut features = vec![format!("{} {}", head.method, path(&head.path))];
    let query = head.query.iter().map(|(name, value)| match value.as_str() {
        "" => format!("{name}=(empty)"),
        _ => name.clone(),
    });
    features.push(format!("query {}", query.collect::<Vec<_>>().join("&")));
    for (name, value) in &head.headers {
        let is_of_one = OF_ONE_REQUEST.contains(&name.as_str());
        let value = if is_of_one { "…" } else { value };
        features.push(format!("header {name}: {value}"));
    }
    if !head.body_start.is_empty() {
        features.push(format!("body {}", body(head)));
    }
    features
}

/// The path with what both clients are told taken out. A name with anything but ASCII letters in it stays, for the way it
/// is encoded is part of the protocol.
fn path(path: &str) -> String {
    let mut segments: Vec<String> = path.split('/').map(str::to_owned).collect();
    let mut before = String::new();
    for segment in &mut segments {
        let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let here = segment.clone();
        match before.as_str() {
            "channels" if is_plain(segment) => "{channel}".clone_into(segment),
            "pipes" => {
                let (pipe, verb) = segment
                    .split_once(':')
                    .map_or((&*here, ""), |(pipe, verb)| (pipe, verb));
                if is_plain(pipe) {
                    let colon = if verb.is_empty() { "" } else { ":" };
                    *segment = format!("{{pipe}}{colon}{verb}");
                }
            }
            _ => {}
        }
        before = here;
    }
    segments.join("/")
}

/// What kind of body it is: the names in it, and values that are always the same.
fn body(head: &RequestHead) -> String {
    let kind = head.headers.iter().find(|(name, _)| name == "content-type");
    if kind.is_some_and(|(_, kind)| kind.contains("form-urlencoded")) {
        let fields = form_urlencoded::parse(&head.body_start);
        let fields = fields.map(|(name, value)| format!("{name}={value}"));
        return fields.collect::<Vec<_>>().join("&");
    }
    if kind.is_some_and(|(_, kind)| kind.contains("ndjson")) {
        return rows(&head.body_start).to_owned();
    }
    match serde_json::from_slice(&head.body_start) {
        Ok(json) => shape(&json),
        Err(_) => "of another kind, or longer than the log keeps".to_owned(),
    }
}

/// How rows stand in a compressed body, of which there may only be the beginning.
fn rows(body: &[u8]) -> &'static str {
    let mut text = Vec::new();
    if let Ok(mut decoder) = zstd::Decoder::new(body) {
        // What is missing at the end is an error that does not matter.
        let _ = decoder.read_to_end(&mut text);
    }
    if text.windows(2).any(|ends| ends == b"\n\n") {
        "of rows, with empty lines"
    } else {
        "of rows"
    }
}

fn shape(json: &Value) -> String {
    match json {
        Value::Null => "null".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "text".to_owned(),
        Value::Array(items) => {
            let shapes: BTreeSet<String> = items.iter().map(shape).collect();
            format!("[{}]", shapes.into_iter().collect::<Vec<_>>().join(" | "))
        }
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| format!("{name}: {}", shape(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
    }
}
