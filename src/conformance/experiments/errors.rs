//! E22, E29: where rejected rows, channels and pipes are listed.

use crate::conformance::Broken;
use crate::conformance::lab::{Lab, refused};
use crate::sql::Rows;

pub(super) const TABLES_EXPECTED: &[(&str, &str)] = &[
    ("error_table.codes", "100038, 100069, 100072"),
    ("error_table.states", "22018, 22000"),
    ("error_table.columns", "A, A"),
    ("error_table.service", "snowpipe_streaming"),
    ("error_table.upper_bound", "o3"),
    ("error_table.payload", "{\"A\":\"word\"}"),
];

pub(super) async fn error_tables(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let token = lab.open("T", "c").await?;
    let rows = "{\"A\":\"word\"}\n{\"A\":null}\n{\"A\":\n";
    lab.append(("T", "c"), &token, "o3", rows).await?;
    lab.committed(("T", "c"), "o3").await?;
    let of_values = "ERROR_TABLE({T}) WHERE ERROR_CODE IN (100038, 100072) ORDER BY ERROR_CODE";
    let of_text = "ERROR_TABLE({T}) WHERE ERROR_CODE = 100038";
    for (what, statement) in [
        (
            "error_table.codes",
            "SELECT ERROR_CODE FROM ERROR_TABLE({T}) ORDER BY ERROR_CODE".to_owned(),
        ),
        (
            "error_table.states",
            format!("SELECT ERROR_METADATA:sql_state::VARCHAR FROM {of_values}"),
        ),
        (
            "error_table.columns",
            format!("SELECT ERROR_METADATA:error_source::VARCHAR FROM {of_values}"),
        ),
        (
            "error_table.service",
            format!("SELECT ERROR_METADATA:service::VARCHAR FROM {of_text}"),
        ),
        (
            "error_table.lower_bound",
            format!(
                "SELECT ERROR_METADATA:details:offset_token_lower_bound::VARCHAR FROM {of_text}"
            ),
        ),
        (
            "error_table.upper_bound",
            format!(
                "SELECT ERROR_METADATA:details:offset_token_upper_bound::VARCHAR FROM {of_text}"
            ),
        ),
        (
            "error_table.payload",
            format!("SELECT ERROR_DATA:\"$1\"::VARCHAR FROM {of_text}"),
        ),
    ] {
        let found = lab.column(&statement).await?;
        lab.see(what, found.join(", "));
    }
    let other = lab.table("T") + "__ERRORS";
    let other = lab.qualified(&other);
    let found = lab
        .try_sql(&format!("SELECT COUNT(*) FROM {other}"))
        .await?;
    let word = match found {
        Ok(_) => "is there".to_owned(),
        Err(why) => refused(&why),
    };
    lab.see("error_table.by_suffix", word);
    Ok(())
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
    let mut columns = rows.columns.iter();
    let Some(place) = columns.position(|column| column == name) else {
        return "there is no such column".to_owned();
    };
    let cells = rows
        .rows
        .iter()
        .map(|row| row.get(place).cloned().flatten());
    let cells = cells.map(|cell| cell.unwrap_or_else(|| "NULL".to_owned()));
    cells.collect::<Vec<_>>().join(", ")
}

pub(super) async fn lists(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let token = lab.open("T", "c").await?;
    lab.append(("T", "c"), &token, "o1", "{\"A\":1}\n").await?;
    lab.committed(("T", "c"), "o1").await?;
    let pipe = lab.pipe_name("T");
    let channels = lab.sql(&format!("SHOW CHANNELS IN PIPE {pipe}")).await?;
    for (what, column) in [
        ("show_channels.names", "name"),
        ("show_channels.offset", "offset_token"),
        ("show_channels.parent", "parent_domain"),
    ] {
        lab.see(what, cells(&channels, column));
    }
    let described = lab.sql(&format!("DESC PIPE {pipe}")).await?;
    for (what, column) in [
        ("show_pipes.kind", "kind"),
        ("show_pipes.managed", "is_snowflake_managed"),
        ("show_pipes.owner", "owner"),
    ] {
        lab.see(what, cells(&described, column));
    }
    let text = pipe.replace('\'', "''");
    let state = format!("SELECT PARSE_JSON(SYSTEM$PIPE_STATUS('{text}')):executionState::VARCHAR");
    let found = lab.try_sql(&state).await?;
    let first = |rows: Rows| rows.rows.into_iter().next()?.into_iter().next().flatten();
    let word = match found {
        Ok(rows) => first(rows).unwrap_or_else(|| "NULL".to_owned()),
        Err(why) => refused(&why),
    };
    lab.see("pipe_status.state", word);
    let channel = "SELECT COUNT(*) FROM SNOWFLAKE.TELEMETRY.EVENTS_VIEW WHERE SCOPE:\"name\" = 'snow.snowpipe.streaming' AND RECORD_TYPE = 'EVENT'";
    let word = match lab.try_sql(channel).await? {
        Ok(_) => "can be read".to_owned(),
        Err(why) => refused(&why),
    };
    lab.see("event_table", word);
    Ok(())
}
