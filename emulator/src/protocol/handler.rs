//! A request's way through the server: faults, credentials, the endpoint, the log.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::ACCEPT;
use http::{Request, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::channel_status::{status, statuses};
use super::deferred::Deferred;
use super::elastic::{self, reserved};
use super::faults::{Fault, Faults, InjectedFault};
use super::injected_fault::{self, Instead, Zombies};
use super::request_log::{LoggedRequest, RequestLog};
use super::routes::{Call, Endpoint};
use super::stage::Stage;
use super::{append, files, pipe_info, stage, strict, telemetry};
use crate::auth::login::Login;
use crate::catalog::tables::Pipe;
use crate::channels::channel::is_elastic;
use crate::channels::state::State;
use crate::messages::answer::{Answer, Prepared, Refusal, Reply, json_answer, text_answer};
use crate::messages::time::epoch_millis;
use crate::storage::interface::StorageError;

/// The server behind its lock.
#[derive(Debug)]
pub(crate) struct Handler {
    pub(crate) state: State,
    pub(crate) stage: Stage,
    pub(crate) login: Login,
    pub(crate) faults: Faults,
    pub(crate) log: RequestLog,
    pub(crate) zombies: Zombies,
    /// How old the state is that the current status call shows.
    status_lag: Duration,
}

#[derive(Deserialize, Default)]
struct ChannelOptions {
    offset_token: Option<String>,
    #[serde(default)]
    fail_on_uncommitted_rows: bool,
}

impl ChannelOptions {
    fn read(body: &[u8]) -> Result<Self, Refusal> {
        if body.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_slice(body)
            .map_err(|why| Refusal::malformed(format!("The body cannot be read: {why}.")))
    }
}

impl Handler {
    pub(crate) fn new(state: State, files: Stage, login: Login, faults: Faults) -> Self {
        Self {
            state,
            stage: files,
            login,
            faults,
            log: RequestLog::default(),
            zombies: Zombies::default(),
            status_lag: Duration::ZERO,
        }
    }

    pub(crate) fn handle(&mut self, now: SystemTime, request: Request<Bytes>) -> Reply {
        let now_ms = epoch_millis(now);
        self.state.advance(now_ms);
        let call = match Call::read(&request) {
            Ok(call) => call,
            Err(refusal) => {
                return Reply::Respond(
                    refusal.into_answer_as(self.state.rules.answers.wire.error_body),
                );
            }
        };
        let injected = self.faults.inject(call.endpoint, &call.channels);
        let fault = injected.as_ref().map(|injected| injected.fault.name());
        let mut entry = self.log.entry(&call, &request, fault);
        let zombies = self.zombies.take_due(&call);
        let reply = match injected {
            None => Reply::Respond(self.answer(now_ms, &call, &request, &mut entry)),
            Some(injected) => self.answer_with_fault(now_ms, &injected, call, request, &mut entry),
        };
        self.log.push(entry);
        for (call, request) in zombies {
            let mut entry = self.log.entry(&call, &request, Some(Fault::Zombie.name()));
            // No client waits for the answer.
            self.answer(now_ms, &call, &request, &mut entry);
            self.log.push(entry);
        }
        reply
    }

    /// Deletes rows, channels, uploaded files and logged requests.
    pub(crate) fn reset(&mut self) -> Result<(), StorageError> {
        self.state.reset()?;
        self.stage.clear();
        self.zombies.clear();
        self.log.clear();
        Ok(())
    }

    fn answer_with_fault(
        &mut self,
        now_ms: u64,
        injected: &InjectedFault,
        mut call: Call,
        request: Request<Bytes>,
        entry: &mut LoggedRequest,
    ) -> Reply {
        let (fault, endpoint) = (&injected.fault, call.endpoint);
        tracing::debug!(fault = fault.name(), %endpoint, "fault");
        match injected_fault::instead(fault, endpoint) {
            None => {}
            Some(Instead::Refusal(refusal)) => {
                entry.status = Some(refusal.status.as_u16());
                return Reply::Respond(self.refused(endpoint, refusal));
            }
            Some(Instead::Reply(reply)) => {
                if *fault == Fault::Zombie {
                    self.zombies.push(call, request);
                }
                return reply;
            }
        }
        match fault {
            Fault::ExpireToken => self.login.revoke(),
            Fault::StaleStatus(lag) => self.status_lag = *lag,
            Fault::Absent => call
                .channels
                .retain(|name| Some(name) != injected.channel.as_ref()),
            _ => {
                let pipe = call.pipe.as_ref();
                injected_fault::change_channel(&mut self.state, now_ms, injected, pipe);
            }
        }
        let answer = self.answer(now_ms, &call, &request, entry);
        self.status_lag = Duration::ZERO;
        injected_fault::reply(fault, endpoint, answer)
    }

    fn answer(
        &mut self,
        now_ms: u64,
        call: &Call,
        request: &Request<Bytes>,
        entry: &mut LoggedRequest,
    ) -> Answer {
        let answer = self
            .carry_out(now_ms, call, request)
            .unwrap_or_else(|refusal| self.refused(call.endpoint, refusal));
        entry.status = Some(answer.status().as_u16());
        answer
    }

    /// A refusal as the endpoint answers it: the object store has another form.
    fn refused(&self, endpoint: Endpoint, refusal: Refusal) -> Answer {
        match endpoint {
            Endpoint::Upload => refusal.into_s3_answer(),
            _ => refusal.into_answer_as(self.state.rules.answers.wire.error_body),
        }
    }

    fn carry_out(
        &mut self,
        now_ms: u64,
        call: &Call,
        request: &Request<Bytes>,
    ) -> Result<Answer, Refusal> {
        let headers = request.headers();
        if call.endpoint == Endpoint::Upload {
            let most = self.state.rules.limits.file_bytes;
            return stage::upload(&mut self.stage, now_ms, request, most);
        }
        if !headers.contains_key(ACCEPT) {
            return Err(Refusal::bad_request(
                "391902",
                "Unsupported Accept header null is specified.",
            ));
        }
        if self.state.rules.is_strict {
            strict::check(call, request)?;
        }
        match call.endpoint {
            Endpoint::Telemetry => {
                self.login.check_account(headers, now_ms)?;
                return Ok(telemetry::received());
            }
            Endpoint::Authorize => {
                return Ok(self.login.authorize(headers, request.body(), now_ms));
            }
            Endpoint::Statement | Endpoint::Login | Endpoint::Query | Endpoint::Session => {
                if let Some(deferred) = request.extensions().get::<Deferred>() {
                    return Ok(deferred.carry_out(&mut self.state));
                }
                let prepared = request.extensions().get::<Prepared>();
                return prepared
                    .map(|prepared| prepared.0.clone())
                    .ok_or_else(no_sql);
            }
            _ => {}
        }
        let Some(pipe) = &call.pipe else {
            let answers = &self.state.rules.answers.wire;
            return Ok(if call.endpoint == Endpoint::Token {
                let (form, earlier) = (request.body(), answers.earlier_token);
                let token = self.login.exchange(headers, form, now_ms, earlier)?;
                text_answer(token, "token", answers.token_body)
            } else {
                self.login.check_account(headers, now_ms)?;
                let host = self.login.ingest_host().to_owned();
                text_answer(host, "hostname", answers.hostname_body)
            });
        };
        // The account host opens channels with a key-pair JWT (littleK0i/SnowDDL, test PI004) and says how they are
        // (redpanda-data/connect, streamingv2); the emulator has one address for both hosts.
        let takes_jwt = matches!(call.endpoint, Endpoint::Open | Endpoint::Status);
        self.login.check_streaming(headers, now_ms, takes_jwt)?;
        let pipe = match call.endpoint {
            Endpoint::Append => self.state.pipe_of_append(pipe, call.channels.first())?,
            _ => self.state.pipe(pipe)?,
        };
        if call.endpoint == Endpoint::Open {
            self.state.check_known(&pipe)?;
        }
        if matches!(call.endpoint, Endpoint::Open | Endpoint::Append) {
            self.state.check_recreated(&pipe)?;
        }
        if call.endpoint == Endpoint::PipeInfo {
            return Ok(pipe_info::answer(&mut self.stage.grants, now_ms, &pipe));
        }
        let state = &mut self.state;
        let Some(channel) = call.channels.first() else {
            return statuses(state, &pipe, &[], now_ms);
        };
        match call.endpoint {
            Endpoint::Open => open(state, &pipe, channel, request.body()),
            Endpoint::Append if is_elastic(channel) => elastic::append(state, &pipe, request),
            Endpoint::Append => append::append(state, &pipe, channel, call, request),
            Endpoint::AppendFiles => files::append(
                state,
                &mut self.stage,
                now_ms,
                &pipe,
                channel,
                call,
                request,
            ),
            Endpoint::Drop if is_elastic(channel) => Err(reserved("it cannot be dropped")),
            Endpoint::Drop => {
                let options = ChannelOptions::read(request.body())?;
                state.drop_channel(&pipe, channel, options.fail_on_uncommitted_rows)?;
                Ok(json_answer(StatusCode::OK, &json!({})))
            }
            _ => {
                let lag_ms = u64::try_from(self.status_lag.as_millis()).unwrap_or(u64::MAX);
                statuses(state, &pipe, &call.channels, now_ms.saturating_sub(lag_ms))
            }
        }
    }
}

fn open(state: &mut State, pipe: &Pipe, channel: &str, body: &[u8]) -> Result<Answer, Refusal> {
    if is_elastic(channel) {
        return Err(reserved("open a channel with another name"));
    }
    let options = ChannelOptions::read(body)?;
    let (wire, now_ms) = (state.rules.answers.wire, state.now_ms);
    let channel = state.open(
        pipe,
        channel,
        options.offset_token,
        options.fail_on_uncommitted_rows,
    )?;
    let answer = json!({
        "status_code": 0,
        "message": "Success",
        "next_continuation_token": channel.continuation_token(),
        "channel_status": status(&wire, channel, now_ms),
    });
    Ok(json_answer(StatusCode::OK, &answer))
}

fn no_sql() -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        "ERR_ENDPOINT_DOES_NOT_EXIST",
        "The emulator answers SQL only with the feature server, and only at /api/v2/statements and /queries/v1/query-request.",
    )
}
