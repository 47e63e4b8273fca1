//! Rows that are JSON already, from a log file or a message queue. They are sent as they are, without being parsed.
//!
//! ```sh
//! cargo run --example raw_ndjson
//! ```
//!
//! It also shows a row that the table rejects: the server counts it and commits the other rows of the batch.

use anyhow::bail;
use snowpipe_streaming::{ErrorKind, PipePath, RowBatch, StreamingIngestClient};
use snowpipe_streaming_emulator::Emulator;
use snowpipe_streaming_emulator::tables::Catalog;

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
    let profile = emulator.profile()?;
    let pipe = PipePath::for_table("LAB", "PUBLIC", "READING")?;
    let client = StreamingIngestClient::builder(profile, pipe)
        .transport(emulator.transport())
        .build()
        .await?;
    let mut channel = client.open_channel("readings-0").await?;

    // This checks only that each line looks like an object; `from_ndjson_checked` parses the lines.
    let batch = RowBatch::from_ndjson(GOOD)?;
    // A pair of tokens: the rows are sent in one request and committed together under the second token. Byte offsets in
    // the file would work as well.
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
            // The batch is committed without that row. Sending it again would repeat the other rows.
            println!("{error}");
            println!(
                "to find the rows: {}",
                channel.error_table_sql("LAB.PUBLIC.READING")
            );
        }
        other => bail!("a temperature that is not a number was accepted: {other:?}"),
    }
    // The rejected row has been reported, so closing does not report it again.
    channel.close().await?;
    client.close().await?;

    for row in emulator.rows("LAB.PUBLIC.READING")? {
        println!("landed: {row}");
    }
    for row in emulator.error_rows("LAB.PUBLIC.READING")? {
        println!("rejected: {} ({})", row.payload, row.error);
    }
    Ok(())
}
