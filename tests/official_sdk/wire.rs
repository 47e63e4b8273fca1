//! What the two clients send, brought into a form in which each request can be compared, and what of it differs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use serde_json::Value;
use snowpipe_streaming_emulator::{Endpoint, LoggedRequest, RequestHead};
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

/// What one request has, each feature once for each time that it is there.
type Features = Vec<String>;

/// What each client sent: by scenario and endpoint, its different requests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wire(BTreeMap<String, BTreeMap<String, Sent>>);

/// The different requests of the two clients to one endpoint in one scenario.
#[derive(Debug, Clone, Default)]
struct Sent {
    official: BTreeSet<Features>,
    ours: BTreeSet<Features>,
}

impl Wire {
    /// Records what a server saw in a scenario.
    pub(crate) fn add(&mut self, scenario: &str, side: Side, log: &[LoggedRequest]) {
        for request in log {
            let is_elastic = request
                .channels
                .first()
                .is_some_and(|name| name == "ELASTIC");
            let kind = if is_elastic { " (elastic)" } else { "" };
            let of = format!("{}{kind}", request.endpoint);
            self.insert(&of, scenario, side, features_of(&request.head));
            // The uploads are another library's.
            if request.endpoint != Endpoint::Upload {
                self.insert(EVERY, scenario, side, common(&request.head));
            }
        }
    }

    fn insert(&mut self, of: &str, scenario: &str, side: Side, features: Features) {
        let scenarios = self.0.entry(of.to_owned()).or_default();
        let sent = scenarios.entry(scenario.to_owned()).or_default();
        sent.of_mut(side).insert(features);
    }

    /// Every difference, one in a line.
    pub(crate) fn differences(&self) -> BTreeSet<String> {
        let mut lines = BTreeSet::new();
        for (of, scenarios) in &self.0 {
            let asks = |side| scenarios.values().any(|sent| !sent.of(side).is_empty());
            match (asks(Side::Official), asks(Side::Ours)) {
                (true, false) => {
                    lines.insert(format!("{of}: only the official SDK asks for it"));
                }
                (false, true) => {
                    lines.insert(format!("{of}: only this crate asks for it"));
                }
                _ => {
                    let found = scenarios.values().flat_map(Sent::differences);
                    lines.extend(found.map(|found| format!("{of}: only {found}")));
                }
            }
        }
        lines
    }

    /// For each feature that both clients have in all their requests to an endpoint of a scenario: the name of endpoint and
    /// feature, and all requests as they would be if one request of this crate lacked the feature.
    pub(crate) fn sabotaged(&self) -> Vec<(String, Self)> {
        let mut sabotaged = BTreeMap::new();
        for (of, scenarios) in &self.0 {
            for (scenario, sent) in scenarios {
                for feature in sent.shared() {
                    for request in &sent.ours {
                        let mut wire = self.clone();
                        let lacking = without(request, &BTreeSet::from([&feature]));
                        wire.insert(of, scenario, Side::Ours, lacking);
                        sabotaged.insert(format!("{of}: {feature}"), wire);
                    }
                }
            }
        }
        sabotaged.into_iter().collect()
    }
}

impl Sent {
    fn of(&self, side: Side) -> &BTreeSet<Features> {
        match side {
            Side::Official => &self.official,
            Side::Ours => &self.ours,
        }
    }

    fn of_mut(&mut self, side: Side) -> &mut BTreeSet<Features> {
        match side {
            Side::Official => &mut self.official,
            Side::Ours => &mut self.ours,
        }
    }

    /// What both clients have in all requests.
    fn shared(&self) -> BTreeSet<String> {
        let (Some(first), false) = (self.ours.first(), self.official.is_empty()) else {
            return BTreeSet::new();
        };
        let is_in_all = |feature: &&String| {
            let mut all = self.official.iter().chain(&self.ours);
            all.all(|request| request.contains(feature))
        };
        first.iter().filter(is_in_all).cloned().collect()
    }

    /// What no request of the other client has; then, without that, requests that the other client does not send.
    fn differences(&self) -> Vec<String> {
        let (official, ours) = (union(&self.official), union(&self.ours));
        if self.official.is_empty() || self.ours.is_empty() {
            return Vec::new();
        }
        let theirs: BTreeSet<&String> = official.difference(&ours).copied().collect();
        let own: BTreeSet<&String> = ours.difference(&official).copied().collect();
        let mut found = Vec::new();
        found.extend(
            theirs
                .iter()
                .map(|feature| format!("the official SDK: {feature}")),
        );
        found.extend(own.iter().map(|feature| format!("this crate: {feature}")));
        let official: BTreeSet<_> = self
            .official
            .iter()
            .map(|one| without(one, &theirs))
            .collect();
        let ours: BTreeSet<_> = self.ours.iter().map(|one| without(one, &own)).collect();
        found.extend(unmatched("the official SDK", &official, &ours));
        found.extend(unmatched("this crate", &ours, &official));
        found
    }
}

fn union(requests: &BTreeSet<Features>) -> BTreeSet<&String> {
    requests.iter().flatten().collect()
}

fn without(request: &Features, features: &BTreeSet<&String>) -> Features {
    let kept = request.iter().filter(|one| !features.contains(one));
    kept.cloned().collect()
}

/// What the requests of `client` that are not among `others` have or lack, beside the most similar one of `others`.
fn unmatched(
    client: &str,
    requests: &BTreeSet<Features>,
    others: &BTreeSet<Features>,
) -> Vec<String> {
    let mut found = Vec::new();
    for request in requests.difference(others) {
        let surplus = |other: &Features| subtract(request, other);
        let lack = |other: &Features| subtract(other, request);
        let near = others
            .iter()
            .min_by_key(|other| surplus(other).len() + lack(other).len());
        let Some(near) = near else { continue };
        let surplus = surplus(near)
            .into_iter()
            .map(|feature| format!("{client}, in some requests: {feature}"));
        let lack = lack(near)
            .into_iter()
            .map(|feature| format!("{client}, in some requests: without {feature}"));
        found.extend(surplus.chain(lack));
    }
    found
}

/// The features of `request` that `other` has not, or not as often.
fn subtract(request: &Features, other: &Features) -> Features {
    let mut left = other.clone();
    let mut rest = request.clone();
    rest.retain(|feature| match left.iter().position(|one| one == feature) {
        Some(at) => {
            left.remove(at);
            false
        }
        None => true,
    });
    rest
}

/// What is the same in all requests of a client.
fn common(head: &RequestHead) -> Features {
    let agent = head.headers.iter().find(|(name, _)| name == "user-agent");
    let agent = agent.map_or("", |(_, agent)| agent.as_str());
    let product = agent.split('/').next().unwrap_or_default();
    vec![head.version.clone(), format!("user-agent of {product}")]
}

fn features_of(head: &RequestHead) -> Features {
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

/// The path without what the server chose for each client. A name with anything but ASCII letters in it stays, for the way it
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
