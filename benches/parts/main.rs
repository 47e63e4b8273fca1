//! The cost of each part of the client: appending rows, making requests, reading answers.

#![expect(
    clippy::expect_used,
    reason = "a benchmark that cannot run has nothing to report"
)]
#![allow(missing_docs, reason = "the groups that criterion makes")]

mod answers;
mod requests;
mod rows_in;

#[path = "../support/rows.rs"]
mod rows;
#[path = "../support/sink.rs"]
mod sink;

use criterion::{criterion_group, criterion_main};
use serde_json::Value;
use snowpipe_streaming::{Channel, RowBatch, StreamingIngestClient};
use tokio::runtime::{Builder, Runtime};

use crate::rows::Row;
use crate::sink::Sink;

/// The lengths of rows as JSON, in bytes.
const LENGTHS: [usize; 3] = [200, 1_000, 20_000];

/// The same rows in the three forms that an append accepts.
#[derive(Debug)]
struct Forms {
    rows: Vec<Row>,
    values: Vec<Value>,
    ready: RowBatch,
}

impl Forms {
    /// `count` rows of `len` bytes each.
    fn new(count: u64, len: usize) -> Self {
        let rows = rows::rows(count, len);
        let value = |row| serde_json::to_value(row).expect("the row is valid JSON");
        let values = rows.iter().map(value).collect();
        let mut ndjson = Vec::new();
        for row in &rows {
            serde_json::to_writer(&mut ndjson, row).expect("the row is valid JSON");
            ndjson.push(b'\n');
        }
        Self {
            rows,
            values,
            ready: RowBatch::from_ndjson(ndjson).expect("each line is an object"),
        }
    }
}

/// A client of a sink on one thread, so that nothing else runs during a measurement.
#[derive(Debug)]
struct Bench {
    runtime: Runtime,
    client: StreamingIngestClient,
}

impl Bench {
    fn new() -> Self {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime starts");
        let client = Sink::client()
            .memory_budget(256 << 20)
            .offload_threshold(usize::MAX);
        let client = runtime
            .block_on(client.build())
            .expect("the sink accepts every login");
        Self { runtime, client }
    }

    fn channel(&self, name: &str) -> Channel {
        self.runtime
            .block_on(self.client.open_channel(name).into_future())
            .expect("the channel opens")
    }

    fn flush(&self, channel: &mut Channel) {
        self.runtime
            .block_on(channel.wait_for_flush())
            .expect("the sink accepts everything");
    }
}

criterion_group!(
    benches,
    rows_in::encode,
    rows_in::append,
    rows_in::hand_off,
    requests::compress,
    requests::seal,
    answers::ledger,
    answers::token_cache,
    answers::statuses
);
criterion_main!(benches);
