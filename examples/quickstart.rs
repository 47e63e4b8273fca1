//! The shortest complete program: open a channel, append rows, wait until they are in the table.
//!
//! ```sh
//! cargo run --example quickstart
//! ```
//!
//! It needs no account: the server is the emulator, in memory. For an account, read the profile with
//! [`Profile::from_file`] or [`Profile::from_env`] and leave the transport out. The rest stays as it is.

use serde::Serialize;
use snowpipe_streaming::{PipePath, StreamingIngestClient};
use snowpipe_streaming_emulator::Emulator;
use snowpipe_streaming_emulator::tables::Catalog;

// Each table has a default pipe, named after it: `LIFT_RIDE-STREAMING`.
const TABLE: &str =
    "CREATE TABLE RESORT.PUBLIC.LIFT_RIDE (ID NUMBER NOT NULL, LIFT VARCHAR, RIDERS NUMBER)";

/// A row is anything that serializes to a JSON object. Its keys are sent as written here.
#[derive(Serialize)]
#[serde(rename_all = "UPPERCASE")]
struct Ride {
    id: u64,
    lift: &'static str,
    riders: u8,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let emulator = Emulator::builder()
        .catalog(Catalog::from_ddl(TABLE)?)
        .build()?;
    let profile = emulator.profile()?;
    let pipe = PipePath::for_table("RESORT", "PUBLIC", "LIFT_RIDE")?;
    let client = StreamingIngestClient::builder(profile, pipe)
        .transport(emulator.transport())
        .build()
        .await?;

    // The name is the identity of this writer. The next run that opens it learns where this one stopped.
    let mut channel = client.open_channel("rides-0").await?;
    let first = channel.resume_after::<u64>()?.map_or(0, |last| last + 1);

    let lifts = ["Elkhorn", "Centennial", "Larkspur"];
    let rides = (first..).zip(lifts).map(|(id, lift)| Ride {
        id,
        lift,
        riders: 4,
    });
    // Row i carries the offset token `first + i`.
    let receipt = channel.append_rows(rides, first..).await?;
    println!("appended: {:?}", channel.last_appended());

    // Without this the rows would be sent within a second (`max_client_lag`). This program has no more rows to add.
    channel.initiate_flush();
    receipt.accepted().await?;
    println!("accepted");
    receipt.committed().await?;
    println!("committed: {:?}", channel.latest_committed_offset_token());

    let report = channel.close().await?;
    println!(
        "closed: {} of {} rows committed",
        report.rows_committed, report.rows_appended
    );
    client.close().await?;

    for row in emulator.rows("RESORT.PUBLIC.LIFT_RIDE")? {
        println!("landed: {row}");
    }
    Ok(())
}
