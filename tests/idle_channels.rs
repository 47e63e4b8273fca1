//! What an idle channel holds. In a binary of its own: the counting allocator is the whole program's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

#[path = "../benches/support/sink.rs"]
mod sink;

use std::time::Duration;

use allocation_counter::measure;
use futures_util::future::join_all;
use serde_json::json;
use snowpipe_streaming::{Channel, StreamingIngestClient};
use tokio::runtime::Builder;
use tokio::time::sleep;

use crate::sink::Sink;

const CHANNELS: u32 = 2_000;
const MOST: i64 = 8 << 10;

/// Long enough for heartbeats.
const A_WHILE: Duration = Duration::from_secs(100);

async fn open(client: &StreamingIngestClient) -> Vec<Channel> {
    let opens = (0..CHANNELS).map(|n| client.open_channel(format!("rides-{n:04}")).into_future());
    let opened = join_all(opens).await;
    opened.into_iter().map(Result::unwrap).collect()
}

/// A row in each channel, committed.
async fn round(channels: &mut [Channel], n: i64) {
    let mut receipts = Vec::new();
    for channel in channels {
        let row = json!({ "LIFT": "Elkhorn", "N": n });
        receipts.push(channel.append_row(&row, n).await.unwrap());
    }
    for receipt in receipts {
        receipt.committed().await.unwrap();
    }
}

#[test]
fn an_idle_channel_holds_no_more_than_8_kib_before_and_after_it_was_used() {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let client = Sink::client().offload_threshold(usize::MAX).build();
    let client = runtime.block_on(client).unwrap();
    let mut channels = Vec::new();
    let opened = measure(|| {
        runtime.block_on(async {
            channels = open(&client).await;
            sleep(A_WHILE).await;
        });
    });
    let opened = opened.bytes_current / i64::from(CHANNELS);
    assert!(opened <= MOST, "{opened} bytes");

    // What it remembers of its commits does not grow for ever.
    let few = channels.get_mut(..20).unwrap();
    let used = measure(|| {
        runtime.block_on(async {
            for n in 0..600 {
                round(few, n).await;
            }
            sleep(A_WHILE).await;
        });
    });
    let used = opened + used.bytes_current / 20;
    assert!(used <= MOST, "{used} bytes");
}
