//! A request's way through the server: faults, credentials, the endpoint, the log.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::ACCEPT;
use http::{Request, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::elastic::reserved;
use super::faults::{Fault, Faults};
use super::request_head::RequestHead;
use super::routes::{Call, Endpoint};
use super::stage::Stage;
use super::{strict, telemetry};
use crate::base::time::epoch_millis;
use crate::emulator::auth::login::Login;
use crate::emulator::catalog::tables::Pipe;
use crate::emulator::channels::channel::{Channel, ELASTIC, is_elastic};
use crate::emulator::channels::state::{Append, State};
use crate::emulator::messages::answer::{
    Answer, Prepared, Refusal, Reply, json_answer, text_answer,
};
use crate::emulator::messages::body;
use crate::emulator::storage::landing::{ChannelRecord, LandingError};

/// How many requests the log remembers, and how much memory they may take: one request may name a million channels.
const LOG_LENGTH: usize = 10_000;
const LOG_BYTES: usize = 16 * 1024 * 1024;

/// How many bytes of names the log keeps of a request: it would otherwise forget all others for the sake of one.
const MOST_NAMES_KEPT: usize = 64 * 1024;

/// The longest body of an append whose rows the log keeps.
const MOST_ROWS_KEPT: usize = 64 * 1024;

/// A request the server has seen, or that a fault kept from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedRequest {
    /// Where it went.
    pub endpoint: Endpoint,
    /// What it looked like, without secrets.
    pub head: RequestHead,
    /// The channels it was about: the first ones, where their names take more than 64 KiB.
    pub channels: Vec<String>,
    /// How many channels it was about.
    pub channel_count: usize,
    /// Its `requestId`.
    pub request_id: Option<String>,
    /// Its `retryCount`.
    pub retry_count: Option<u32>,
    /// Its `continuationToken`.
    pub continuation_token: Option<String>,
    /// Its `endOffsetToken`.
    pub end_offset_token: Option<String>,
    /// The length of its body as sent, in bytes. Over HTTP it stops counting one byte after the limit.
    pub body_bytes: usize,
    /// The status of its answer, whether or not that arrived; `None` if a fault took its place.
    pub status: Option<u16>,
    /// The fault that struck it.
    pub fault: Option<&'static str>,
    /// The rows of an append as they were sent, if they are kept.
    pub(crate) rows: Bytes,
}

impl LoggedRequest {
    fn of(
        call: &Call,
        request: &Request<Bytes>,
        fault: Option<&'static str>,
        keeps_rows: bool,
    ) -> Self {
        let has_rows = keeps_rows
            && call.endpoint == Endpoint::Append
            && request.body().len() <= MOST_ROWS_KEPT;
        Self {
            // Copied, for a slice would hold on to the whole buffer of the connection.
            rows: if has_rows {
                Bytes::copy_from_slice(request.body())
            } else {
                Bytes::new()
            },
            endpoint: call.endpoint,
            head: RequestHead::of(call.endpoint, request),
            channels: first_names(&call.channels),
            channel_count: call.channels.len(),
            request_id: call.query.request_id.clone(),
            retry_count: call.query.retry_count,
            continuation_token: call.query.continuation_token.clone(),
            end_offset_token: call.query.end_offset_token.clone(),
            body_bytes: request.body().len(),
            status: None,
            fault,
        }
    }

    /// About how much memory it takes.
    fn weight(&self) -> usize {
        let texts = [
            &self.request_id,
            &self.continuation_token,
            &self.end_offset_token,
        ];
        let texts = texts.into_iter().flatten().map(String::len);
        let names = self
            .channels
            .iter()
            .map(|name| size_of_val(name) + name.len());
        size_of_val(self)
            + self.head.weight()
            + self.rows.len()
            + texts.sum::<usize>()
            + names.sum::<usize>()
    }
}

/// The first channels of a request, as many as the log keeps of one.
fn first_names(channels: &[String]) -> Vec<String> {
    let mut bytes = 0;
    let fits = |name: &&String| {
        bytes += size_of_val(*name) + name.len();
        bytes <= MOST_NAMES_KEPT
    };
    channels.iter().take_while(fits).cloned().collect()
}

/// The server behind its lock.
#[derive(Debug)]
pub(crate) struct Handler {
    pub(crate) state: State,
    pub(crate) stage: Stage,
    pub(crate) login: Login,
    pub(crate) faults: Faults,
    pub(crate) log: VecDeque<LoggedRequest>,
    /// How many requests there were, those that the log has forgotten among them.
    pub(crate) logged: u64,
    log_bytes: usize,
    /// Whether the log keeps the rows of appends.
    pub(crate) keeps_rows: bool,
    /// Requests whose connection broke and that arrive after the next one of the same channel.
    pub(crate) zombies: Vec<(Call, Request<Bytes>)>,
    /// How old the state is that the status under way shows.
    pub(crate) status_lag: Duration,
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
            log: VecDeque::new(),
            logged: 0,
            log_bytes: 0,
            keeps_rows: false,
            zombies: Vec::new(),
            status_lag: Duration::ZERO,
        }
    }

    pub(crate) fn handle(&mut self, now: SystemTime, request: Request<Bytes>) -> Reply {
        let now_ms = epoch_millis(now);
        self.state.advance(now_ms);
        let call = match Call::read(&request) {
            Ok(call) => call,
            Err(refusal) => return Reply::Respond(refusal.into_answer()),
        };
        let strike = self.faults.strike(call.endpoint, &call.channels);
        let fault = strike.as_ref().map(|strike| strike.fault.name());
        let mut entry = LoggedRequest::of(&call, &request, fault, self.keeps_rows);
        let overtaken = self.take_zombies(&call);
        let reply = match strike {
            None => Reply::Respond(self.answer(now_ms, &call, &request, &mut entry)),
            Some(strike) => self.struck(now_ms, &strike, call, request, &mut entry),
        };
        self.record(entry);
        for (call, request) in overtaken {
            let fault = Some(Fault::Zombie.name());
            let mut entry = LoggedRequest::of(&call, &request, fault, self.keeps_rows);
            // The answer is not awaited.
            self.answer(now_ms, &call, &request, &mut entry);
            self.record(entry);
        }
        reply
    }

    /// Forgets rows, channels, uploaded files and requests.
    pub(crate) fn reset(&mut self) -> Result<(), LandingError> {
        self.state.reset()?;
        self.stage.clear();
        self.zombies.clear();
        self.forget_requests();
        Ok(())
    }

    /// Forgets the requests there were.
    pub(crate) fn forget_requests(&mut self) {
        self.log.clear();
        self.log_bytes = 0;
    }

    fn record(&mut self, entry: LoggedRequest) {
        self.logged += 1;
        self.log_bytes += entry.weight();
        self.log.push_back(entry);
        while (self.log.len() > LOG_LENGTH || self.log_bytes > LOG_BYTES)
            && let Some(oldest) = self.log.pop_front()
        {
            self.log_bytes -= oldest.weight();
        }
    }

    pub(crate) fn answer(
        &mut self,
        now_ms: u64,
        call: &Call,
        request: &Request<Bytes>,
        entry: &mut LoggedRequest,
    ) -> Answer {
        let answer = self
            .carry_out(now_ms, call, request)
            .unwrap_or_else(|refusal| refused(call.endpoint, refusal));
        entry.status = Some(answer.status().as_u16());
        answer
    }

    fn carry_out(
        &mut self,
        now_ms: u64,
        call: &Call,
        request: &Request<Bytes>,
    ) -> Result<Answer, Refusal> {
        let headers = request.headers();
        if call.endpoint == Endpoint::Upload {
            return self.upload(now_ms, request);
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
                self.login.check_primary(headers, now_ms)?;
                return Ok(telemetry::received());
            }
            Endpoint::Authorize => {
                return Ok(self.login.authorize(headers, request.body(), now_ms));
            }
            Endpoint::Statement => {
                let prepared = request.extensions().get::<Prepared>();
                return prepared
                    .map(|prepared| prepared.0.clone())
                    .ok_or_else(no_sql);
            }
            _ => {}
        }
        let Some(pipe) = &call.pipe else {
            let primary = self.login.primary(headers, now_ms)?;
            return Ok(text_answer(match call.endpoint {
                Endpoint::Token => self.login.exchange(&primary, request.body(), now_ms)?,
                _ => self.login.ingest_host().to_owned(),
            }));
        };
        self.login.check_scoped(headers, now_ms)?;
        let pipe = self.state.pipe(pipe)?;
        if call.endpoint == Endpoint::PipeInfo {
            return Ok(self.pipe_info(now_ms, &pipe));
        }
        let Some(channel) = call.channels.first() else {
            return Ok(statuses(&Map::new()));
        };
        match call.endpoint {
            Endpoint::Open => self.open(&pipe, channel, request.body()),
            Endpoint::Append if is_elastic(channel) => self.append_elastic(&pipe, request),
            Endpoint::Append => self.append(&pipe, channel, call, request),
            Endpoint::AppendFiles => self.append_files(now_ms, &pipe, channel, call, request),
            Endpoint::Drop if is_elastic(channel) => Err(reserved("it cannot be dropped")),
            Endpoint::Drop => {
                let options = ChannelOptions::read(request.body())?;
                self.state
                    .drop_channel(&pipe, channel, options.fail_on_uncommitted_rows)?;
                Ok(json_answer(StatusCode::OK, &json!({})))
            }
            _ => self.statuses(now_ms, &pipe, &call.channels),
        }
    }

    fn open(&mut self, pipe: &Pipe, channel: &str, body: &[u8]) -> Result<Answer, Refusal> {
        if is_elastic(channel) {
            return Err(reserved("open a channel with another name"));
        }
        let options = ChannelOptions::read(body)?;
        let channel = self.state.open(
            pipe,
            channel,
            options.offset_token,
            options.fail_on_uncommitted_rows,
        )?;
        let answer = json!({
            "status_code": 0,
            "message": "Success",
            "next_continuation_token": channel.continuation_token(),
            "channel_status": status(channel, &channel.record),
        });
        Ok(json_answer(StatusCode::OK, &answer))
    }

    fn append(
        &mut self,
        pipe: &Pipe,
        channel: &str,
        call: &Call,
        request: &Request<Bytes>,
    ) -> Result<Answer, Refusal> {
        let tokens = [&call.query.start_offset_token, &call.query.end_offset_token];
        let token_bytes = tokens.into_iter().flatten().map(String::len).sum();
        let body = self.rows(request, token_bytes)?;
        let next = self.state.append(
            pipe,
            channel,
            Append {
                continuation_token: call.query.continuation_token.as_deref(),
                start_token: call.query.start_offset_token.clone(),
                end_token: call.query.end_offset_token.clone(),
                body,
            },
        )?;
        Ok(accepted(&next))
    }

    /// The decompressed rows of a request, within the limits. `token_bytes` is the length of its offset tokens.
    pub(crate) fn rows(
        &self,
        request: &Request<Bytes>,
        token_bytes: usize,
    ) -> Result<Vec<u8>, Refusal> {
        let limits = &self.state.rules.limits;
        let is_beyond = |most: &usize| request.body().len() > *most;
        if let Some(most) = limits.request_bytes.filter(is_beyond) {
            return Err(Refusal::too_large(format!(
                "The body is longer than {most} bytes, which is the most."
            )));
        }
        let body = body::decompress(request.headers(), request.body(), limits.decompressed_bytes)?;
        body::check_rows(&body, token_bytes)?;
        Ok(body)
    }

    fn statuses(&self, now_ms: u64, pipe: &Pipe, names: &[String]) -> Result<Answer, Refusal> {
        let lag_ms = u64::try_from(self.status_lag.as_millis()).unwrap_or(u64::MAX);
        let at_ms = now_ms.saturating_sub(lag_ms);
        let asked = names.len();
        if let Some(most) = self
            .state
            .rules
            .limits
            .status_names
            .filter(|&most| asked > most)
        {
            return Err(Refusal::bad_request(
                "ERR_GET_CHANNEL_STATUS_BATCH_TOO_MANY_CHANNELS",
                format!("{asked} channels are asked for, and {most} is the most."),
            ));
        }
        let unused = self.state.unused_elastic(pipe);
        let known = names.iter().filter_map(|name| {
            let is_unused = || (name == ELASTIC).then_some(&unused);
            let channel = self.state.channel(pipe, name).or_else(is_unused)?;
            // Letter by letter, unlike in addresses.
            (channel.record.channel == *name)
                .then(|| (name.clone(), status(channel, channel.record_at(at_ms))))
        });
        Ok(statuses(&known.collect()))
    }
}

/// The answer to rows that are accepted, with the next continuation token.
pub(crate) fn accepted(next: &str) -> Answer {
    let answer = json!({
        "status_code": 0,
        "message": "Data buffered successfully",
        "next_continuation_token": next,
    });
    json_answer(StatusCode::OK, &answer)
}

fn statuses(known: &Map<String, Value>) -> Answer {
    let answer = json!({ "status_code": 0, "message": "Success", "channel_statuses": known });
    json_answer(StatusCode::OK, &answer)
}

fn status(channel: &Channel, record: &ChannelRecord) -> Value {
    json!({
        "database_name": record.pipe.database,
        "schema_name": record.pipe.schema,
        "pipe_name": record.pipe.name,
        "channel_name": record.channel,
        "channel_status_code": record.status_code,
        "last_committed_offset_token": record.offset_token,
        "created_on_ms": record.created_on_ms,
        "rows_parsed": record.rows_parsed,
        "rows_inserted": record.rows_inserted,
        "rows_error_count": record.rows_error_count,
        "last_error_offset_upper_bound": record.last_error_offset_upper_bound,
        "last_error_message": record.last_error_message,
        "last_error_timestamp": record.last_error_timestamp_ms,
        // Published is the name above; the official SDK reads this one.
        "last_error_timestamp_ms": record.last_error_timestamp_ms,
        "snowflake_avg_processing_latency_ms": channel.latency_ms,
    })
}

/// The object store has its own way to refuse.
pub(crate) fn refused(endpoint: Endpoint, refusal: Refusal) -> Answer {
    match endpoint {
        Endpoint::Upload => refusal.into_s3_answer(),
        _ => refusal.into_answer(),
    }
}

fn no_sql() -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        "ERR_ENDPOINT_DOES_NOT_EXIST",
        "The emulator answers SQL only with the feature emulator-server, and only at /api/v2/statements.",
    )
}
