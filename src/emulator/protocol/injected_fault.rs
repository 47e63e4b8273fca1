//! What a fault does to the request it strikes.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::json;

use super::faults::{Fault, InjectedFault};
use super::handler::{Handler, LoggedRequest, refused};
use super::routes::{Call, Endpoint};
use crate::emulator::catalog::object_name::ObjectName;
use crate::emulator::channels::channel::is_elastic;
use crate::emulator::messages::answer::{
    Answer, Refusal, Reply, bare_answer, json_answer, s3_refusal,
};

/// How many zombies may be on their way; the oldest gives way, as if it were lost.
const MOST_ZOMBIES: usize = 1_000;
/// How many bytes of bodies they may have, besides the youngest.
const MOST_ZOMBIE_BYTES: usize = 64 * 1024 * 1024;

impl Handler {
    /// What becomes of a request that a fault strikes.
    pub(crate) fn struck(
        &mut self,
        now_ms: u64,
        strike: &InjectedFault,
        mut call: Call,
        request: Request<Bytes>,
        entry: &mut LoggedRequest,
    ) -> Reply {
        tracing::debug!(fault = strike.fault.name(), endpoint = %call.endpoint, "fault");
        match &strike.fault {
            Fault::Refuse => return Reply::Refuse,
            Fault::Lose => return Reply::Reset,
            Fault::Hang => return Reply::Hang,
            Fault::Zombie => {
                self.bury((call, request));
                return Reply::Reset;
            }
            Fault::Throttle(after) => return refuse(entry, Refusal::throttled(*after)),
            Fault::Stale => return refuse(entry, Refusal::stale()),
            Fault::BadRequest(code) => {
                let refusal =
                    Refusal::bad_request(code.clone(), "The rows are not taken, says a fault.");
                return refuse(entry, refusal);
            }
            Fault::ServerError(status) => return Reply::Respond(broken(call.endpoint, *status)),
            Fault::Unauthorized => {
                let refusal = Refusal::new(
                    StatusCode::UNAUTHORIZED,
                    "390303",
                    "The token is invalid, says a fault.",
                );
                return refuse(entry, refusal);
            }
            Fault::Forbidden if call.endpoint == Endpoint::Upload => {
                let refusal = Refusal::new(
                    StatusCode::FORBIDDEN,
                    "ExpiredToken",
                    "The session token has expired, says a fault.",
                );
                return refuse(entry, refusal);
            }
            Fault::Forbidden => {
                let refusal = Refusal::new(
                    StatusCode::FORBIDDEN,
                    "390403",
                    "The role may not do this, says a fault.",
                );
                return refuse(entry, refusal);
            }
            Fault::BareNotFound => return Reply::Respond(bare_answer(StatusCode::NOT_FOUND)),
            Fault::FailedOver => {
                let refusal = Refusal::new(
                    StatusCode::GONE,
                    "ERR_PIPE_FAILED_OVER",
                    "The pipe has failed over.",
                );
                return refuse(entry, refusal);
            }
            Fault::ExpireToken => self.login.revoke(),
            Fault::ApplyThenLose
            | Fault::ApplyThenHang
            | Fault::ApplyThenServerError(_)
            | Fault::Cut
            | Fault::Delay(_) => {}
            Fault::StaleStatus(lag) => self.status_lag = *lag,
            Fault::Absent => call
                .channels
                .retain(|name| Some(name) != strike.channel.as_ref()),
            Fault::SecondWriter
            | Fault::WithholdCommits(_)
            | Fault::ForeignToken(_)
            | Fault::Invalidate(_) => {
                self.tamper(now_ms, strike, call.pipe.as_ref());
            }
        }
        let answer = self.answer(now_ms, &call, &request, entry);
        self.status_lag = Duration::ZERO;
        match &strike.fault {
            Fault::ApplyThenLose => Reply::Reset,
            Fault::ApplyThenHang => Reply::Hang,
            Fault::ApplyThenServerError(status) => Reply::Respond(broken(call.endpoint, *status)),
            Fault::Cut => Reply::Cut(answer),
            Fault::Delay(wait) => Reply::RespondAfter(*wait, answer),
            _ => Reply::Respond(answer),
        }
    }

    /// Changes the channel a fault is about, before the request.
    fn tamper(&mut self, now_ms: u64, strike: &InjectedFault, pipe: Option<&ObjectName>) {
        let Some(pipe) = pipe.and_then(|name| self.state.pipe(name).ok()) else {
            return;
        };
        let Some(channel) = strike.channel.as_deref() else {
            return;
        };
        if is_elastic(channel) {
            self.state.elastic(&pipe);
        } else if self.state.channel(&pipe, channel).is_none() {
            return;
        }
        match &strike.fault {
            // An elastic channel is not opened, and has no token.
            Fault::SecondWriter | Fault::ForeignToken(_) if is_elastic(channel) => {}
            Fault::SecondWriter => {
                // A refusal would mean that the landing failed, which is logged where it happens.
                let _ = self.state.open(&pipe, channel, None, false);
            }
            Fault::WithholdCommits(length) => {
                let length = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
                let until_ms = now_ms.saturating_add(length);
                self.state.hold(&pipe, channel, until_ms);
            }
            Fault::ForeignToken(token) => {
                self.state.tamper(&pipe, channel, |record| {
                    record.offset_token.clone_from(token);
                });
            }
            Fault::Invalidate(code) => {
                self.state.tamper(&pipe, channel, |record| {
                    record.status_code.clone_from(code);
                });
            }
            _ => {}
        }
    }

    /// Keeps a zombie until the next request of its channel overtakes it.
    fn bury(&mut self, zombie: (Call, Request<Bytes>)) {
        let bodies = self.zombies.iter().map(|(_, request)| request.body().len());
        let mut bytes: usize = bodies.sum();
        while self.zombies.len() >= MOST_ZOMBIES || bytes > MOST_ZOMBIE_BYTES {
            bytes -= self.zombies.remove(0).1.body().len();
        }
        self.zombies.push(zombie);
    }

    /// The zombies that this request overtakes.
    pub(crate) fn take_zombies(&mut self, call: &Call) -> Vec<(Call, Request<Bytes>)> {
        if call.endpoint == Endpoint::Status {
            return Vec::new();
        }
        self.zombies
            .extract_if(.., |(zombie, _)| {
                zombie.pipe == call.pipe && zombie.channels == call.channels
            })
            .collect()
    }
}

fn refuse(entry: &mut LoggedRequest, refusal: Refusal) -> Reply {
    entry.status = Some(refusal.status.as_u16());
    Reply::Respond(refused(entry.endpoint, refusal))
}

/// A server error as the service was seen to answer it, a bare JSON string, or as the object store does.
fn broken(endpoint: Endpoint, status: u16) -> Answer {
    let status = StatusCode::from_u16(status)
        .ok()
        .filter(StatusCode::is_server_error)
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match endpoint {
        Endpoint::Upload => s3_refusal(status, "InternalError", "It fails, says a fault."),
        _ => json_answer(status, &json!("ERR_GENERAL_EXCEPTION_RETRY_REQUEST")),
    }
}
