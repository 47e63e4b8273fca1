//! Which tokens an append may carry, as the caller sees it. Paused clock throughout.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use snowpipe_streaming::transport::{Request, Transport as _};
use snowpipe_streaming::{Channel, ErrorKind, OffsetToken, Receipt};
use snowpipe_streaming_emulator::{Endpoint, Fault};

use crate::support::{World, answer, row, rows};

async fn append(channel: &mut Channel, n: i64, token: &str) -> Receipt {
    let receipt = channel.append_row(&row(n), token).await.unwrap();
    channel.initiate_flush();
    receipt
}

async fn assert_reused(channel: &mut Channel, token: &str) {
    let error = channel.append_row(&row(-1), token).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TokenReused, "{token}: {error}");
}

#[tokio::test(start_paused = true)]
async fn a_committed_text_token_is_refused() {
    let world = World::new();
    let (_client, mut channel) = world.channel().await;
    for (n, token) in [(0, "a"), (1, "b")] {
        let receipt = append(&mut channel, n, token).await;
        receipt.committed().await.unwrap();
    }
    // An outdated status shows `a`, which would look like the commit of a second row with that token.
    let lag = Fault::StaleStatus(Duration::from_secs(1)).on(Endpoint::Status);
    world.emulator.faults().push(lag.always());
    assert_reused(&mut channel, "a").await;
    assert_reused(&mut channel, "b").await;
    let receipt = append(&mut channel, 2, "c").await;
    receipt.committed().await.unwrap();
    assert_eq!(world.landed(), [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_reused_text_token_is_refused_wherever_requests_end() {
    let world = World::new();
    let (_client, mut channel) = world.channel().await;
    // Both rows are in one request, whose end token is the second.
    drop(channel.append_row(&row(0), "a").await.unwrap());
    let receipt = append(&mut channel, 1, "b").await;
    receipt.committed().await.unwrap();
    assert_eq!(world.requests(Endpoint::Append), 1);
    assert_reused(&mut channel, "a").await;
    channel.close().await.unwrap();
    assert_eq!(world.landed(), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn at_rest_the_latest_256_text_tokens_are_still_refused() {
    let world = World::new();
    let (_client, mut channel) = world.channel().await;
    let token = |n: i64| format!("t{n}");
    for n in 0..300 {
        drop(channel.append_row(&row(n), token(n)).await.unwrap());
    }
    channel.wait_for_commit().await.unwrap();
    assert_reused(&mut channel, &token(0)).await;
    // At the next status no row waits for its commit.
    tokio::time::sleep(Duration::from_secs(60)).await;
    for n in [299, 298, 44] {
        assert_reused(&mut channel, &token(n)).await;
    }
    let receipt = append(&mut channel, 300, &token(43)).await;
    receipt.committed().await.unwrap();
    assert_eq!(world.landed(), (0..301).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_start_without_an_end_continues_past_its_type() {
    let world = World::new();
    let (_client, mut channel) = world.channel().await;
    let rows = [row(0), row(1), row(2)];
    drop(channel.append_rows(&rows, i32::MAX..).await.unwrap());
    let last = OffsetToken::from(i64::from(i32::MAX) + 2);
    assert_eq!(channel.last_appended(), Some(last.clone()));
    drop(channel.append_rows(&rows, u64::MAX..).await.unwrap());
    channel.close().await.unwrap();
    assert_eq!(world.landed(), [0, 1, 2, 0, 1, 2]);
    let channel = world.client().await.open_channel("c").await.unwrap();
    let beyond = u128::from(u64::MAX) + 2;
    assert_eq!(channel.resume_after::<u128>().unwrap(), Some(beyond));
}

/// An open that sets the token is not conditional: a request that got no answer and arrives late sets the token back, whatever has
/// been committed since. So the client does not offer to move the token without rows.
#[tokio::test(start_paused = true)]
async fn an_open_that_sets_the_token_and_arrives_late_sets_it_back_over_committed_rows() {
    let world = World::new();
    let late: Arc<Mutex<Option<Request>>> = Arc::default();
    let held = Arc::clone(&late);
    let builder = world.intercepted(move |request| {
        let mut held = held.lock().unwrap();
        let is_open = request.method() == http::Method::PUT;
        if !is_open || held.is_some() {
            return None;
        }
        *held = Some(request.clone());
        Some(answer(503, &json!({})))
    });
    let client = builder.build().await.unwrap();
    let mut channel = client.open_channel("c").offset_token(5).await.unwrap();
    channel.append_rows(&rows(6..9), 6..).await.unwrap();
    channel.close().await.unwrap();
    let request = late.lock().unwrap().take().unwrap();
    let answer = world.transport().call(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    // The next run of the program sends the rows again.
    let mut channel = client.open_channel("c").await.unwrap();
    assert_eq!(channel.resume_after::<i64>().unwrap(), Some(5));
    channel.append_rows(&rows(6..9), 6..).await.unwrap();
    channel.close().await.unwrap();
    assert_eq!(world.landed(), [6, 7, 8, 6, 7, 8]);
}
