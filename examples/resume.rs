//! A writer that crashes half-way, and its next run: every row lands once.
//!
//! ```sh
//! cargo run --example resume
//! ```
//!
//! Exactly once takes four things: a tracked channel, a source that can be read again from a given position, that position as
//! the offset token of each row, and one writer at a time that starts after the committed token. The server stores that token
//! with the channel.

use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};
use snowpipe_streaming::{Channel, OnUncommitted, PipePath, StreamingIngestClient};
use snowpipe_streaming_emulator::Emulator;
use snowpipe_streaming_emulator::tables::Catalog;

const TABLE: &str = "CREATE TABLE SHOP.PUBLIC.ORDERS (ID NUMBER NOT NULL, ITEM VARCHAR)";
const ORDERS: u64 = 1000;

/// The source: it returns the same order for an id each time.
fn order(id: u64) -> Value {
    json!({ "ID": id, "ITEM": format!("item {}", id % 7) })
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let emulator = Emulator::builder()
        .catalog(Catalog::from_ddl(TABLE)?)
        .build()?;

    run_and_crash(&emulator).await?;
    println!(
        "after the crash {} orders are in the table",
        landed(&emulator)?.len()
    );

    resume_and_finish(&emulator).await?;
    let landed = landed(&emulator)?;
    println!(
        "after the second run {} orders are in the table",
        landed.len()
    );
    ensure!(
        landed.into_iter().eq(0..ORDERS),
        "an order is missing, repeated or out of order"
    );
    Ok(())
}

/// The first run: some rows are committed, some only accepted, some still in memory when it crashes.
async fn run_and_crash(emulator: &Emulator) -> anyhow::Result<()> {
    let (client, mut channel) = connect(emulator).await?;
    append(&mut channel, 0..400).await?;
    channel.wait_for_commit().await?;
    append(&mut channel, 400..600).await?;
    channel.wait_for_flush().await?;
    append(&mut channel, 600..700).await?;
    println!(
        "the first run appended 0..700 and knows that {:?} is committed",
        channel.latest_committed_offset_token()
    );
    // Dropped channels drain; an aborted client ends as in a crash.
    client.abort();
    Ok(())
}

/// The second run: the same program, started again.
async fn resume_and_finish(emulator: &Emulator) -> anyhow::Result<()> {
    let (client, mut channel) = connect(emulator).await?;
    let next = channel.resume_after::<u64>()?.map_or(0, |last| last + 1);
    println!("the second run resumes at {next}");
    append(&mut channel, next..ORDERS).await?;
    channel.close().await?;
    client.close().await?;
    Ok(())
}

async fn append(channel: &mut Channel, ids: std::ops::Range<u64>) -> anyhow::Result<()> {
    let first = ids.start;
    // The callers wait for the whole channel, so they do not need the receipt.
    let _receipt = channel.append_rows(ids.map(order), first..).await?;
    Ok(())
}

async fn connect(emulator: &Emulator) -> anyhow::Result<(StreamingIngestClient, Channel)> {
    let profile = emulator.profile()?;
    let pipe = PipePath::for_table("SHOP", "PUBLIC", "ORDERS")?;
    let client = StreamingIngestClient::builder(profile, pipe)
        .transport(emulator.transport())
        .max_client_lag(Duration::from_millis(200))
        .build()
        .await?;
    // Rows that the crashed run left accepted may be discarded if they are not committed in time: the source can be read again.
    let policy = OnUncommitted::WaitThenDiscard(Duration::from_secs(30));
    let channel = client
        .open_channel("orders-0")
        .on_uncommitted(policy)
        .await?;
    Ok((client, channel))
}

fn landed(emulator: &Emulator) -> anyhow::Result<Vec<u64>> {
    let rows = emulator.rows("SHOP.PUBLIC.ORDERS")?;
    Ok(rows
        .iter()
        .filter_map(|row| row.get("ID")?.as_u64())
        .collect())
}
