//! `SNOWFLAKE.ACCOUNT_USAGE.SNOWPIPE_STREAMING_CHANNEL_HISTORY`: a row for each commit.

use super::{INSTANT, INTEGER, TEXT, instant, integer, named, optional, text};
use crate::catalog::cell::Cell;
use crate::catalog::columns::Column;
use crate::channels::events::What;
use crate::channels::state::State;

/// What accounts show in place of a message that may contain values of rows.
const REDACTED: &str = "[REDACTED]";

pub(super) fn columns() -> Vec<Column> {
    named(&[
        ("ACCOUNT_ID", INTEGER),
        ("CREATED_ON", INSTANT),
        ("CHANNEL_ID", INTEGER),
        ("CHANNEL_NAME", TEXT),
        ("PIPE_ID", INTEGER),
        ("END_OFFSET", TEXT),
        ("TABLE_ID", INTEGER),
        ("TABLE_NAME", TEXT),
        ("TABLE_SCHEMA_ID", INTEGER),
        ("TABLE_SCHEMA_NAME", TEXT),
        ("TABLE_DATABASE_ID", INTEGER),
        ("TABLE_DATABASE_NAME", TEXT),
        ("PIPE_NAME", TEXT),
        ("PIPE_SCHEMA_ID", INTEGER),
        ("PIPE_SCHEMA_NAME", TEXT),
        ("PIPE_DATABASE_ID", INTEGER),
        ("PIPE_DATABASE_NAME", TEXT),
        ("LAST_ERROR_OFFSET_UPPER_BOUND", TEXT),
        ("LAST_ERROR_MESSAGE", TEXT),
        ("SNOWFLAKE_PROCESSING_LATENCY_MS", INTEGER),
        ("ROWS_INSERTED", INTEGER),
        ("ROWS_PARSED", INTEGER),
        ("ROW_ERROR_COUNT", INTEGER),
    ])
}

pub(super) fn rows(state: &State) -> Vec<Vec<Cell>> {
    let commits = state.events.iter().filter_map(|event| match &event.what {
        What::Committed(commit) => Some((event, commit)),
        _ => None,
    });
    let rows = commits.map(|(event, commit)| {
        let error = commit.last_error.as_ref();
        vec![
            Cell::Null,
            instant(INSTANT, event.at_ms),
            Cell::Null,
            text(&event.channel),
            Cell::Null,
            optional(commit.offset_end.as_deref()),
            Cell::Null,
            text(&event.table.name),
            Cell::Null,
            text(&event.table.schema),
            Cell::Null,
            text(&event.table.database),
            text(&event.pipe.name),
            Cell::Null,
            text(&event.pipe.schema),
            Cell::Null,
            text(&event.pipe.database),
            optional(error.and_then(|(_, token)| token.as_deref())),
            optional(error.map(|_| REDACTED)),
            integer(commit.processing_ms),
            integer(commit.rows_inserted),
            integer(commit.rows_parsed),
            integer(commit.rows_rejected),
        ]
    });
    rows.collect()
}
