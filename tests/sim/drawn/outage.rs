//! Outages: a part of the server fails every request for a while, in the same way.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode, header};
use snowpipe_streaming::transport::{Request, Response};
use snowpipe_streaming_emulator::Reply;

/// The part of the server that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Statuses,
    Appends,
    Opens,
    /// The exchange of a credential for a token.
    Tokens,
    /// The account host: tokens and the name of the ingest host.
    Account,
    /// The ingest host: statuses, appends and opens.
    Ingest,
    Everything,
}

impl Part {
    pub const ALL: [Self; 7] = [
        Self::Statuses,
        Self::Appends,
        Self::Opens,
        Self::Tokens,
        Self::Account,
        Self::Ingest,
        Self::Everything,
    ];

    /// The part that a request addresses: one of the first four, or the account host.
    pub fn of(request: &Request) -> Self {
        let path = request.uri().path();
        if path.ends_with(":bulk-channel-status") {
            Self::Statuses
        } else if path.ends_with("/rows") {
            Self::Appends
        } else if request.method() == Method::PUT {
            Self::Opens
        } else if path.ends_with("/oauth/token") {
            Self::Tokens
        } else {
            Self::Account
        }
    }

    pub fn covers(self, part: Self) -> bool {
        let is_account = matches!(part, Self::Tokens | Self::Account);
        match self {
            Self::Everything => true,
            Self::Account => is_account,
            Self::Ingest => !is_account,
            one => one == part,
        }
    }

    /// The name an outage is counted under.
    pub fn outage(self) -> &'static str {
        match self {
            Self::Statuses => "outage of statuses",
            Self::Appends => "outage of appends",
            Self::Opens => "outage of opens",
            Self::Tokens => "outage of tokens",
            Self::Account => "outage of the account host",
            Self::Ingest => "outage of the ingest host",
            Self::Everything => "outage of everything",
        }
    }
}

/// How requests fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureMode {
    NoConnection,
    /// The request is lost and never answered.
    NoAnswer,
    Busy,
    /// 429, with a `Retry-After` of this many seconds.
    Throttled(Option<u64>),
    /// 302, 404 or 409 from a proxy or gateway, whatever the request is.
    Refused(u16),
    /// 404 with the code of a pipe that does not exist: its table was created again, and the service does not know it yet.
    Missing,
}

impl FailureMode {
    pub const REFUSALS: [u16; 3] = [302, 404, 409];

    /// The name it is counted under.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoConnection => "outage without connection",
            Self::NoAnswer => "outage without answer",
            Self::Busy => "outage with 503",
            Self::Throttled(_) => "outage with 429",
            Self::Refused(302) => "outage with 302",
            Self::Refused(404) => "outage with 404",
            Self::Refused(_) => "outage with 409",
            Self::Missing => "outage of the pipe",
        }
    }

    pub fn reply(self) -> Reply {
        let answer = |status: u16| {
            let mut answer = Response::new(Bytes::new());
            *answer.status_mut() = StatusCode::from_u16(status).unwrap();
            answer
        };
        match self {
            Self::NoConnection => Reply::Refuse,
            Self::NoAnswer => Reply::Hang,
            Self::Busy => Reply::Respond(answer(503)),
            Self::Throttled(after) => {
                let mut answer = answer(429);
                if let Some(after) = after {
                    answer
                        .headers_mut()
                        .insert(header::RETRY_AFTER, after.into());
                }
                Reply::Respond(answer)
            }
            Self::Refused(status) => {
                let mut answer = answer(status);
                if status == 302 {
                    let elsewhere = header::HeaderValue::from_static("http://127.0.0.1/login");
                    answer.headers_mut().insert(header::LOCATION, elsewhere);
                }
                Reply::Respond(answer)
            }
            Self::Missing => {
                let mut answer = answer(404);
                let code = r#"{"error_code":"ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"}"#;
                *answer.body_mut() = Bytes::from_static(code.as_bytes());
                Reply::Respond(answer)
            }
        }
    }
}

/// An outage of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    pub part: Part,
    pub how: FailureMode,
    pub length_ms: u64,
}

impl Outage {
    /// Draws an outage of one of these parts, either short or up to `most_ms` long.
    pub fn draw(rng: &mut fastrand::Rng, parts: &[Part], most_ms: u64) -> Self {
        let part = parts[rng.usize(..parts.len())];
        // Such refusals were only observed from proxies in front of the account host.
        let may_refuse = matches!(part, Part::Tokens | Part::Account);
        let how = match rng.u8(..7) {
            _ if may_refuse && rng.bool() => {
                FailureMode::Refused(FailureMode::REFUSALS[rng.usize(..3)])
            }
            0 | 1 => FailureMode::NoConnection,
            2 | 3 => FailureMode::NoAnswer,
            4 => FailureMode::Busy,
            5 => FailureMode::Throttled(None),
            _ => FailureMode::Throttled(Some(rng.u64(1..30))),
        };
        let length_ms = match rng.u8(..2) {
            0 => rng.u64(1_000..30_000),
            _ => rng.u64(30_000..most_ms.max(30_001)),
        };
        Self {
            part,
            how,
            length_ms,
        }
    }

    pub fn length(self) -> Duration {
        Duration::from_millis(self.length_ms)
    }
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, {}, {} ms",
            self.part.outage(),
            self.how.name(),
            self.length_ms
        )
    }
}
