//! The status of channels, as an open and the bulk status show it.

use std::time::{Duration, UNIX_EPOCH};

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::answers::{
    ElasticStatus, ErrorCounter, ErrorTimestamp, HealthyStatus, RowCounters, Wire,
};
use crate::catalog::tables::Pipe;
use crate::channels::channel::{Channel, ELASTIC, SUCCESS};
use crate::channels::state::State;
use crate::messages::answer::{Answer, Refusal, json_answer};

/// The status of each channel among `names` that exists, as it was at `at_ms`.
pub(crate) fn statuses(
    state: &State,
    pipe: &Pipe,
    names: &[String],
    at_ms: u64,
) -> Result<Answer, Refusal> {
    let asked = names.len();
    let most = state.rules.limits.status_names;
    if let Some(most) = most.filter(|&most| asked > most) {
        return Err(Refusal::bad_request(
            "ERR_GET_CHANNEL_STATUS_BATCH_TOO_MANY_CHANNELS",
            format!("{asked} channels are asked for, and {most} is the most."),
        ));
    }
    let unused = state.unused_elastic(pipe);
    let wire = &state.rules.answers.wire;
    let known = names.iter().filter_map(|name| {
        let is_unused = || {
            let is_present = wire.elastic_status == ElasticStatus::Present;
            (name == ELASTIC && is_present).then_some(&unused)
        };
        let channel = state.channel(pipe, name).or_else(is_unused)?;
        // Case matters here, unlike in addresses.
        (channel.record.channel == *name).then(|| {
            let mut status = status(wire, channel, at_ms);
            if wire.error_counter == ErrorCounter::RowsErrors {
                rename(&mut status, "rows_error_count", "rows_errors");
            }
            (name.clone(), status)
        })
    });
    let known: Map<String, Value> = known.collect();
    let answer = json!({ "status_code": 0, "message": "Success", "channel_statuses": known });
    Ok(json_answer(StatusCode::OK, &answer))
}

fn rename(status: &mut Value, from: &str, to: &str) {
    if let Some(fields) = status.as_object_mut()
        && let Some(value) = fields.remove(from)
    {
        fields.insert(to.to_owned(), value);
    }
}

/// How long the counters trail the token with the answer `late`.
const COUNTERS_LAG_MS: u64 = 4_000;

/// A channel's status as it was at `at_ms`.
pub(crate) fn status(wire: &Wire, channel: &Channel, at_ms: u64) -> Value {
    let record = &match wire.row_counters {
        RowCounters::AtOnce => channel.record_at(at_ms).clone(),
        RowCounters::Late => channel.record_with_late_counters(at_ms, COUNTERS_LAG_MS),
    };
    let status_code = match wire.healthy_status {
        HealthyStatus::Active if record.status_code == SUCCESS => "ACTIVE",
        _ => &record.status_code,
    };
    let error_timestamp = record.last_error_timestamp_ms.map(|ms| {
        let instant = UNIX_EPOCH + Duration::from_millis(ms);
        match (wire.error_timestamp, jiff::Timestamp::try_from(instant)) {
            (ErrorTimestamp::Text, Ok(instant)) => json!(format!("{instant:.3}")),
            _ => json!(ms),
        }
    });
    json!({
        "database_name": record.pipe.database,
        "schema_name": record.pipe.schema,
        "pipe_name": record.pipe.name,
        "channel_name": record.channel,
        "channel_status_code": status_code,
        "last_committed_offset_token": record.offset_token,
        "created_on_ms": record.created_on_ms,
        "rows_parsed": record.rows_parsed,
        "rows_inserted": record.rows_inserted,
        "rows_error_count": record.rows_error_count,
        "last_error_offset_upper_bound": record.last_error_offset_upper_bound,
        "last_error_message": record.last_error_message,
        "last_error_timestamp": error_timestamp,
        // The documentation has the name above; the official SDK reads this one.
        "last_error_timestamp_ms": record.last_error_timestamp_ms,
        "snowflake_avg_processing_latency_ms": channel.latency_ms,
    })
}
