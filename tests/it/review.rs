//! Histories that an adversary found. Paused clock throughout.

use std::time::Duration;

use snowpipe_streaming::emulator::{Endpoint, Fault};
use snowpipe_streaming::{Channel, Recovery, StreamingIngestClient};
use tokio::time::sleep;

use crate::support::{World, rows};

async fn replaying(world: &World) -> (StreamingIngestClient, Channel) {
    let builder = world.builder().recovery(Recovery::Replay);
    let client = builder.build().await.unwrap();
    let channel = client.open_channel("c").await.unwrap();
    (client, channel)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_closed_too_early_lists_all_that_is_not_committed() {
    let world = World::new();
    let (client, mut channel) = replaying(&world).await;
    world
        .emulator
        .faults()
        .push(Fault::Lose.on(Endpoint::Append).always());
    channel.append_rows(rows(0..10), 0..).await.unwrap();
    sleep(Duration::from_secs(5)).await;
    channel.append_rows(rows(10..15), 10..).await.unwrap();
    let error = client.close().await.unwrap_err();
    let report = error.close_report().unwrap();
    let listed: u64 = report.uncommitted.iter().map(|r| r.rows).sum();
    assert_eq!(listed, 15, "{report:?}: {error}");
    drop(channel);
}
