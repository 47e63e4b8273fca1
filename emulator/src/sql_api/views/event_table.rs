//! `SNOWFLAKE.TELEMETRY.EVENTS` and `EVENTS_VIEW`: the records of channels, as at `LOG_EVENT_LEVEL = INFO`.

use serde_json::{Value, json};

use super::{TEXT, instant, named, text};
use crate::catalog::cell::Cell;
use crate::catalog::coercion::DataType;
use crate::catalog::columns::Column;
use crate::channels::events::{Event, What};
use crate::channels::state::State;

const INSTANT: DataType = DataType::TimestampNtz(9);

pub(super) fn columns() -> Vec<Column> {
    named(&[
        ("TIMESTAMP", INSTANT),
        ("START_TIMESTAMP", INSTANT),
        ("OBSERVED_TIMESTAMP", INSTANT),
        ("TRACE", DataType::Object),
        ("RESOURCE", DataType::Object),
        ("RESOURCE_ATTRIBUTES", DataType::Object),
        ("SCOPE", DataType::Object),
        ("SCOPE_ATTRIBUTES", DataType::Object),
        ("RECORD_TYPE", TEXT),
        ("RECORD", DataType::Object),
        ("RECORD_ATTRIBUTES", DataType::Object),
        ("VALUE", DataType::Variant),
        ("EXEMPLARS", DataType::Array),
    ])
}

pub(super) fn rows(state: &State) -> Vec<Vec<Cell>> {
    let events = state.events.iter();
    let rows = events.flat_map(|event| {
        let records = records(event).into_iter();
        records.map(|(name, level, value)| row(event, name, level, &value))
    });
    rows.collect()
}

/// The name, level and value of the records that an event makes.
fn records(event: &Event) -> Vec<(&'static str, &'static str, Value)> {
    let channel = &event.channel;
    let lifecycle = |kind: &str| {
        let value = json!({ "channel_name": channel, "event_type": kind });
        vec![("channel_lifecycle", "INFO", value)]
    };
    match &event.what {
        What::Opened => lifecycle("OPEN"),
        What::Dropped => lifecycle("DROP"),
        What::Committed(commit) => {
            let commit_value = json!({
                "channel_name": channel,
                "row_count": commit.rows_inserted,
                "rows_parsed": commit.rows_parsed,
                "error_count": commit.rows_rejected,
                "uncompressed_bytes": commit.bytes,
                "offset_start": commit.offset_start,
                "offset_end": commit.offset_end,
            });
            let latency = json!({
                "channel_name": channel,
                "total_latency_ms": commit.latency_ms,
            });
            let mut records = vec![
                ("commit", "INFO", commit_value),
                ("latency", "INFO", latency),
            ];
            if let Some((error, token)) = &commit.last_error {
                let value = json!({
                    "channel_name": channel,
                    "error_code": error.code,
                    "error_message": error.message,
                    "error_col_name": error.column,
                    "error_line_number": null,
                    "error_char_pos": null,
                    "error_offset": token,
                });
                records.push(("row_error", "ERROR", value));
            }
            records
        }
        What::Failed(failed) => {
            let value = json!({
                "channel_name": channel,
                "error_code": failed.code,
                "error_message": failed.message,
                "error_type": if failed.is_by_user { "USER" } else { "SYSTEM" },
                "uncompressed_bytes": failed.bytes,
            });
            vec![("channel_error", "ERROR", value)]
        }
    }
}

fn row(event: &Event, name: &str, level: &str, value: &Value) -> Vec<Cell> {
    let object = |value: Value| Cell::Json(value.to_string());
    vec![
        instant(INSTANT, event.at_ms),
        Cell::Null,
        instant(INSTANT, event.at_ms),
        Cell::Null,
        Cell::Null,
        object(json!({
            "snow.executable.type": "SNOWPIPE_STREAMING",
            "snow.database.name": event.table.database,
            "snow.schema.name": event.table.schema,
            "snow.table.name": event.table.name,
            "snow.pipe.name": event.pipe.name,
        })),
        object(json!({ "name": "snow.snowpipe.streaming" })),
        Cell::Null,
        text("EVENT"),
        object(json!({ "name": name, "severity_text": level })),
        Cell::Null,
        object(value.clone()),
        Cell::Null,
    ]
}
