//! Rows that are JSON already: a log file, a queue's messages. They go out as they are, without being parsed.
//!
//! ```sh
//! cargo run --example raw_ndjson
//! ```
//!
//! It also shows what becomes of a row that the table cannot take: the server counts it and commits its neighbours.

use std::sync::Arc;

use anyhow::bail;
use snowpipe_streaming::emulator::tables::Catalog;
use snowpipe_streaming::emulator::{Emulator, MemoryTransport};
use snowpipe_streaming::{
    ErrorKind, PipePath, Profile, RowBatch, StreamingIngestClient, SystemClock,
};

const TABLE: &str = "CREATE TABLE LAB.PUBLIC.READING (SENSOR VARCHAR, CELSIUS NUMBER(5, 1))";

const GOOD: &str = r#"{"SENSOR":"roof","CELSIUS":-3.5}
{"SENSOR":"cellar","CELSIUS":11.0}
"#;

const MIXED: &str = r#"{"SENSOR":"roof","CELSIUS":-3.4}
{"SENSOR":"cellar","CELSIUS":"warm"}
{"SENSOR":"attic","CELSIUS":17.2}
"#;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let emulator = Emulator::builder()
        .catalog(Catalog::from_ddl(TABLE)?)
        .build()?;
    let profile = Profile::from_json(&emulator.profile_json("http://127.0.0.1"))?;
    let pipe = PipePath::for_table("LAB", "PUBLIC", "READING")?;
    let client = StreamingIngestClient::builder(profile, pipe)
        .transport(MemoryTransport::new(
            emulator.clone(),
            Arc::new(SystemClock),
        ))
        .build()
        .await?;
    let mut channel = client.open_channel("readings-0").await?;

    // Only the outside of each line is looked at; `from_ndjson_checked` parses them.
    let batch = RowBatch::from_ndjson(GOOD)?;
    // A pair of tokens: the rows travel in one request, and are committed together as the second token. Byte offsets in
    // the file would do as well.
    channel
        .append_batch(&batch, ("readings.ndjson:1", "readings.ndjson:2"))
        .await?
        .committed()
        .await?;
    println!("committed: {:?}", channel.latest_committed_offset_token());

    let batch = RowBatch::from_ndjson(MIXED)?;
    let receipt = channel
        .append_batch(&batch, ("readings.ndjson:3", "readings.ndjson:5"))
        .await?;
    match receipt.committed().await {
        Err(error) if error.kind() == ErrorKind::RowsRejected => {
            // Committed all the same: sending the batch again would repeat its good rows.
            println!("{error}");
            println!(
                "which ones: {}",
                channel.error_table_sql("LAB.PUBLIC.READING")
            );
        }
        other => bail!("a row that is not a number was taken: {other:?}"),
    }
    // The rejects were reported once, so this is a clean end.
    channel.close().await?;
    client.close().await?;

    for row in emulator.rows("LAB.PUBLIC.READING")? {
        println!("landed: {row}");
    }
    for row in emulator.error_rows("LAB.PUBLIC.READING")? {
        println!("rejected: {} ({})", row.payload, row.message);
    }
    Ok(())
}
