//! Which tokens an append may carry, as the caller sees it. Paused clock throughout.

use std::time::Duration;

use snowpipe_streaming::emulator::{Endpoint, Fault};
use snowpipe_streaming::{Channel, ErrorKind, Receipt};

use crate::support::{World, row};

async fn append(channel: &mut Channel, token: &str) -> Receipt {
    let receipt = channel.append_row(&row(0), token).await.unwrap();
    channel.initiate_flush();
    receipt
}

async fn assert_reused(channel: &mut Channel, token: &str) {
    let error = channel.append_row(&row(0), token).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TokenReused, "{token}: {error}");
}

#[tokio::test(start_paused = true)]
async fn a_text_token_that_was_committed_is_not_taken_again() {
    let world = World::new();
    let (_client, mut channel) = world.channel().await;
    for token in ["a", "b"] {
        append(&mut channel, token).await.committed().await.unwrap();
    }
    // A status that lags shows `a`, which would pass for the commit of a second row with that token.
    let lag = Fault::StaleStatus(Duration::from_secs(1)).on(Endpoint::Status);
    world.emulator.faults().push(lag.always());
    assert_reused(&mut channel, "a").await;
    assert_reused(&mut channel, "b").await;
    append(&mut channel, "c").await.committed().await.unwrap();
    assert_eq!(world.landed().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn whether_a_text_token_is_taken_again_does_not_depend_on_where_requests_end() {
    let world = World::new();
    let (_client, mut channel) = world.channel().await;
    // Both in one request, which only the second ends.
    drop(channel.append_row(&row(0), "a").await.unwrap());
    append(&mut channel, "b").await.committed().await.unwrap();
    assert_eq!(world.requests(Endpoint::Append), 1);
    assert_reused(&mut channel, "a").await;
}

#[tokio::test(start_paused = true)]
async fn at_rest_the_latest_256_text_tokens_are_still_refused() {
    let world = World::new();
    let (_client, mut channel) = world.channel().await;
    let token = |n: usize| format!("t{n}");
    for n in 0..300 {
        drop(channel.append_row(&row(0), token(n)).await.unwrap());
    }
    channel.wait_for_commit().await.unwrap();
    assert_reused(&mut channel, &token(0)).await;
    // The next status finds nothing to wait for.
    tokio::time::sleep(Duration::from_secs(60)).await;
    for n in [299, 298, 44] {
        assert_reused(&mut channel, &token(n)).await;
    }
    append(&mut channel, &token(43))
        .await
        .committed()
        .await
        .unwrap();
}
