//! The endpoints under `/_emulator/`, with which tests in any language inspect and change the emulator.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::tables::{self, Page};
use super::{faults, requests};
use crate::catalog::object_name::ObjectName;
use crate::channels::channel::Channel;
use crate::channels::schema_change::SchemaChangeError;
use crate::instance::Emulator;
use crate::messages::answer::{Answer, Refusal, json_answer};

/// The most bytes of a page.
pub(crate) const PAGE_BYTES: usize = 8 * 1024 * 1024;

const ENDPOINTS: &[&str] = &[
    "GET /_emulator/health",
    "GET /_emulator/tables",
    "GET /_emulator/tables/{DATABASE.SCHEMA.TABLE}?skip=0&limit=100&format=json",
    "GET /_emulator/tables/{DATABASE.SCHEMA.TABLE}/errors?skip=0&limit=100&format=json",
    "GET /_emulator/channels",
    "POST /_emulator/ddl",
    "GET, POST, DELETE /_emulator/faults",
    "GET, POST /_emulator/commits",
    "GET, DELETE /_emulator/requests?after=0&limit=100&endpoint=append&channel=c",
    "POST /_emulator/reset",
    "GET /_emulator/wait?table=DATABASE.SCHEMA.TABLE&rows=10&errors=1&timeout_s=30",
];

/// The answer to a request to one of them.
pub(crate) fn answer(emulator: &Emulator, now: SystemTime, request: &Request<Bytes>) -> Answer {
    carry_out(emulator, now, request).unwrap_or_else(Refusal::into_answer)
}

fn carry_out(
    emulator: &Emulator,
    now: SystemTime,
    request: &Request<Bytes>,
) -> Result<Answer, Refusal> {
    let path = request.uri().path();
    let segments: Vec<String> = path
        .split('/')
        .skip(2)
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
        .collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    emulator.advance(now);
    let body = match (request.method(), segments.as_slice()) {
        (&Method::GET, ["tables", name]) => {
            return tables::rows(emulator, name, &Page::read(request)?);
        }
        (&Method::GET, ["tables", name, "errors"]) => {
            return tables::error_rows(emulator, name, &Page::read(request)?);
        }
        (&Method::GET, [] | [""]) => Ok(json!({ "endpoints": ENDPOINTS })),
        (&Method::GET, ["health"]) => Ok(json!({
            "status": "ok",
            "version": env!("CARGO_PKG_VERSION"),
            "answers": emulator.handler().state.rules.answers,
        })),
        (&Method::GET, ["tables"]) => tables::list(emulator),
        (&Method::GET, ["channels"]) => Ok(channels(emulator)),
        (&Method::POST, ["ddl"]) => ddl(emulator, request.body()),
        (&Method::GET, ["faults"]) => Ok(faults::list(emulator.faults())),
        (&Method::POST, ["faults"]) => {
            faults::add(emulator.faults(), request.body())?;
            Ok(faults::list(emulator.faults()))
        }
        (&Method::DELETE, ["faults"]) => {
            emulator.faults().reset();
            Ok(faults::list(emulator.faults()))
        }
        (&Method::GET, ["commits"]) => Ok(commits(emulator)),
        (&Method::POST, ["commits"]) => {
            let wanted: Commits = read(request.body())?;
            wanted.carry_out(emulator, now);
            Ok(commits(emulator))
        }
        (&Method::GET, ["requests"]) => requests::list(emulator, request),
        (&Method::DELETE, ["requests"]) => {
            emulator.handler().log.clear();
            Ok(json!({}))
        }
        (&Method::POST, ["reset"]) => {
            let reset = match Reset::read(request.body())?.database {
                Some(database) => emulator.reset_database(&database),
                None => emulator.reset(),
            };
            reset.map_err(|why| broken("The emulator cannot be reset", &why))?;
            Ok(json!({}))
        }
        (method, _) => Err(Refusal::new(
            StatusCode::NOT_FOUND,
            "ERR_ENDPOINT_DOES_NOT_EXIST",
            format!("There is no endpoint {method} {path}: GET /_emulator/ lists them."),
        )),
    };
    body.map(|body| json_answer(StatusCode::OK, &body))
}

/// Reads a JSON body. An unknown field is an error that names it.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|why| Refusal::malformed(format!("The body cannot be read: {why}.")))
}

pub(crate) fn broken(what: &str, why: &dyn std::error::Error) -> Refusal {
    tracing::error!(%why, "{what}");
    Refusal::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "ERR_STORAGE",
        format!("{what}: the emulator's log says why."),
    )
}

/// The query's parameters, decoded.
pub(crate) fn parameters(request: &Request<Bytes>) -> Vec<(String, String)> {
    let text = request.uri().query().unwrap_or_default();
    url::form_urlencoded::parse(text.as_bytes())
        .into_owned()
        .collect()
}

pub(crate) fn number(name: &str, value: &str) -> Result<usize, Refusal> {
    value.parse().map_err(|_| {
        Refusal::malformed(format!(
            "The parameter {name} is {value:?}, which is no whole number."
        ))
    })
}

pub(crate) fn unknown(name: &str, known: &str) -> Refusal {
    Refusal::malformed(format!(
        "There is no parameter {name:?} here, only {known}."
    ))
}

pub(crate) fn shown(name: &ObjectName) -> String {
    format!("{}.{}.{}", name.database, name.schema, name.name)
}

fn channels(emulator: &Emulator) -> Value {
    let handler = emulator.handler();
    let listed: Vec<Value> = handler.state.channels().map(channel).collect();
    json!({ "channels": listed })
}

fn channel(channel: &Channel) -> Value {
    let record = &channel.record;
    json!({
        "pipe": shown(&record.pipe),
        "channel": record.channel,
        "status_code": record.status_code,
        "offset_token": record.offset_token,
        "client_sequencer": record.client_sequencer,
        "row_sequencer": record.row_sequencer,
        "continuation_token": channel.continuation_token(),
        "rows_parsed": record.rows_parsed,
        "rows_inserted": record.rows_inserted,
        "rows_error_count": record.rows_error_count,
        "last_error_message": record.last_error_message,
        "last_error_offset_upper_bound": record.last_error_offset_upper_bound,
        "last_error_timestamp_ms": record.last_error_timestamp_ms,
        "created_on_ms": record.created_on_ms,
        "last_used_ms": record.last_used_ms,
        "pending_batches": channel.pending.len(),
        "pending_bytes": channel.pending_bytes(),
        // A batch that is withheld without limit is never due.
        "next_commit_ms": channel.next_due_ms().filter(|&due| due < u64::MAX),
    })
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Reset {
    /// Without it, everything is reset.
    database: Option<String>,
}

impl Reset {
    /// Reads a body. One that is empty resets everything.
    fn read(body: &[u8]) -> Result<Self, Refusal> {
        if body.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        read(body)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ddl {
    sql: String,
}

fn ddl(emulator: &Emulator, body: &[u8]) -> Result<Value, Refusal> {
    let Ddl { sql } = read(body)?;
    let mut handler = emulator.handler();
    let state = &mut handler.state;
    state.apply_ddl(&sql).map_err(|why| match why {
        SchemaChangeError::Storage(why) => broken("The storage cannot follow the DDL", &why),
        _ => Refusal::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "ERR_DDL",
            format!("{why}."),
        ),
    })?;
    let tables = state.catalog.tables().map(|table| shown(&table.name));
    let pipes = state.catalog.pipes().map(|pipe| shown(&pipe.name));
    Ok(json!({ "tables": tables.collect::<Vec<_>>(), "pipes": pipes.collect::<Vec<_>>() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Commits {
    delay_ms: Option<u64>,
    every_ms: Option<u64>,
    hold: Option<bool>,
    #[serde(default)]
    commit_now: bool,
}

impl Commits {
    fn carry_out(&self, emulator: &Emulator, now: SystemTime) {
        if let Some(delay) = self.delay_ms {
            emulator.set_commit_delay(Duration::from_millis(delay));
        }
        if let Some(period) = self.every_ms {
            emulator.set_commit_every(Duration::from_millis(period));
        }
        if let Some(hold) = self.hold {
            emulator.hold_commits(hold);
        }
        if self.commit_now {
            emulator.commit_now();
        }
        emulator.advance(now);
    }
}

fn commits(emulator: &Emulator) -> Value {
    let handler = emulator.handler();
    let state = &handler.state;
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let pending: usize = state.channels().map(|channel| channel.pending.len()).sum();
    json!({
        "delay_ms": millis(state.rules.commit_delay),
        "every_ms": millis(state.rules.commit_every),
        "hold": state.is_held,
        "pending_batches": pending,
    })
}
