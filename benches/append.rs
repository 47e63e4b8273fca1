//! The whole client against a server that costs nothing: encode, batch, compress, send, be accepted.

#![expect(
    clippy::expect_used,
    reason = "a benchmark that cannot run has nothing to report"
)]
#![allow(missing_docs, reason = "the groups that criterion makes")]

#[path = "support/pump.rs"]
mod pump;
#[path = "support/rows.rs"]
mod rows;
#[path = "support/sink.rs"]
mod sink;

use std::time::Duration;

use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use tokio::runtime::Runtime;

use crate::pump::Pump;
use crate::sink::Sink;

const ROWS: u64 = 10_000;

fn append(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime starts");
    let client = runtime
        .block_on(Sink::client().build())
        .expect("the sink lets everybody in");
    let mut group = criterion.benchmark_group("append");
    // Long samples of equal length: requests and commits come in lumps of many rows.
    group
        .sampling_mode(SamplingMode::Flat)
        .sample_size(10)
        .measurement_time(Duration::from_secs(10));
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

criterion_group!(benches, append);
criterion_main!(benches);
