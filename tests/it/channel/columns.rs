//! Keys of rows and columns of tables: upper-case keys, rows that are checked before they are sent, and the warning about the first
//! row of a pipe that may match case-sensitively. Paused clock throughout.

use serde::Serialize;
use serde_json::{Value, json};
use snowpipe_streaming::sql::{SqlClient, TableName};
use snowpipe_streaming::{Columns, ErrorKind, Keys, PipePath, RowBatch, StreamingIngestClient};
use snowpipe_streaming_emulator::Endpoint;
use snowpipe_streaming_emulator::tables::Catalog;

use tracing::Level;

use crate::support::World;
use snowpipe_connector_support::trace::Trace;

/// A struct in Rust's own case.
#[derive(Serialize)]
struct Ride {
    n: i64,
    lift: &'static str,
}

const RIDE: Ride = Ride {
    n: 1,
    lift: "north",
};

/// A table with a pipe that matches case-sensitively, as the pipes of many accounts do.
fn world() -> World {
    let ddl = "CREATE TABLE DB.PUBLIC.OTHER (X NUMBER);
        CREATE TABLE DB.PUBLIC.RIDES (N NUMBER NOT NULL, LIFT VARCHAR, AT TIMESTAMP_NTZ NOT NULL DEFAULT CURRENT_TIMESTAMP());
        CREATE PIPE DB.PUBLIC.RIDES_PIPE AS COPY INTO DB.PUBLIC.RIDES FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING'))
        MATCH_BY_COLUMN_NAME=CASE_SENSITIVE;";
    let catalog = Catalog::from_ddl(ddl).unwrap();
    World::with(|e| e.catalog(catalog))
}

/// The lifts that are stored.
fn lifts(world: &World) -> Vec<Value> {
    let rows = world.emulator.rows("DB.PUBLIC.RIDES").unwrap();
    rows.iter().map(|row| row["LIFT"].clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_struct_in_its_own_case_lands_with_upper_case_keys() {
    let world = world();
    let client = world.builder().keys(Keys::Uppercase).build().await.unwrap();
    let mut tracked = client.open_channel("c").await.unwrap();
    tracked.append_row(&RIDE, 1).await.unwrap();
    tracked.append_rows([RIDE, RIDE], 2..).await.unwrap();
    tracked.append_rows([RIDE, RIDE], ("a", "b")).await.unwrap();
    tracked.close().await.unwrap();
    let elastic = client.elastic_channel();
    elastic.append_row(&RIDE, ()).await.unwrap().await.unwrap();
    elastic.close().await.unwrap();
    world.emulator.commit_now();
    assert_eq!(lifts(&world), vec![json!("north"); 6]);
}

/// Each way to append a row that is not checked otherwise.
async fn appended(client: &StreamingIngestClient, row: &Value) -> Vec<ErrorKind> {
    let text = row.to_string();
    let batch = RowBatch::from_ndjson(format!("{text}\n")).unwrap();
    let mut tracked = client.open_channel("c").await.unwrap();
    let mut kinds = Vec::new();
    for outcome in [
        tracked.append_row(row, 1).await.map(drop),
        tracked.append_json(&text, 1).await.map(drop),
        tracked.append_rows([row], 1..).await.map(drop),
        tracked.append_rows([row], ("a", "b")).await.map(drop),
        tracked.append_each([(row, 1)]).await.map(drop),
        tracked.append_batch(&batch, 1..).await.map(drop),
    ] {
        kinds.push(outcome.unwrap_err().kind());
    }
    tracked.close().await.unwrap();
    let mut untracked = client.open_untracked_channel("u").await.unwrap();
    let sender = untracked.weak_sender();
    for outcome in [
        untracked.append_row(row).await.map(drop),
        untracked.append_rows([row]).await.map(drop),
        untracked.append_batch(&batch).await.map(drop),
        sender.append_row(row).await.map(drop),
    ] {
        kinds.push(outcome.unwrap_err().kind());
    }
    untracked.close().await.unwrap();
    let elastic = client.elastic_channel();
    for outcome in [
        elastic.append_row(row, ()).await.map(drop),
        elastic.append_batch(&batch, ()).await.map(drop),
    ] {
        kinds.push(outcome.unwrap_err().kind());
    }
    elastic.close().await.unwrap();
    kinds
}

#[tokio::test(start_paused = true)]
async fn a_row_that_does_not_fit_the_columns_is_refused_before_it_is_sent() {
    let world = world();
    let client = world.client().await;
    let sql = SqlClient::builder(world.emulator.profile().unwrap());
    let sql = sql.transport(world.emulator.transport()).build().unwrap();
    let table = TableName::new("DB", "PUBLIC", "RIDES").unwrap();
    let columns = sql.columns(&table).await.unwrap();
    assert_eq!(columns, Columns::new(["LIFT", "AT"]).required(["N"]));
    client.check_columns(columns);
    for row in [
        json!({ "n": 1 }),
        json!({ "N": 1, "LIFTS": "x" }),
        json!({ "LIFT": "x" }),
    ] {
        let kinds = appended(&client, &row).await;
        assert_eq!(kinds, [ErrorKind::InvalidRow; 12], "{row}");
    }
    assert_eq!(world.requests(Endpoint::Append), 0);
    // A row that fits goes through, and the other pipes of the client have columns of their own.
    let mut channel = client.open_channel("c").await.unwrap();
    channel
        .append_row(&json!({ "N": 1, "LIFT": "north" }), 1)
        .await
        .unwrap();
    channel.close().await.unwrap();
    assert_eq!(lifts(&world), [json!("north")]);
    let other = client.for_pipe(PipePath::for_table("DB", "PUBLIC", "OTHER").unwrap());
    let mut channel = other.open_untracked_channel("c").await.unwrap();
    channel.append_row(&json!({ "x": 1 })).await.unwrap();
    client.check_columns(Columns::new(["N", "LIFT", "NEW"]));
    let mut channel = client.open_channel("d").await.unwrap();
    channel
        .append_row(&json!({ "N": 2, "NEW": 1 }), 1)
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_first_row_with_a_lower_case_key_is_warned_of_once() {
    let trace = Trace::of(Level::WARN);
    let world = world();
    let client = world.client().await;
    for name in ["a", "b"] {
        let mut channel = client.open_untracked_channel(name).await.unwrap();
        channel.append_rows([RIDE, RIDE]).await.unwrap();
    }
    // Nothing to warn of: upper-case keys, and the default pipe, which matches in any case.
    let upper = world.builder().keys(Keys::Uppercase).build().await.unwrap();
    let mut channel = upper.open_channel("c").await.unwrap();
    channel.append_row(&RIDE, 1).await.unwrap();
    let of_table = PipePath::for_table("DB", "PUBLIC", "RIDES").unwrap();
    let mut channel = client.for_pipe(of_table).open_channel("d").await.unwrap();
    channel.append_row(&RIDE, 1).await.unwrap();
    let text = trace.text();
    let about: Vec<_> = text
        .lines()
        .filter(|line| line.contains("key in lower case"))
        .collect();
    assert_eq!(about.len(), 1, "{text}");
    let words = ["pipe=DB.PUBLIC.RIDES_PIPE", "key=\"n\"", "Keys::Uppercase"];
    assert!(
        words.iter().all(|word| about[0].contains(word)),
        "{about:?}"
    );
}
