//! The charges to the memory budget: they cover all rows, never exceed the budget, and are zero when nothing is held.

use std::time::Duration;

use serde_json::{Value, json};
use snowpipe_streaming::{ErrorKind, OffsetToken, RowBatch, StreamingIngestClient};
use snowpipe_streaming_emulator::{Endpoint, Fault};

use crate::support::{World, ndjson, row, rows};

/// The smallest budget.
const BUDGET: usize = 256 << 10;

async fn small(world: &World) -> StreamingIngestClient {
    world.builder().memory_budget(BUDGET).build().await.unwrap()
}

/// A row of exactly `len` bytes with its newline.
fn long(n: i64, len: usize) -> Value {
    let bare = json!({"N": n, "X": ""}).to_string().len() + 1;
    json!({"N": n, "X": "x".repeat(len - bare)})
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(Duration::from_secs(600), work).await;
    outcome.expect("it waits for memory that can never be free")
}

#[tokio::test(start_paused = true)]
async fn tokens_that_cost_more_than_their_rows_do_not_wait_endlessly() {
    let world = World::new();
    let client = small(&world).await;
    let mut channel = client.open_channel("c").await.unwrap();
    let gaps = (0..20_000).map(|n| (row(n), 2 * n));
    drop(in_time(channel.append_each(gaps)).await.unwrap());
    let names = (20_000..21_000).map(|n| (row(n), format!("{n:01000}!")));
    drop(in_time(channel.append_each(names)).await.unwrap());
    in_time(channel.wait_for_commit()).await.unwrap();
    assert_eq!(world.landed(), (0..21_000).collect::<Vec<_>>());
    assert_eq!(client.memory_in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_row_of_the_maximum_length_fits_after_others() {
    for budget in [BUDGET, 1 << 20] {
        let world = World::new();
        let client = world.builder().memory_budget(budget).build().await.unwrap();
        let mut channel = client.open_channel("c").await.unwrap();
        let longest = budget / 4;
        let before = longest.min(256 << 10) - 1;
        let two = [long(0, before), long(1, longest)];
        drop(in_time(channel.append_rows(&two, 0..)).await.unwrap());
        let error = channel
            .append_row(&long(2, longest + 1), 2)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        channel.wait_for_commit().await.unwrap();
        assert!(world.landed_rows() == two);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_charged_when_nothing_is_held() {
    let world = World::new();
    let client = small(&world).await;
    let mut channel = client.open_channel("c").await.unwrap();
    for n in 0..10 {
        drop(channel.append_row(&row(n), n).await.unwrap());
    }
    channel.wait_for_flush().await.unwrap();
    assert_eq!(client.memory_in_use(), 0, "all is accepted");
    let reused = channel.append_rows(rows(0..100), 5..).await.unwrap_err();
    assert_eq!(reused.kind(), ErrorKind::TokenReused);
    assert_eq!(client.memory_in_use(), 0, "a refused append");
    let faults = world.emulator.faults();
    faults.push(Fault::Stale.on(Endpoint::Append));
    for n in 10..13 {
        drop(channel.append_row(&row(n), n).await.unwrap());
    }
    channel.wait_for_flush().await.unwrap_err();
    assert_eq!(client.memory_in_use(), 0, "an invalidated channel");
    channel
        .append_row(&row(13), 13)
        .await
        .expect_err("invalidated");
    assert_eq!(client.memory_in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn try_append_batch_appends_all_rows_or_none() {
    let world = World::new();
    let client = world
        .builder()
        .memory_budget(1 << 20)
        .build()
        .await
        .unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    let good: Vec<_> = (0..9_000).map(|n| json!({"N": n})).collect();
    let mut text = ndjson(&good);
    text.push_str(&long(2, (256 << 10) + 1).to_string());
    let batch = RowBatch::from_ndjson(text).unwrap();
    let error = channel.try_append_batch(&batch, 0..).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    assert_eq!(channel.last_appended(), None);
    let short = RowBatch::from_ndjson(ndjson(&good)).unwrap();
    let receipt = channel.try_append_batch(&short, 0..).unwrap();
    receipt.committed().await.unwrap();
    assert_eq!(world.landed_rows(), good);
    assert_eq!(client.memory_in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_number_at_the_end_of_the_widest_integer_is_a_token() {
    let world = World::new();
    let client = small(&world).await;
    let mut channel = client.open_channel("c").await.unwrap();
    let greatest = i128::MAX.to_string();
    let tokens = [(i128::MAX - 1).to_string(), greatest.clone()];
    for (n, token) in (0..).zip(&tokens) {
        drop(channel.append_row(&row(n), token).await.unwrap());
    }
    channel.wait_for_commit().await.unwrap();
    let committed = channel.latest_committed_offset_token();
    assert_eq!(committed, Some(OffsetToken::new(&greatest).unwrap()));
    assert_eq!(
        channel
            .append_row(&row(2), &greatest)
            .await
            .unwrap_err()
            .kind(),
        ErrorKind::TokenReused
    );
    assert_eq!(world.landed(), [0, 1]);
}
