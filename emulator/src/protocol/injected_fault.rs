//! The effects of a fault: what replaces the request or its answer, and what changes in the channel before the request.

use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::json;

use super::faults::{Fault, InjectedFault};
use super::routes::{Call, Endpoint};
use crate::catalog::object_name::ObjectName;
use crate::channels::channel::is_elastic;
use crate::channels::state::State;
use crate::messages::answer::{Answer, Refusal, Reply, bare_answer, json_answer, s3_refusal};

/// The most zombies that wait. Beyond it the oldest is dropped, like a request that is lost.
const MOST_ZOMBIES: usize = 1_000;
/// The most bytes of their bodies, the youngest zombie not counted.
const MOST_ZOMBIE_BYTES: usize = 64 * 1024 * 1024;

/// What the client gets for a request that is not carried out.
pub(crate) enum Instead {
    /// A broken connection, or an answer that is not the server's.
    Reply(Reply),
    /// A refusal that the server could have made.
    Refusal(Refusal),
}

/// What the client gets if the fault prevents the request; `None` if the request is carried out.
pub(crate) fn instead(fault: &Fault, endpoint: Endpoint) -> Option<Instead> {
    let refusal = match fault {
        Fault::Refuse => return Some(Instead::Reply(Reply::Refuse)),
        Fault::Lose | Fault::Zombie => return Some(Instead::Reply(Reply::Reset)),
        Fault::Hang => return Some(Instead::Reply(Reply::Hang)),
        Fault::ServerError(status) => {
            let answer = server_error(endpoint, *status);
            return Some(Instead::Reply(Reply::Respond(answer)));
        }
        Fault::BareNotFound => {
            let answer = bare_answer(StatusCode::NOT_FOUND);
            return Some(Instead::Reply(Reply::Respond(answer)));
        }
        Fault::Throttle(after) => Refusal::throttled(*after),
        Fault::Stale => Refusal::stale(),
        Fault::BadRequest(code) => {
            Refusal::bad_request(code.clone(), "The rows are not taken, says a fault.")
        }
        Fault::Unauthorized => Refusal::new(
            StatusCode::UNAUTHORIZED,
            "390303",
            "The token is invalid, says a fault.",
        ),
        Fault::Forbidden if endpoint == Endpoint::Upload => Refusal::new(
            StatusCode::FORBIDDEN,
            "ExpiredToken",
            "The session token has expired, says a fault.",
        ),
        Fault::Forbidden => Refusal::new(
            StatusCode::FORBIDDEN,
            "390403",
            "The role may not do this, says a fault.",
        ),
        Fault::FailedOver => Refusal::new(
            StatusCode::GONE,
            "ERR_PIPE_FAILED_OVER",
            "The pipe has failed over.",
        ),
        Fault::ApplyThenLose
        | Fault::ApplyThenHang
        | Fault::ApplyThenServerError(_)
        | Fault::Cut
        | Fault::Delay(_)
        | Fault::ExpireToken
        | Fault::SecondWriter
        | Fault::WithholdCommits(_)
        | Fault::ForeignToken(_)
        | Fault::Invalidate(_)
        | Fault::AcceptAndLose
        | Fault::StaleStatus(_)
        | Fault::Absent => return None,
    };
    Some(Instead::Refusal(refusal))
}

/// What the client gets of the answer to a request that was carried out.
pub(crate) fn reply(fault: &Fault, endpoint: Endpoint, answer: Answer) -> Reply {
    match fault {
        Fault::ApplyThenLose => Reply::Reset,
        Fault::ApplyThenHang => Reply::Hang,
        Fault::ApplyThenServerError(status) => Reply::Respond(server_error(endpoint, *status)),
        Fault::Cut => Reply::Cut(answer),
        Fault::Delay(wait) => Reply::RespondAfter(*wait, answer),
        _ => Reply::Respond(answer),
    }
}

/// Changes the channel that the fault is about, before the request.
pub(crate) fn change_channel(
    state: &mut State,
    now_ms: u64,
    injected: &InjectedFault,
    pipe: Option<&ObjectName>,
) {
    let Some(pipe) = pipe.and_then(|name| state.pipe(name).ok()) else {
        return;
    };
    let Some(channel) = injected.channel.as_deref() else {
        return;
    };
    if is_elastic(channel) {
        state.elastic(&pipe);
    } else if state.channel(&pipe, channel).is_none() {
        return;
    }
    match &injected.fault {
        // An elastic channel is not opened, and has no token.
        Fault::SecondWriter | Fault::ForeignToken(_) | Fault::AcceptAndLose
            if is_elastic(channel) => {}
        Fault::SecondWriter => {
            // A refusal means that the storage failed, which is logged there.
            let _ = state.open(&pipe, channel, None, false);
        }
        Fault::WithholdCommits(length) => {
            let length = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
            let until_ms = now_ms.saturating_add(length);
            state.hold(&pipe, channel, until_ms);
        }
        Fault::ForeignToken(token) => {
            state.tamper(&pipe, channel, |record| {
                record.offset_token.clone_from(token);
            });
        }
        Fault::Invalidate(code) => {
            state.tamper(&pipe, channel, |record| {
                record.status_code.clone_from(code);
            });
        }
        Fault::AcceptAndLose => state.lose_rows(&pipe, channel),
        _ => {}
    }
}

/// A server error: a bare JSON string as observed of the service, or the form of the object store.
fn server_error(endpoint: Endpoint, status: u16) -> Answer {
    let status = StatusCode::from_u16(status)
        .ok()
        .filter(StatusCode::is_server_error)
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match endpoint {
        Endpoint::Upload => s3_refusal(status, "InternalError", "It fails, says a fault."),
        _ => json_answer(status, &json!("ERR_GENERAL_EXCEPTION_RETRY_REQUEST")),
    }
}

/// Requests whose connection broke. Each is carried out after the next request of its channel.
#[derive(Debug, Default)]
pub(crate) struct Zombies(Vec<(Call, Request<Bytes>)>);

impl Zombies {
    pub(crate) fn push(&mut self, call: Call, request: Request<Bytes>) {
        let mut bytes = self.bytes();
        while self.0.len() >= MOST_ZOMBIES || bytes > MOST_ZOMBIE_BYTES {
            bytes -= self.0.remove(0).1.body().len();
        }
        self.0.push((call, request));
    }

    /// Removes the zombies that are to be carried out after this request.
    pub(crate) fn take_due(&mut self, call: &Call) -> Vec<(Call, Request<Bytes>)> {
        if call.endpoint == Endpoint::Status {
            return Vec::new();
        }
        let is_due = |(zombie, _): &mut (Call, Request<Bytes>)| {
            zombie.pipe == call.pipe && zombie.channels == call.channels
        };
        self.0.extract_if(.., is_due).collect()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// How many bytes their bodies have.
    pub(crate) fn bytes(&self) -> usize {
        let bodies = self.0.iter().map(|(_, request)| request.body().len());
        bodies.sum()
    }
}
