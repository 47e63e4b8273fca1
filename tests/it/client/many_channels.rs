//! Thousands of channels in one client: their requests, and that they do not wait for each other.

use std::time::Duration;

use futures_util::future::join_all;
use snowpipe_streaming::{Channel, StreamingIngestClient};
use snowpipe_streaming_emulator::{Endpoint, Limits};
use tokio::time::{Instant, sleep};

use crate::support::{World, row};

/// The maximum number of channels of a pipe.
const MANY: u32 = 2_000;

async fn open(client: &StreamingIngestClient, count: u32) -> Vec<Channel> {
    let opens = (0..count).map(|n| client.open_channel(format!("c{n}")).into_future());
    let opened = join_all(opens).await;
    opened.into_iter().map(Result::unwrap).collect()
}

#[tokio::test(start_paused = true)]
async fn an_idle_client_polls_every_half_minute_and_renews_its_token() {
    // A call names at most a thousand channels. With many channels a few heartbeats are enough, because they are slow in a test.
    for (channels, calls_a_beat, minutes) in [(1, 1, 60), (MANY, 2, 5)] {
        let world = World::with(|e| e.token_life(Duration::from_secs(1_800)));
        let client = world.client().await;
        let held = open(&client, channels).await;
        let before = world.emulator.log().len();
        sleep(Duration::from_secs(60 * minutes + 1)).await;
        let log = world.emulator.log();
        let mut since = log.get(before..).unwrap().to_vec();
        since.retain(|request| request.endpoint != Endpoint::Status);
        let polls = log.len() - before - since.len();
        assert_eq!(
            polls as u64,
            2 * minutes * calls_a_beat,
            "{channels} channels"
        );
        let others: Vec<_> = since.iter().map(|request| request.endpoint).collect();
        let renewals = usize::try_from(minutes / 30).unwrap();
        assert_eq!(
            others,
            vec![Endpoint::Token; renewals],
            "{channels} channels"
        );
        drop(held);
    }
}

#[tokio::test(start_paused = true)]
async fn channels_are_opened_at_the_same_time() {
    let world = World::new();
    let transport = world.transport().with_latency(Duration::from_millis(50));
    let client = world.builder().transport(transport).build().await.unwrap();
    let start = Instant::now();
    let held = open(&client, MANY).await;
    assert_eq!(
        start.elapsed(),
        Duration::from_millis(1_600),
        "16 round trips, for 128 may be under way at once"
    );
    assert_eq!(world.requests(Endpoint::Open), held.len());
    drop(held);

    // With an expired token: one new token is fetched for all.
    sleep(Duration::from_secs(3_601)).await;
    let start = Instant::now();
    let tokens = world.requests(Endpoint::Token);
    drop(open(&client, 100).await);
    assert_eq!(world.requests(Endpoint::Token), tokens + 1);
    assert_eq!(
        start.elapsed(),
        Duration::from_millis(200),
        "two round trips"
    );
}

/// Opens wait for a slot as long as others are answered, however long that takes.
#[tokio::test(start_paused = true)]
async fn many_channels_of_a_slow_server_are_opened_one_after_the_other() {
    let world = World::new();
    let transport = world.transport().with_latency(Duration::from_secs(20));
    let client = world.builder().transport(transport).build().await.unwrap();
    let start = Instant::now();
    let held = open(&client, 600).await;
    assert_eq!(start.elapsed(), Duration::from_secs(5 * 40), "128 at once");
    assert_eq!(world.requests(Endpoint::Open), held.len());
}

#[tokio::test(start_paused = true)]
async fn the_commits_of_all_channels_are_learned_by_bulk_calls() {
    let world = World::with(|e| e.limits(Limits::off()).commit_every(Duration::ZERO));
    let client = world.client().await;
    let mut channels = open(&client, MANY).await;
    for round in 0..2 {
        let before = world.requests(Endpoint::Status);
        let mut receipts = Vec::new();
        for channel in &mut channels {
            receipts.push(channel.append_row(&row(round), round).await.unwrap());
        }
        client.wait_for_flush().await.unwrap();
        let accepted = Instant::now();
        for receipt in &receipts {
            receipt.committed().await.unwrap();
        }
        // Committed half a second after they were accepted.
        let known = accepted.elapsed();
        assert!(known <= Duration::from_millis(500 + 1_200), "{known:?}");
        let polls = world.requests(Endpoint::Status) - before;
        assert!(polls <= 8, "{polls} polls");
        sleep(Duration::from_secs(10)).await;
    }
}
