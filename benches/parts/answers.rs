//! The cost of the server's answers, and of the token for each request.

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use serde_json::json;
use snowpipe_streaming::OffsetToken;
use snowpipe_streaming::internals::{self, Ledger, TokenCache};
use snowpipe_streaming::time::SystemClock;
use tokio::runtime::Builder;

/// Requests between two statuses.
const PENDING: u64 = 16;
/// Rows of a request.
const ROWS: u64 = 1_000;

/// A ledger that has seen more commits than it remembers, with requests in flight.
fn busy() -> (Ledger, u64) {
    let mut ledger = Ledger::default();
    let mut next = 0;
    for _ in 0..5_000 {
        next = send(&mut ledger, next);
        ledger.observe(&OffsetToken::from(next - 1));
    }
    for _ in 0..PENDING {
        next = send(&mut ledger, next);
    }
    (ledger, next)
}

fn send(ledger: &mut Ledger, next: u64) -> u64 {
    ledger.sent(next, next + ROWS - 1);
    next + ROWS
}

/// A request that is sent and committed, and statuses without news.
pub(crate) fn ledger(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ledger");
    let (mut ledger, mut next) = busy();
    group.bench_function("a request, sent and committed", |bencher| {
        bencher.iter(|| {
            next = send(&mut ledger, next);
            ledger.observe(&OffsetToken::from(next - 1 - PENDING * ROWS))
        });
    });
    let last = OffsetToken::from(next - 1 - PENDING * ROWS);
    group.bench_function("a status without news", |bencher| {
        bencher.iter(|| ledger.observe(black_box(&last)));
    });
    let old = OffsetToken::from(next - 1 - (PENDING + 2_000) * ROWS);
    group.bench_function("a status 2,000 requests old", |bencher| {
        bencher.iter(|| ledger.observe(black_box(&old)));
    });
    group.finish();
}

/// The lookup of every request, and the fetch of the first one.
pub(crate) fn token_cache(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread()
        .build()
        .expect("a runtime starts");
    let mut group = criterion.benchmark_group("token cache");
    let cache = TokenCache::default();
    group.bench_function("a token in hand", |bencher| {
        bencher.to_async(&runtime).iter(|| cache.get(&SystemClock));
    });
    group.bench_function("a first token", |bencher| {
        let fresh = async |cache: TokenCache| cache.get(&SystemClock).await;
        bencher
            .to_async(&runtime)
            .iter_batched(TokenCache::default, fresh, BatchSize::SmallInput);
    });
    group.finish();
}

/// The answer to one bulk status call.
pub(crate) fn statuses(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("statuses");
    for channels in [1, 100, 1_000] {
        let body =
            json!({ "channel_statuses": (0..channels).map(status).collect::<BTreeMap<_, _>>() });
        let body = body.to_string();
        group.throughput(Throughput::Elements(channels));
        group.bench_function(BenchmarkId::new("channels", channels), |bencher| {
            bencher
                .iter(|| internals::channel_statuses(body.as_bytes()).expect("the answer parses"));
        });
    }
    group.finish();
}

fn status(i: u64) -> (String, serde_json::Value) {
    let name = format!("channel-{i}");
    let status = json!({
        "channel_status_code": "SUCCESS",
        "channel_name": name,
        "database_name": "DB",
        "schema_name": "PUBLIC",
        "pipe_name": "ROW_PIPE",
        "last_committed_offset_token": (i * ROWS).to_string(),
        "created_on_ms": 1_768_658_400_000_u64 + i,
        "rows_inserted": i * ROWS,
        "rows_parsed": i * ROWS,
        "rows_error_count": 0,
        "last_error_message": null,
        "snowflake_avg_processing_latency_ms": 840,
    });
    (name, status)
}
