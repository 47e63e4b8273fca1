//! One producer that is faster than one channel: its rows are spread over lanes, and the rows of a key stay in order.
//!
//! ```sh
//! cargo run --release --example lanes
//! ```
//!
//! A channel takes 20 MB/s. `shards` spreads a source over channels by a hash of each row's key. After a crash a run resumes at the
//! lowest lane, and each lane skips the rows that it has committed already. The number of lanes is part of the channels' names and
//! is checked by each run.

use std::time::Instant;

use anyhow::ensure;
use serde::Serialize;
use snowpipe_streaming::StreamingIngestClient;
use snowpipe_streaming::ingest::{self, Batch, Rejected, Source, stable_hash};
use snowpipe_streaming_emulator::Emulator;
use snowpipe_streaming_emulator::tables::Catalog;

const TABLE: &str = "CREATE TABLE LAB.PUBLIC.READINGS (SENSOR NUMBER, N NUMBER, NOTE VARCHAR)";
const READINGS: u64 = 200_000;
const SENSORS: u64 = 500;
const LANES: usize = 4;

#[derive(Serialize)]
#[serde(rename_all = "UPPERCASE")]
struct Reading {
    sensor: u64,
    n: u64,
    note: String,
}

/// The readings by their numbers, which are the offsets.
struct Sensors;

impl Source for Sensors {
    type Offset = u64;
    type Row = Reading;
    type Error = std::io::Error;

    async fn read_after(
        &mut self,
        after: Option<&u64>,
        max: usize,
    ) -> std::io::Result<Batch<u64, Reading>> {
        let reading = |n: u64| Reading {
            sensor: n * 7919 % SENSORS,
            n,
            note: format!("{:0>160}", n * n % 1_000_003),
        };
        let next = after.map_or(0, |n| n + 1);
        let rows: Vec<_> = (next..READINGS)
            .take(max)
            .map(|n| (n, reading(n)))
            .collect();
        Ok(if rows.is_empty() {
            Batch::end()
        } else {
            Batch::new(rows)
        })
    }

    async fn dead_letter(
        &mut self,
        rejected: &Rejected<u64>,
        _: Vec<(u64, Reading)>,
    ) -> std::io::Result<()> {
        Err(std::io::Error::other(format!(
            "{} readings were rejected",
            rejected.count
        )))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let emulator = Emulator::builder()
        .catalog(Catalog::from_ddl(TABLE)?)
        .build()?;
    let client =
        StreamingIngestClient::for_table(emulator.profile()?, "LAB", "PUBLIC", "READINGS")?
            .transport(emulator.transport())
            .build()
            .await?;
    let start = Instant::now();
    let report = ingest::run(&client, "readings", &mut Sensors)
        .shards(LANES, |reading| stable_hash(&reading.sensor.to_le_bytes()))
        .await?;
    let took = start.elapsed().as_secs_f64();
    client.close().await?;

    let rows = emulator.rows("LAB.PUBLIC.READINGS")?;
    let mut last = vec![None; usize::try_from(SENSORS)?];
    for row in &rows {
        let (sensor, n) = (row["SENSOR"].as_u64(), row["N"].as_u64());
        let sensor = usize::try_from(sensor.unwrap_or_default())?;
        let before = last
            .get_mut(sensor)
            .and_then(|last| std::mem::replace(last, n));
        ensure!(before < n, "sensor {sensor}: {n:?} came after {before:?}");
    }
    ensure!(rows.len() as u64 == READINGS, "{} rows landed", rows.len());
    let bytes: usize = rows.iter().map(|row| row.to_string().len() + 1).sum();
    let megabytes = f64::from(u32::try_from(bytes)?) / 1e6;
    println!(
        "{} readings of {SENSORS} sensors over {LANES} lanes, each sensor in order: {:.0} MB in {took:.1} s, {:.0} MB/s",
        report.rows_committed,
        megabytes,
        megabytes / took,
    );
    Ok(())
}
