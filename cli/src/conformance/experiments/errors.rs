//! E22, E29: where rejected rows, channels and pipes are listed.

use std::time::Duration;

use crate::conformance::Broken;
use crate::conformance::lab::{Lab, Parts};
use crate::conformance::outcome::{Outcome, Patience};
use crate::conformance::run::quoted_schema;
use crate::conformance::sending::may_change;
use crate::conformance::statements::{listed, refused};
use snowpipe_streaming::Error;
use snowpipe_streaming::sql::Rows;

pub(super) const TABLES_EXPECTED: &[(&str, &str)] = &[
    ("error_table.codes", "100038, 100072"),
    ("error_table.malformed", "100069"),
    ("error_table.states", "22018, 22000"),
    ("error_table.columns", "A, A"),
    ("error_table.service", "snowpipe_streaming"),
    ("error_table.upper_bound", "o3"),
    ("error_table.payload", "{\"A\":\"word\"}"),
    ("elastic.error_table", "100038"),
];

pub(super) async fn error_tables(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let token = lab.open("T", "c").await?;
    let rows = "{\"A\":\"word\"}\n{\"A\":null}\n";
    lab.append(("T", "c"), &token, "o3", rows).await?;
    lab.committed(("T", "c"), "o3").await?;
    let all = "SELECT COUNT(*) FROM ERROR_TABLE({T})";
    let mut parts = Parts::default();
    parts.add(lab.at_least(all, 2).await.map(drop))?;
    let of_rows = "ERROR_TABLE({T}) ORDER BY ERROR_CODE";
    let of_text = "ERROR_TABLE({T}) WHERE ERROR_CODE = 100038";
    for (what, select, from) in [
        ("error_table.codes", "ERROR_CODE", of_rows),
        (
            "error_table.states",
            "ERROR_METADATA:sql_state::VARCHAR",
            of_rows,
        ),
        (
            "error_table.columns",
            "ERROR_METADATA:error_source::VARCHAR",
            of_rows,
        ),
        (
            "error_table.service",
            "ERROR_METADATA:service::VARCHAR",
            of_text,
        ),
        (
            "error_table.lower_bound",
            "ERROR_METADATA:details:offset_token_lower_bound::VARCHAR",
            of_text,
        ),
        (
            "error_table.upper_bound",
            "ERROR_METADATA:details:offset_token_upper_bound::VARCHAR",
            of_text,
        ),
        ("error_table.payload", "ERROR_DATA:\"$1\"::VARCHAR", of_text),
    ] {
        let found = lab.cells(&format!("SELECT {select} FROM {from}")).await;
        lab.see_part(what, found)?;
    }
    let elastic = of_elastic(lab).await;
    lab.see_part("elastic.error_table", elastic)?;
    let malformed = malformed(lab, all).await;
    lab.see_part("error_table.malformed", malformed)?;
    let other = lab.table("T") + "__ERRORS";
    let other = format!("SELECT COUNT(*) FROM {}", lab.qualified(&other));
    let found = lab.try_sql(&other).await?;
    let word = match found {
        Ok(_) => "is there".to_owned(),
        Err(why) => refused(&why),
    };
    lab.see("error_table.by_suffix", word);
    parts.end()
}

/// Whether a row that is rejected after an elastic append is listed.
async fn of_elastic(lab: &mut Lab<'_>) -> Result<String, Broken> {
    lab.open("E", "c").await?;
    lab.known(("E", "c")).await?;
    let request = lab.elastic_request("E", "{\"A\":\"word\"}\n");
    let answer = lab.ingest_while(may_change, request).await?;
    if !answer.is_success() {
        return Ok(answer.outcome());
    }
    lab.at_least("SELECT COUNT(*) FROM ERROR_TABLE({E})", 1)
        .await?;
    lab.cells("SELECT ERROR_CODE FROM ERROR_TABLE({E})").await
}

/// The code of a line that is no JSON.
async fn malformed(lab: &mut Lab<'_>, all: &str) -> Result<String, Broken> {
    let outcome = lab.row(("T", "malformed"), "{\"A\":\n").await?;
    let Outcome::Committed(_) = outcome else {
        return Ok(outcome.word());
    };
    lab.at_least(all, 3).await?;
    let code = "SELECT ERROR_CODE FROM ERROR_TABLE({T}) WHERE ERROR_CODE NOT IN (100038, 100072)";
    lab.cells(code).await
}

pub(super) const LISTS_EXPECTED: &[(&str, &str)] = &[
    ("show_channels.names", "c"),
    ("show_channels.offset", "o1"),
    ("show_channels.parent", "PIPE"),
    ("show_pipes.kind", "STREAMING"),
    ("show_pipes.managed", "true"),
    ("show_pipes.owner", "NULL"),
    ("pipe_status.state", "RUNNING"),
];

/// The cells of a column in a listing.
fn cells(rows: &Rows, name: &str) -> String {
    let cells = listed(rows, name).map(|cells| cells.join(", "));
    cells.unwrap_or_else(|| "there is no such column".to_owned())
}

/// Notes columns of a listing.
async fn see_columns(
    lab: &mut Lab<'_>,
    statement: &str,
    columns: &[(&'static str, &str)],
) -> Result<(), Broken> {
    let rows = lab.try_sql(statement).await?;
    see_cells(lab, &rows, columns);
    Ok(())
}

fn see_cells(lab: &mut Lab<'_>, rows: &Result<Rows, Error>, columns: &[(&'static str, &str)]) {
    for (what, column) in columns {
        let word = match rows {
            Ok(rows) => cells(rows, column),
            Err(why) => refused(why),
        };
        // The name of a role is nothing to report.
        let word = match (*what, &*word) {
            ("show_pipes.owner", owner) if owner != "NULL" && rows.is_ok() => "a role".to_owned(),
            _ => word,
        };
        lab.see(what, word);
    }
}

/// The channels of a pipe, once the one with the committed offset is among them or the time is over.
async fn channels(lab: &mut Lab<'_>, pipe: &str) -> Result<Result<Rows, Error>, Broken> {
    let mut patience = Patience::of(LISTED);
    loop {
        let rows = lab
            .try_sql(&format!("SHOW CHANNELS IN PIPE {pipe}"))
            .await?;
        let offsets = rows.as_ref().map(|rows| listed(rows, "offset_token"));
        let waits = matches!(offsets, Ok(Some(offsets)) if offsets != ["o1"]);
        if !waits || !patience.waits().await {
            return Ok(rows);
        }
    }
}

/// How long a listing may lag.
const LISTED: Duration = Duration::from_secs(60);

pub(super) async fn lists(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let token = lab.open("T", "c").await?;
    lab.append(("T", "c"), &token, "o1", "{\"A\":1}\n").await?;
    lab.committed(("T", "c"), "o1").await?;
    let pipe = lab.pipe_name("T");
    let mut parts = Parts::default();
    let of_channels = [
        ("show_channels.names", "name"),
        ("show_channels.offset", "offset_token"),
        ("show_channels.parent", "parent_domain"),
    ];
    let rows = channels(lab, &pipe).await;
    parts.add(rows.map(|rows| see_cells(lab, &rows, &of_channels)))?;
    let pipes = [
        ("show_pipes.kind", "kind"),
        ("show_pipes.managed", "is_snowflake_managed"),
        ("show_pipes.owner", "owner"),
    ];
    let schema = quoted_schema(lab.place);
    // An underscore stands for itself as well.
    let like = lab.pipe("T");
    let show = format!("SHOW PIPES LIKE '{like}' IN SCHEMA {schema}");
    parts.add(see_columns(lab, &show, &pipes).await)?;
    let text = pipe.replace('\'', "''");
    let state = format!("SELECT PARSE_JSON(SYSTEM$PIPE_STATUS('{text}')):executionState::VARCHAR");
    let state = lab.cells(&state).await;
    lab.see_part("pipe_status.state", state)?;
    // Of an account's event table no more than a row is looked for.
    let event = "SELECT COUNT(*) FROM (SELECT 1 FROM SNOWFLAKE.TELEMETRY.EVENTS_VIEW WHERE TIMESTAMP > DATEADD(minute, -1, CURRENT_TIMESTAMP()) LIMIT 1)";
    let word = match lab.try_sql(event).await {
        Ok(Ok(_)) => Ok("can be read".to_owned()),
        Ok(Err(why)) => Ok(refused(&why)),
        Err(why) => Err(why),
    };
    lab.see_part("event_table", word)?;
    parts.end()
}
