//! When requests are sent: exact times on a paused clock.

use std::time::Duration;

use snowpipe_streaming::Pacing;
use snowpipe_streaming_emulator::{Endpoint, Fault, Limits};
use tokio::time::Instant;

use crate::support::{World, noisy, row, rows};

#[tokio::test(start_paused = true)]
async fn a_flush_does_not_wait_for_the_lag() {
    let world = World::new();
    let client = world
        .builder()
        .max_client_lag(Duration::from_secs(60))
        .build()
        .await
        .unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    let start = Instant::now();
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    channel.wait_for_flush().await.unwrap();
    receipt.accepted().await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    drop(channel.append_row(&row(1), 1).await.unwrap());
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert_eq!(
        world.requests(Endpoint::Append),
        1,
        "a flush covers what was appended before it, no more"
    );
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.requests(Endpoint::Append), 2);
}

#[tokio::test(start_paused = true)]
async fn a_flush_of_the_client_is_one_of_all_its_channels() {
    let world = World::new();
    let client = world
        .builder()
        .max_client_lag(Duration::from_secs(60))
        .build()
        .await
        .unwrap();
    let mut first = client.open_channel("a").await.unwrap();
    let mut second = client.open_channel("b").await.unwrap();
    let start = Instant::now();
    let receipts = [
        first.append_row(&row(0), 0).await.unwrap(),
        second.append_row(&row(1), 0).await.unwrap(),
    ];
    client.wait_for_flush().await.unwrap();
    for receipt in receipts {
        receipt.accepted().await.unwrap();
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_failed_flush_of_the_client_names_the_channel() {
    let world = World::new();
    let (client, mut first) = world.channel().await;
    let mut second = client.open_channel("d").await.unwrap();
    let refused = Fault::BadRequest("ERR_ROWS_ARE_ODD".to_owned());
    let refused = refused.on(Endpoint::Append).channel("c");
    world.emulator.faults().push(refused);
    drop(first.append_row(&row(0), 0).await.unwrap());
    let receipt = second.append_row(&row(1), 0).await.unwrap();
    let error = client.wait_for_flush().await.unwrap_err();
    assert_eq!(error.code(), Some("ERR_ROWS_ARE_ODD"));
    receipt.accepted().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn no_rows_no_requests() {
    let world = World::new();
    let (_client, mut channel) = world.channel().await;
    let receipt = channel.append_rows(rows(0..0), 0..).await.unwrap();
    receipt.committed().await.unwrap();
    drop(channel.append_rows(rows(0..0), 5..=9).await.unwrap());
    channel.wait_for_commit().await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(world.requests(Endpoint::Append), 0);
    assert_eq!(channel.last_appended(), None);
}

#[tokio::test(start_paused = true)]
async fn a_trickle_of_rows_is_sent_once_per_lag() {
    let world = World::new();
    let (_client, mut channel) = world.channel().await;
    for n in 0..40 {
        drop(channel.append_row(&row(n), n).await.unwrap());
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    channel.close().await.unwrap();
    // The lag of each batch starts with its first row: at 0, 1.25, 2.5, …, the next row after the previous batch was sent.
    assert!(
        (8..=10).contains(&world.requests(Endpoint::Append)),
        "{}",
        world.requests(Endpoint::Append)
    );
    assert_eq!(world.landed(), (0..40).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn pacing_keeps_a_channel_within_ten_requests_a_second() {
    let world = World::new();
    let client = world
        .builder()
        .max_client_lag(Duration::ZERO)
        .build()
        .await
        .unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    let start = Instant::now();
    for n in 0..40 {
        channel
            .append_row(&row(n), n)
            .await
            .unwrap()
            .accepted()
            .await
            .unwrap();
    }
    // The burst is that of one second; the other requests follow at ten a second.
    assert_eq!(start.elapsed(), Duration::from_secs(3));
    assert_eq!(world.requests(Endpoint::Append), 40, "none was refused");
    channel.close().await.unwrap();
    assert_eq!(world.landed(), (0..40).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn without_pacing_nothing_waits() {
    let world = World::with(|e| e.limits(Limits::off()));
    let client = world
        .builder()
        .max_client_lag(Duration::ZERO)
        .pacing(Pacing::Off)
        .build()
        .await
        .unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    let start = Instant::now();
    for n in 0..40 {
        channel
            .append_row(&row(n), n)
            .await
            .unwrap()
            .accepted()
            .await
            .unwrap();
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    channel.close().await.unwrap();
    assert_eq!(world.landed(), (0..40).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn the_client_polls_at_most_twice_a_second_for_all_its_channels() {
    let world = World::with(|e| e.commit_delay(Duration::from_secs(30)));
    let client = world.client().await;
    let mut channels = Vec::new();
    for i in 0..20 {
        channels.push(client.open_channel(format!("c{i}")).await.unwrap());
    }
    for channel in &mut channels {
        drop(channel.append_row(&row(0), 0).await.unwrap());
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    let polls = world.requests(Endpoint::Status);
    assert!((15..=45).contains(&polls), "{polls}");
}

#[tokio::test(start_paused = true)]
async fn an_idle_client_polls_every_thirty_seconds() {
    let world = World::new();
    let client = world.client().await;
    let channel = client.open_channel("c").await.unwrap();
    tokio::time::sleep(Duration::from_secs(301)).await;
    assert_eq!(world.requests(Endpoint::Status), 10);
    drop(channel);
}

#[tokio::test(start_paused = true)]
async fn a_large_range_is_split_over_requests_and_lands_in_order() {
    let world = World::new();
    let client = world
        .builder()
        .pacing(Pacing::Off)
        .max_request_bytes(128 << 10)
        .build()
        .await
        .unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    channel
        .append_rows(noisy(0..12_000), 0..)
        .await
        .unwrap()
        .committed()
        .await
        .unwrap();
    assert_eq!(world.landed(), (0..12_000).collect::<Vec<_>>());
    let log = world.emulator.log();
    assert!(
        log.iter()
            .filter(|r| r.endpoint == Endpoint::Append)
            .count()
            > 5
    );
    assert!(log.iter().all(|r| r.body_bytes <= 128 << 10));
}

#[tokio::test(start_paused = true)]
async fn idle_channels_share_one_heartbeat() {
    let world = World::new();
    let client = world.client().await;
    let mut channels = Vec::new();
    for i in 0..10 {
        channels.push(client.open_channel(format!("c{i}")).await.unwrap());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    let before = world.requests(Endpoint::Status);
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(world.requests(Endpoint::Status) - before, 10);
}
