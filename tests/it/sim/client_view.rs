//! What each client was answered, and when the server could not answer: clients are judged by what they can know.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::{StatusCode, header};
use snowpipe_streaming::transport::{Request, Response};
use tokio::time::Instant;

use super::outage::{Failing, Outage, Part};

/// What a request asks for, noted before it is sent.
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
    /// By client: when it last got a status.
    status: BTreeMap<u64, Instant>,
    /// By client: until when it was asked not to ask for a status.
    not_before: BTreeMap<u64, Instant>,
    /// By client: until when it was asked not to ask for a status or a token, whether it has got a status since or not.
    put_off: BTreeMap<u64, Instant>,
    /// By client: until when its token is valid.
    token: BTreeMap<u64, Instant>,
    outages: Vec<Past>,
}

/// An outage that began.
#[derive(Debug)]
struct Past {
    outage: Outage,
    from: Instant,
    until: Instant,
    /// Until when the clients' tokens were valid that they had at its beginning.
    token: BTreeMap<u64, Instant>,
}

impl ClientView {
    /// A client was given an answer. `token_life`: of a token that it holds.
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
                let put_off = self.put_off.entry(process).or_insert(until);
                *put_off = until.max(*put_off);
                if asked.part == Part::Statuses {
                    let not_before = self.not_before.entry(process).or_insert(until);
                    *not_before = until.max(*not_before);
                }
            }
            (Part::Tokens, _) if status.is_success() => {
                self.token.insert(process, now + token_life);
            }
            (Part::Opens, Some(channel)) if status.is_success() => {
                self.refused.remove(&(process, channel.clone()));
                self.opened.insert((process, channel.clone()), now);
            }
            (Part::Appends, Some(channel)) if status == StatusCode::BAD_REQUEST => {
                let key = (process, channel.clone());
                // The refusal of a request from before the open says nothing of the channel as it is now.
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

    pub fn begin(&mut self, outage: Outage) {
        let from = Instant::now();
        self.outages.push(Past {
            outage,
            from,
            until: from + outage.length(),
            token: self.token.clone(),
        });
    }

    /// The outages of a part of the server now.
    pub fn outage(&self, part: Part) -> Option<Outage> {
        let now = Instant::now();
        let mut outages = self.outages.iter();
        outages
            .find(|past| past.until > now && past.outage.part.covers(part))
            .map(|past| past.outage)
    }

    /// Whether a client knows that a channel takes no more of its rows as it is.
    pub fn is_refused(&self, process: u64, channel: &str) -> bool {
        self.refused.contains(&(process, channel.to_uppercase()))
    }

    /// For how long a client has got no status.
    pub fn silence(&self, process: u64) -> Option<Duration> {
        self.status.get(&process).map(Instant::elapsed)
    }

    /// Whether the server has asked a client to wait before it asks for a status.
    pub fn is_early(&self, process: u64) -> bool {
        let until = self.not_before.get(&process);
        until.is_some_and(|until| Instant::now() < *until)
    }

    /// Until when outages keep or kept a client from getting a status, if there were any. While its token is valid, one
    /// of the account host does not. A call that has no answer goes on for as long as an `attempt`, and a throttled one is
    /// put off.
    pub fn kept_until(&self, process: u64, attempt: Duration) -> Option<Instant> {
        let now = Instant::now();
        let kept = |past: &Past| {
            let from = match past.outage.part {
                Part::Appends | Part::Opens => return None,
                Part::Tokens | Part::Account => past.token.get(&process).copied(),
                _ => None,
            };
            let hangs = past.outage.how == Failing::NoAnswer;
            let until = past.until + attempt.saturating_mul(u32::from(hangs));
            let from = from.unwrap_or(past.from);
            (from < until && from <= now).then_some(until)
        };
        let put_off = self.put_off.get(&process).copied();
        self.outages.iter().filter_map(kept).chain(put_off).max()
    }
}
