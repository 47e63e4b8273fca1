//! What an append allocates. In a binary of its own: the counting allocator is the whole program's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

#[path = "../benches/support/rows.rs"]
mod rows;
#[path = "../benches/support/sink.rs"]
mod sink;

use std::time::Duration;

use allocation_counter::{AllocationInfo, measure};
use snowpipe_streaming::{Channel, RowBatch, StreamingIngestClient};
use tokio::runtime::{Builder, Runtime};

use crate::rows::Row;
use crate::sink::Sink;

/// Twice the rows: the open batch doubles its buffer once more, and maybe again because it was nearly full.
const DOUBLINGS: u64 = 2;
/// What a request may cost, from its first row to the answer: its buffers, its text, its task.
const REQUEST: u64 = 200;

/// A channel whose requests leave when they are flushed, on a runtime that does nothing on other threads.
struct Bench {
    runtime: Runtime,
    /// The channel lives as long as the client.
    _client: StreamingIngestClient,
    channel: Channel,
    rows: Vec<Row>,
    batch: RowBatch,
    next: u64,
}

/// One way to append the same thousand rows.
type Way = fn(&mut Bench);

const WAYS: [(&str, Way); 3] = [
    ("row by row", Bench::row_by_row),
    ("typed rows", Bench::typed_rows),
    ("ready NDJSON", Bench::ready_ndjson),
];

impl Bench {
    fn new() -> Self {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let client = Sink::client()
            .memory_budget(256 << 20)
            .max_client_lag(Duration::from_secs(3_600))
            .offload_threshold(usize::MAX);
        let rows = rows::rows(1_000, 200);
        let mut ndjson = Vec::new();
        for row in &rows {
            serde_json::to_writer(&mut ndjson, row).unwrap();
            ndjson.push(b'\n');
        }
        let (client, channel) = runtime.block_on(async {
            let client = client.build().await.unwrap();
            let channel = client.open_channel("c").await.unwrap();
            (client, channel)
        });
        let mut bench = Self {
            runtime,
            _client: client,
            channel,
            rows,
            batch: RowBatch::from_ndjson(ndjson).unwrap(),
            next: 0,
        };
        // Buffers that are kept from call to call, and what the server's ratio is.
        for (_, way) in WAYS {
            for _ in 0..2 {
                bench.appended(way, 8);
                bench.flush();
            }
        }
        bench
    }

    fn row_by_row(&mut self) {
        self.runtime.block_on(async {
            for row in &self.rows {
                drop(self.channel.append_row(row, self.next).await.unwrap());
                self.next += 1;
            }
        });
    }

    fn typed_rows(&mut self) {
        self.runtime.block_on(async {
            let append = self.channel.append_rows(&self.rows, self.next..);
            drop(append.await.unwrap());
        });
        self.next += self.rows.len() as u64;
    }

    fn ready_ndjson(&mut self) {
        self.runtime.block_on(async {
            let append = self.channel.append_batch(&self.batch, self.next..);
            drop(append.await.unwrap());
        });
        self.next += self.batch.len();
    }

    fn flush(&mut self) {
        let flushed = self.runtime.block_on(self.channel.wait_for_flush());
        flushed.unwrap();
    }

    /// What so many thousand rows allocate on their way into the open batch.
    fn appended(&mut self, way: Way, thousands: usize) -> AllocationInfo {
        measure(|| {
            for _ in 0..thousands {
                way(self);
            }
        })
    }
}

#[test]
fn a_row_allocates_nothing() {
    let mut bench = Bench::new();
    for (name, way) in WAYS {
        let once = bench.appended(way, 4).count_total;
        bench.flush();
        let twice = bench.appended(way, 8).count_total;
        bench.flush();
        println!("{name}: 4,000 rows allocate {once} times, 8,000 rows {twice} times");
        assert!(twice - once <= DOUBLINGS, "{name}: {once}, then {twice}");
    }
}

#[test]
fn a_request_allocates_a_bounded_number_of_times() {
    let mut bench = Bench::new();
    for (name, way) in WAYS {
        let mut requests = |thousands: usize| {
            let all = measure(|| {
                for _ in 0..3 {
                    bench.appended(way, thousands);
                    bench.flush();
                }
            });
            all.count_total / 3
        };
        let (small, large) = (requests(4), requests(8));
        println!(
            "{name}: a request of 4,000 rows allocates {small} times, one of 8,000 rows {large} times"
        );
        assert!(small.max(large) <= REQUEST, "{name}: {small}, then {large}");
    }
}
