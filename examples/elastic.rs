//! Many producers share one elastic channel. Rows are delivered at least once, in no particular order.
//!
//! ```sh
//! cargo run --example elastic
//! ```
//!
//! The server loses a response, throttles, and refuses one batch permanently. The acknowledgements report which rows may be
//! duplicated. The refused rows are returned, and the example appends them again.

use std::time::Duration;

use serde::Serialize;
use snowpipe_streaming::{ElasticChannel, StreamingIngestClient};
use snowpipe_streaming_emulator::tables::Catalog;
use snowpipe_streaming_emulator::{Emulator, Endpoint, Fault};
use tokio::task::JoinSet;

const TABLE: &str =
    "CREATE TABLE HILL.PUBLIC.SCAN (ID VARCHAR NOT NULL, GATE NUMBER(3), PASS NUMBER(9))";

const GATES: u32 = 5;
const SCANS: u32 = 40;

/// A scan of a pass at a gate. The id distinguishes two scans of the same pass from one scan that was sent twice.
#[derive(Serialize)]
#[serde(rename_all = "UPPERCASE")]
struct Scan {
    id: String,
    gate: u32,
    pass: u32,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let emulator = Emulator::builder()
        .catalog(Catalog::from_ddl(TABLE)?)
        .build()?;
    let faults = emulator.faults();
    faults.push(Fault::ApplyThenLose.on(Endpoint::Append));
    faults.push(Fault::Throttle(None).on(Endpoint::Append));
    faults.push(
        Fault::BadRequest("ERR_OUT_OF_ORDER".to_owned())
            .on(Endpoint::Append)
            .after(2),
    );

    let profile = emulator.profile()?;
    let transport = emulator.transport();
    let client = StreamingIngestClient::for_table(profile, "HILL", "PUBLIC", "SCAN")?
        .transport(transport)
        .max_client_lag(Duration::from_millis(20))
        .build()
        .await?;

    let channel = client.elastic_channel();
    let mut gates = JoinSet::new();
    for gate in 0..GATES {
        gates.spawn(watch(gate, channel.clone()));
    }
    let mut duplicates = 0;
    while let Some(gate) = gates.join_next().await {
        duplicates += gate??;
    }
    println!("{duplicates} scans may be duplicated");

    // The gates have awaited every acknowledgement. A program that drops its acknowledgements learns of failures here.
    if let Err(error) = channel.checkpoint().await {
        println!("{error}: {}", error.error());
        for failed in error.into_failed() {
            channel
                .append_batch(&failed.rows()?, failed.into_tag())
                .await?;
        }
    }
    if let Err(error) = channel.close().await {
        // Nothing else has these rows: a service would keep them in a file.
        for failed in error.failed() {
            print!("{}", String::from_utf8_lossy(failed.rows()?.as_bytes()));
        }
        return Err(error.into_error().into());
    }
    client.close().await?;

    // Accepted rows are durable, and a service commits them seconds later. Here they are committed now.
    emulator.commit_now();
    let rows = emulator.rows("HILL.PUBLIC.SCAN")?;
    let mut ids: Vec<String> = rows.iter().map(|row| row["ID"].to_string()).collect();
    ids.sort();
    ids.dedup();
    println!("{} rows landed, of {} scans", rows.len(), ids.len());
    anyhow::ensure!(ids.len() == (GATES * SCANS) as usize, "scans are missing");
    Ok(())
}

/// Appends the scans of one gate and waits until all are durable. Returns how many may be duplicated.
async fn watch(gate: u32, channel: ElasticChannel<String>) -> anyhow::Result<u32> {
    let mut acks = Vec::new();
    for n in 0..SCANS {
        let id = format!("{gate}-{n}");
        let scan = Scan {
            id: id.clone(),
            gate,
            pass: 700 + n,
        };
        acks.push(channel.append_row(&scan, id).await?);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut duplicates = 0;
    for ack in acks {
        match ack.await {
            Ok(accepted) => duplicates += u32::from(accepted.may_be_duplicated()),
            Err(failed) => {
                duplicates += u32::from(failed.is_ambiguous());
                let (rows, id) = (failed.rows()?, failed.into_tag());
                channel.append_batch(&rows, id).await?.await?;
            }
        }
    }
    Ok(duplicates)
}
