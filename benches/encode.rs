//! What an append costs its caller: encoding a row and putting it into the open batch. Sealing, compression and sending
//! happen between the measurements.

#![expect(
    clippy::expect_used,
    reason = "a benchmark that cannot run has nothing to report"
)]
#![allow(missing_docs, reason = "the groups that criterion makes")]

#[path = "support/rows.rs"]
mod rows;
#[path = "support/sink.rs"]
mod sink;

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde_json::Value;
use snowpipe_streaming::{Channel, RowBatch};
use tokio::runtime::{Builder, Runtime};

use crate::sink::Sink;

/// Rows of one measured call.
const ROWS: u64 = 100;
/// So much is appended before it is sent, so that memory is never what is waited for.
const UNSENT: usize = 8 << 20;

fn encode(criterion: &mut Criterion) {
    // On one thread nothing else runs while rows are appended.
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts");
    let client = runtime
        .block_on(Sink::client().memory_budget(256 << 20).build())
        .expect("the sink lets everybody in");
    let mut group = criterion.benchmark_group("encode");
    for len in [200, 1_000, 20_000] {
        let rows = rows::rows(ROWS, len);
        let values: Vec<Value> = rows
            .iter()
            .map(|row| serde_json::to_value(row).expect("the row is plain"))
            .collect();
        let mut ndjson = Vec::new();
        for row in &rows {
            serde_json::to_writer(&mut ndjson, row).expect("the row is plain");
            ndjson.push(b'\n');
        }
        let batch = RowBatch::from_ndjson(ndjson).expect("each line is an object");

        group.throughput(Throughput::Bytes(batch.as_bytes().len() as u64));
        let mut channel = runtime
            .block_on(client.open_channel(format!("encode-{len}")).into_future())
            .expect("the channel opens");
        let mut next = 0;
        group.bench_function(BenchmarkId::new("struct", len), |bencher| {
            bencher.iter_custom(|times| {
                measure(&runtime, &mut channel, times, len, async |channel| {
                    for row in &rows {
                        let _receipt = channel.append_row(row, next).await.expect("it takes rows");
                        next += 1;
                    }
                })
            });
        });
        group.bench_function(BenchmarkId::new("value", len), |bencher| {
            bencher.iter_custom(|times| {
                measure(&runtime, &mut channel, times, len, async |channel| {
                    for row in &values {
                        let _receipt = channel.append_row(row, next).await.expect("it takes rows");
                        next += 1;
                    }
                })
            });
        });
        group.bench_function(BenchmarkId::new("ndjson", len), |bencher| {
            bencher.iter_custom(|times| {
                measure(&runtime, &mut channel, times, len, async |channel| {
                    let append = channel.append_batch(batch.clone(), next..);
                    let _receipt = append.await.expect("it takes rows");
                    next += ROWS;
                })
            });
        });
    }
    group.finish();
}

/// Times `call`, and lets the channel send outside of the measurement.
fn measure(
    runtime: &Runtime,
    channel: &mut Channel,
    times: u64,
    len: usize,
    mut call: impl AsyncFnMut(&mut Channel),
) -> Duration {
    let calls_unsent = (UNSENT / (len * 100)).max(1) as u64;
    let mut spent = Duration::ZERO;
    let mut left = times;
    runtime.block_on(async {
        while left > 0 {
            let calls = left.min(calls_unsent);
            let started = Instant::now();
            for _ in 0..calls {
                call(channel).await;
            }
            spent += started.elapsed();
            left -= calls;
            channel
                .wait_for_flush()
                .await
                .expect("the sink accepts everything");
        }
    });
    spent
}

criterion_group!(benches, encode);
criterion_main!(benches);
