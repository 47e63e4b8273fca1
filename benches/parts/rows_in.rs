//! Encoding and appending a row: the cost for the caller's task. Sealing, compression and sending happen between the
//! measurements.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use snowpipe_streaming::{Channel, RowBatch, internals};

use crate::{Bench, Forms, LENGTHS};

/// Rows of one measured call.
const ROWS: u64 = 100;
/// The bytes that are appended before they are sent. Appends never wait for memory.
const UNSENT: usize = 8 << 20;

/// Encodes rows as NDJSON in one buffer.
pub(crate) fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for len in LENGTHS {
        let forms = Forms::new(ROWS, len);
        group.throughput(Throughput::Elements(ROWS));
        let mut out = Vec::new();
        group.bench_function(BenchmarkId::new("struct", len), |bencher| {
            bencher.iter(|| {
                out.clear();
                for row in &forms.rows {
                    internals::encode(black_box(row), &mut out).expect("the row is an object");
                }
            });
        });
        group.bench_function(BenchmarkId::new("value", len), |bencher| {
            bencher.iter(|| {
                out.clear();
                for row in &forms.values {
                    internals::encode(black_box(row), &mut out).expect("the row is an object");
                }
            });
        });
    }
    group.finish();
}

/// Appends rows to the open batch, encoding included.
pub(crate) fn append(criterion: &mut Criterion) {
    let bench = Bench::new();
    let mut group = criterion.benchmark_group("append");
    for len in LENGTHS {
        let forms = Forms::new(ROWS, len);
        group.throughput(Throughput::Elements(ROWS));
        let mut channel = bench.channel(&format!("append-{len}"));
        let unsent = (UNSENT / (len * 100)).max(1) as u64;
        let mut next = 0;
        group.bench_function(BenchmarkId::new("struct, row by row", len), |bencher| {
            bencher.iter_custom(|times| {
                measure(&bench, &mut channel, times, unsent, async |channel| {
                    for row in &forms.rows {
                        let _receipt = channel
                            .append_row(row, next)
                            .await
                            .expect("the rows are appended");
                        next += 1;
                    }
                })
            });
        });
        group.bench_function(BenchmarkId::new("struct", len), |bencher| {
            bencher.iter_custom(|times| {
                measure(&bench, &mut channel, times, unsent, async |channel| {
                    let append = channel.append_rows(&forms.rows, next..);
                    let _receipt = append.await.expect("the rows are appended");
                    next += ROWS;
                })
            });
        });
        group.bench_function(BenchmarkId::new("value", len), |bencher| {
            bencher.iter_custom(|times| {
                measure(&bench, &mut channel, times, unsent, async |channel| {
                    let append = channel.append_rows(&forms.values, next..);
                    let _receipt = append.await.expect("the rows are appended");
                    next += ROWS;
                })
            });
        });
        group.bench_function(BenchmarkId::new("ndjson", len), |bencher| {
            bencher.iter_custom(|times| {
                measure(&bench, &mut channel, times, unsent, async |channel| {
                    let append = channel.append_batch(&forms.ready, next..);
                    let _receipt = append.await.expect("the rows are appended");
                    next += ROWS;
                })
            });
        });
    }
    group.finish();
}

/// Appends a single row that is already encoded: the charge, the lock, the tokens and the copy.
pub(crate) fn hand_off(criterion: &mut Criterion) {
    let bench = Bench::new();
    let mut group = criterion.benchmark_group("hand off");
    for len in LENGTHS {
        let ready = Forms::new(1, len).ready;
        let mut channel = bench.channel(&format!("hand-off-{len}"));
        let unsent = (UNSENT / len) as u64;
        let mut next = 0;
        group.bench_function(BenchmarkId::new("ready row", len), |bencher| {
            bencher.iter_custom(|times| {
                measure(&bench, &mut channel, times, unsent, async |channel| {
                    next += append_ready(channel, &ready, next).await;
                })
            });
        });
    }
    group.finish();
}

async fn append_ready(channel: &mut Channel, ready: &RowBatch, next: u64) -> u64 {
    let append = channel.append_batch(ready, next..);
    let _receipt = append.await.expect("the rows are appended");
    ready.len()
}

/// Times `call`, and lets the channel send after every `unsent` calls, outside of the measurement.
fn measure(
    bench: &Bench,
    channel: &mut Channel,
    times: u64,
    unsent: u64,
    mut call: impl AsyncFnMut(&mut Channel),
) -> Duration {
    let mut spent = Duration::ZERO;
    let mut left = times;
    while left > 0 {
        let calls = left.min(unsent);
        spent += bench.runtime.block_on(async {
            let started = Instant::now();
            for _ in 0..calls {
                call(channel).await;
            }
            started.elapsed()
        });
        left -= calls;
        bench.flush(channel);
    }
    spent
}
