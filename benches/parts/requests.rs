//! From a batch to a request: only the compression, and everything from a flush to the answer.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use snowpipe_streaming::internals::Compressor;

use crate::{Bench, Forms, LENGTHS};

/// Uncompressed sizes of a full batch, and of one that is flushed early.
const BATCHES: [usize; 2] = [4 << 20, 64 << 10];

/// Compresses bytes to one frame.
pub(crate) fn compress(criterion: &mut Criterion) {
    let mut compressor = Compressor::new(1).expect("the context is allocated");
    let mut group = criterion.benchmark_group("compress");
    group.sampling_mode(SamplingMode::Flat).sample_size(20);
    for batch in BATCHES {
        for len in LENGTHS {
            let ready = Forms::new((batch / len) as u64, len).ready;
            group.throughput(Throughput::Bytes(ready.as_bytes().len() as u64));
            let name = format!("batch of {} KiB, rows of", batch >> 10);
            group.bench_function(BenchmarkId::new(name, len), |bencher| {
                bencher.iter(|| {
                    compressor
                        .compress(ready.as_bytes())
                        .expect("zstd accepts any input")
                });
            });
        }
    }
    group.finish();
}

/// A flush of a batch: seal, compress, send to a server that answers at once, accept. The appends are not measured.
pub(crate) fn seal(criterion: &mut Criterion) {
    let bench = Bench::new();
    let mut group = criterion.benchmark_group("seal");
    group.sampling_mode(SamplingMode::Flat).sample_size(20);
    for batch in BATCHES {
        for len in LENGTHS {
            let ready = Forms::new((batch / len) as u64, len).ready;
            let mut channel = bench.channel(&format!("seal-{batch}-{len}"));
            let mut next = 0;
            group.throughput(Throughput::Bytes(ready.as_bytes().len() as u64));
            let name = format!("batch of {} KiB, rows of", batch >> 10);
            group.bench_function(BenchmarkId::new(name, len), |bencher| {
                bencher.iter_custom(|times| {
                    let mut spent = Duration::ZERO;
                    for _ in 0..times {
                        let append = channel.append_batch(&ready, next..);
                        let appended = bench.runtime.block_on(append);
                        drop(appended.expect("the rows are appended"));
                        next += ready.len();
                        let started = Instant::now();
                        bench.flush(&mut channel);
                        spent += started.elapsed();
                    }
                    spent
                });
            });
        }
    }
    group.finish();
}
