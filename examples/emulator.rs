//! The emulator on loopback HTTP, a client, and a fault in a request.
//!
//! ```sh
//! cargo run --example emulator
//! ```
//!
//! This is how to test a program against the protocol without an account. To run the server as a separate process, with
//! tables from a DDL file and rows in SQLite, use the `snowpipe-emulator` binary instead.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::ensure;
use serde_json::json;
use snowpipe_streaming::{PipePath, StreamingIngestClient};
use snowpipe_streaming_emulator::tables::Catalog;
use snowpipe_streaming_emulator::{Emulator, Endpoint, Fault, Server};

const TABLES: &str = "
    CREATE TABLE RESORT.PUBLIC.SEASON_PASS (ID NUMBER NOT NULL, NAME VARCHAR, SOLD_AT TIMESTAMP_NTZ);
    CREATE PIPE RESORT.PUBLIC.SEASON_PASS_PIPE AS
        COPY INTO RESORT.PUBLIC.SEASON_PASS
        FROM TABLE (DATA_SOURCE (TYPE => 'STREAMING'))
        MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE;
";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let emulator = Emulator::builder()
        .catalog(Catalog::from_ddl(TABLES)?)
        .build()?;
    // Port 0: any free port.
    let server = Server::bind(emulator.clone(), SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    println!("listening on {}", server.url());

    // The first append is answered with 503. The client sends the same bytes again, and the program does not notice.
    emulator
        .faults()
        .push(Fault::ServerError(503).on(Endpoint::Append));

    // From here on the code is the same as with the service.
    let profile = server.profile()?;
    let pipe = PipePath::new("RESORT", "PUBLIC", "SEASON_PASS_PIPE")?;
    let client = StreamingIngestClient::builder(profile, pipe)
        .build()
        .await?;
    let mut channel = client.open_channel("passes-0").await?;
    let pass = json!({ "id": 1, "name": "Ada", "sold_at": "2026-01-17T08:00:00" });
    channel.append_row(&pass, 1).await?.committed().await?;
    channel.close().await?;
    client.close().await?;
    server.shutdown().await;

    let log = emulator.log();
    for append in log.iter().filter(|r| r.endpoint == Endpoint::Append) {
        println!(
            "append: retry {:?}, fault {:?}, status {:?}",
            append.retry_count, append.fault, append.status
        );
    }
    let rows = emulator.rows("RESORT.PUBLIC.SEASON_PASS")?;
    ensure!(rows.len() == 1, "the pass landed {} times", rows.len());
    for row in rows {
        println!("landed: {row}");
    }
    Ok(())
}
