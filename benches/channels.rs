//! What many channels cost beside one: CPU a row, and memory while they are idle. All on one thread and without a network,
//! so that what is measured is the client's own: `cargo bench --bench channels`.

#![expect(
    clippy::expect_used,
    reason = "a benchmark that cannot run has nothing to report"
)]
#![expect(clippy::print_stdout, reason = "that is its report")]

#[path = "support/rows.rs"]
mod rows;
#[path = "support/sink.rs"]
mod sink;

use std::fs;
use std::time::Duration;

use futures_util::future::join_all;
use snowpipe_streaming::{Channel, RowBatch, StreamingIngestClient};

use crate::sink::Sink;

const MANY: u32 = 2_000;
const ROWS: u32 = 1_000;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let (many, runs) = if is_test { (20, 1) } else { (MANY, 5) };
    let client = Sink::client()
        .max_client_lag(Duration::from_millis(100))
        .offload_threshold(usize::MAX)
        .build()
        .await
        .expect("the sink lets everybody in");
    let mut one = open(&client, "one", 1).await;
    let before = resident_kib();
    let mut all = open(&client, "all", many).await;
    let opened = (resident_kib() - before) / f64::from(many);
    println!("idle channel, just opened: {opened:.1} KiB resident");

    let batch = batch();
    let mut ratios = Vec::new();
    for _ in 0..runs {
        let alone = cpu_ns_a_row(&mut one, &batch, many).await;
        let among = cpu_ns_a_row(&mut all, &batch, many).await;
        println!(
            "CPU a row, requests of {ROWS} rows: one channel {alone:.0} ns, {many} channels {among:.0} ns"
        );
        ratios.push(among / alone);
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios.get(ratios.len() / 2).copied().unwrap_or_default();
    println!("{many} channels against one: {median:.2} × the CPU a row (median of {runs} pairs)");
}

async fn open(client: &StreamingIngestClient, prefix: &str, count: u32) -> Vec<Channel> {
    let opens = (0..count).map(|n| {
        client
            .open_channel(format!("{prefix}-{n:04}"))
            .into_future()
    });
    let opened = join_all(opens).await;
    opened
        .into_iter()
        .map(|channel| channel.expect("the sink opens any channel"))
        .collect()
}

fn batch() -> RowBatch {
    let mut ndjson = Vec::new();
    for row in rows::rows(u64::from(ROWS), 200) {
        serde_json::to_writer(&mut ndjson, &row).expect("the row is plain");
        ndjson.push(b'\n');
    }
    RowBatch::from_ndjson(ndjson).expect("it is JSON")
}

/// Sends `requests` requests, one after the other on each channel, and waits for their commits.
async fn cpu_ns_a_row(channels: &mut [Channel], batch: &RowBatch, requests: u32) -> f64 {
    let before = cpu_ns();
    let mut sent = 0;
    while sent < requests {
        let mut receipts = Vec::with_capacity(channels.len());
        for channel in &mut *channels {
            let next = channel
                .last_appended()
                .and_then(|last| last.parse::<u64>().ok());
            let next = next.map_or(0, |last| last + 1);
            receipts.push(
                channel
                    .append_batch(batch.clone(), next..)
                    .await
                    .expect("there is memory"),
            );
            channel.initiate_flush();
            sent += 1;
            tokio::task::yield_now().await;
        }
        for receipt in receipts {
            receipt.accepted().await.expect("the sink takes everything");
        }
    }
    for channel in &mut *channels {
        channel
            .wait_for_commit()
            .await
            .expect("the sink commits everything");
    }
    (cpu_ns() - before) / f64::from(requests * ROWS)
}

/// What this thread has used so far.
fn cpu_ns() -> f64 {
    first_number("/proc/self/schedstat")
}

fn resident_kib() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    resident
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or_default()
}

fn first_number(path: &str) -> f64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace()
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}
