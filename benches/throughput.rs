//! The client and the emulator over loopback HTTP: the server decompresses, parses and checks each row, and lands it
//! nowhere. Both run in this process, on the same cores.

#![expect(
    clippy::expect_used,
    reason = "a benchmark that cannot run has nothing to report"
)]
#![allow(missing_docs, reason = "the groups that criterion makes")]

#[path = "support/pump.rs"]
mod pump;
#[path = "support/rows.rs"]
mod rows;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use snowpipe_streaming::emulator::landing::{
    AcceptedBatch, Cell, ChannelRecord, Commit, Landing, LandingError, ObjectName, RejectedRow,
    StoredChannel,
};
use snowpipe_streaming::emulator::tables::Catalog;
use snowpipe_streaming::emulator::{Emulator, Limits, Server};
use snowpipe_streaming::{Pacing, PipePath, Profile, StreamingIngestClient};
use tokio::runtime::Runtime;

use crate::pump::Pump;

const ROWS: u64 = 10_000;
const TABLE: &str = "CREATE TABLE DB.PUBLIC.LIFT_RIDE (TXID VARCHAR NOT NULL, RFID VARCHAR, RESORT VARCHAR, LIFT VARCHAR, RIDE_TIME TIMESTAMP_NTZ, ACTIVATION_DAY_COUNT NUMBER, NOTE VARCHAR)";

fn throughput(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime starts");
    let catalog = Catalog::from_ddl(TABLE).expect("the DDL is in order");
    let emulator = Emulator::builder()
        .catalog(catalog)
        .landing(Nowhere)
        // At once: a commit that fell behind the measurement would not be counted.
        .commit_delay(Duration::ZERO)
        .commit_every(Duration::ZERO)
        .limits(Limits::off());
    let emulator = emulator.build().expect("the emulator starts");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = runtime
        .block_on(Server::bind(emulator.clone(), address))
        .expect("a port is free");
    let profile = Profile::from_json(&emulator.profile_json(&server.url()))
        .expect("the emulator's own profile");
    let pipe = PipePath::for_table("DB", "PUBLIC", "LIFT_RIDE").expect("a plain name");
    let client = StreamingIngestClient::builder(profile, pipe).pacing(Pacing::Off);
    let client = runtime
        .block_on(client.build())
        .expect("the emulator lets its own user in");

    let mut group = criterion.benchmark_group("throughput");
    // Long samples of equal length: requests and commits come in lumps of many rows.
    group
        .sampling_mode(SamplingMode::Flat)
        .sample_size(10)
        .measurement_time(Duration::from_secs(20));
    group.throughput(Throughput::Elements(ROWS));
    for channels in [1, 4] {
        let mut pump = runtime.block_on(Pump::open(&client, channels, rows::rows(ROWS, 200)));
        group.bench_function(
            BenchmarkId::new("rows of 200 B, channels", channels),
            |bencher| {
                bencher.iter_custom(|times| pump.run(&runtime, times));
            },
        );
    }
    group.finish();
}

/// A landing that keeps nothing: a long run must not fill the memory.
#[derive(Debug)]
struct Nowhere;

impl Landing for Nowhere {
    fn load(&mut self) -> Result<Vec<StoredChannel>, LandingError> {
        Ok(Vec::new())
    }

    fn put_channel(&mut self, _: &ChannelRecord, _: bool) -> Result<(), LandingError> {
        Ok(())
    }

    fn drop_channel(&mut self, _: &ObjectName, _: &str) -> Result<(), LandingError> {
        Ok(())
    }

    fn accept(&mut self, _: &ChannelRecord, _: &AcceptedBatch) -> Result<(), LandingError> {
        Ok(())
    }

    fn commit(&mut self, _: &Commit<'_>) -> Result<(), LandingError> {
        Ok(())
    }

    fn rows(&mut self, _: &ObjectName) -> Result<Vec<Vec<Cell>>, LandingError> {
        Ok(Vec::new())
    }

    fn error_rows(&mut self, _: &ObjectName) -> Result<Vec<RejectedRow>, LandingError> {
        Ok(Vec::new())
    }
}

criterion_group!(benches, throughput);
criterion_main!(benches);
