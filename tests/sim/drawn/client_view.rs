//! What each client can know: the answers that it received, and the outages. The checks compare clients with this.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::{StatusCode, header};
use snowpipe_streaming::transport::{Request, Response};
use tokio::time::Instant;

use super::outage::{FailureMode, Outage, Part};

/// The properties of a request, recorded before it is sent.
#[derive(Debug, Clone)]
pub struct RequestInfo {
    pub part: Part,
    /// Its number in a script that counts requests.
    pub number: Option<u64>,
    /// The channel that is opened or appended to, in upper case.
    pub channel: Option<String>,
    /// When it was sent.
    pub sent: Instant,
}

impl RequestInfo {
    pub fn of(request: &Request) -> Self {
        let path = request.uri().path();
        let channel = path.split_once("/channels/").map(|(_, channel)| {
            let name = channel.strip_suffix("/rows").unwrap_or(channel);
            name.to_uppercase()
        });
        Self {
            sent: Instant::now(),
            part: Part::of(request),
            number: None,
            channel,
        }
    }
}

#[derive(Debug, Default)]
pub struct ClientView {
    /// The channels, by client and name, of which the last append was refused for good.
    refused: BTreeSet<(u64, String)>,
    /// By client and channel: when the last open was answered.
    opened: BTreeMap<(u64, String), Instant>,
    /// By client: when it last received a status.
    status: BTreeMap<u64, Instant>,
    /// By client: until when the server asked it not to call for a status.
    not_before: BTreeMap<u64, Instant>,
    /// By client: until when the server asked it not to call for a status or a token. A status received since does not clear it.
    throttled_until: BTreeMap<u64, Instant>,
    /// By client: until when its token is valid.
    token: BTreeMap<u64, Instant>,
    /// The client that exchanged its credential last, if that ended the tokens of the others.
    holder: Option<u64>,
    outages: Vec<PastOutage>,
}

/// An outage that has started.
#[derive(Debug)]
struct PastOutage {
    outage: Outage,
    from: Instant,
    until: Instant,
    /// By client: until when the token that it had at the start of the outage is valid.
    token: BTreeMap<u64, Instant>,
}

impl ClientView {
    /// Records an answer to a client. `token_life`: how long tokens are valid.
    pub fn note(
        &mut self,
        process: u64,
        asked: &RequestInfo,
        answer: &Response,
        token_life: Duration,
    ) {
        let (now, status) = (Instant::now(), answer.status());
        match (asked.part, &asked.channel) {
            (Part::Statuses, _) if status.is_success() => {
                self.status.insert(process, now);
                self.not_before.remove(&process);
            }
            // Without a token there is no status either.
            (Part::Statuses | Part::Tokens | Part::Account, _)
                if status == StatusCode::TOO_MANY_REQUESTS =>
            {
                let after = answer.headers().get(header::RETRY_AFTER);
                let after = after.and_then(|after| after.to_str().ok()?.parse().ok());
                let until = now + Duration::from_secs(after.unwrap_or(0));
                let throttled_until = self.throttled_until.entry(process).or_insert(until);
                *throttled_until = until.max(*throttled_until);
                if asked.part == Part::Statuses {
                    let not_before = self.not_before.entry(process).or_insert(until);
                    *not_before = until.max(*not_before);
                }
            }
            (Part::Tokens, _) if status.is_success() => {
                let is_ended = self.holder.is_some_and(|holder| holder != process);
                let life = if is_ended { Duration::ZERO } else { token_life };
                self.token.insert(process, now + life);
            }
            (Part::Opens, Some(channel)) if status.is_success() => {
                self.refused.remove(&(process, channel.clone()));
                self.opened.insert((process, channel.clone()), now);
            }
            (Part::Appends, Some(channel)) if status == StatusCode::BAD_REQUEST => {
                let key = (process, channel.clone());
                // A refusal of a request sent before the open does not apply to the reopened channel.
                if self
                    .opened
                    .get(&key)
                    .is_none_or(|opened| asked.sent >= *opened)
                {
                    self.refused.insert(key);
                }
            }
            _ => {}
        }
    }

    /// Records an exchange that ended the tokens of the other clients.
    pub fn end_other_tokens(&mut self, process: u64) {
        self.holder = Some(process);
        let others = self
            .token
            .iter_mut()
            .filter(|(other, _)| **other != process);
        for (_, until) in others {
            *until = Instant::now().min(*until);
        }
    }

    pub fn begin(&mut self, outage: Outage) {
        let from = Instant::now();
        self.outages.push(PastOutage {
            outage,
            from,
            until: from + outage.length(),
            token: self.token.clone(),
        });
    }

    /// The current outage of a part of the server.
    pub fn outage(&self, part: Part) -> Option<Outage> {
        let now = Instant::now();
        let mut outages = self.outages.iter();
        outages
            .find(|past| past.until > now && past.outage.part.covers(part))
            .map(|past| past.outage)
    }

    /// Whether a client knows that the channel refuses its rows until it is reopened.
    pub fn is_refused(&self, process: u64, channel: &str) -> bool {
        self.refused.contains(&(process, channel.to_uppercase()))
    }

    /// How long ago a client received its last status.
    pub fn silence(&self, process: u64) -> Option<Duration> {
        self.status.get(&process).map(Instant::elapsed)
    }

    /// Whether the server asked a client to wait longer before its next status call.
    pub fn is_early(&self, process: u64) -> bool {
        let until = self.not_before.get(&process);
        until.is_some_and(|until| Instant::now() < *until)
    }

    /// Until when outages and throttling block or blocked the status calls of a client, if they did. An outage of the account
    /// host does not block them while the client's token is valid. A call without an answer lasts for an `attempt`.
    pub fn blocked_until(&self, process: u64, attempt: Duration) -> Option<Instant> {
        let now = Instant::now();
        let blocked = |past: &PastOutage| {
            let from = match past.outage.part {
                Part::Appends | Part::Opens => return None,
                Part::Tokens | Part::Account => past.token.get(&process).copied(),
                _ => None,
            };
            let hangs = past.outage.how == FailureMode::NoAnswer;
            let until = past.until + attempt.saturating_mul(u32::from(hangs));
            let from = from.unwrap_or(past.from);
            (from < until && from <= now).then_some(until)
        };
        let throttled_until = self.throttled_until.get(&process).copied();
        self.outages
            .iter()
            .filter_map(blocked)
            .chain(throttled_until)
            .max()
    }
}
