//! Bounds on durations: extreme options, and a server that asks for too long a delay.

use std::time::Duration;

use snowpipe_streaming::ingest::{self, Finish};
use snowpipe_streaming::{ErrorKind, InvalidationCause, OnUncommitted};
use snowpipe_streaming_emulator::{Endpoint, Fault};
use tokio::time::{Instant, sleep};

use crate::source::Shelf;
use crate::support::{World, row};

#[tokio::test(start_paused = true)]
async fn for_ever_is_a_duration_like_any_other() {
    let world = World::new();
    let client = world
        .builder()
        .max_client_lag(Duration::MAX)
        .attempt_timeout(Duration::MAX)
        .retry_for(Duration::MAX)
        .append_timeout(Duration::MAX)
        .commit_stall_timeout(Duration::MAX)
        .settle_timeout(Duration::MAX)
        .close_timeout(Duration::MAX)
        .on_uncommitted(OnUncommitted::Wait(Duration::MAX))
        .build()
        .await
        .unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    drop(channel.append_row(&row(0), 0).await.unwrap());
    tokio::time::sleep(Duration::from_secs(86_400)).await;
    assert_eq!(world.requests(Endpoint::Append), 0, "it lags for ever");
    channel.wait_for_commit().await.unwrap();
    let waits = OnUncommitted::WaitThenDiscard(Duration::MAX);
    let other = client
        .open_channel("d")
        .on_uncommitted(waits)
        .await
        .unwrap();
    drop(other);
    world
        .emulator
        .faults()
        .push(Fault::Stale.on(Endpoint::Append));
    let refused = channel.append_row(&row(1), 1).await.unwrap();
    channel.initiate_flush();
    refused.committed().await.unwrap_err();
    channel.reopen().await.unwrap();
    channel.close().await.unwrap();
    assert_eq!(world.landed(), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_run_may_drain_for_ever() {
    let world = World::new();
    let client = world
        .builder()
        .commit_stall_timeout(Duration::MAX)
        .build()
        .await
        .unwrap();
    let hours = Duration::from_secs(3 * 3600);
    let withheld = Fault::WithholdCommits(hours).on(Endpoint::Append);
    world.emulator.faults().push(withheld);
    let mut shelf = Shelf::of(0..3);
    shelf.stock().is_open = true;
    let start = Instant::now();
    let report = ingest::run(&client, "c", &mut shelf)
        .until(sleep(Duration::from_secs(5)))
        .drain_timeout(Duration::MAX)
        .await
        .unwrap();
    assert!(start.elapsed() > hours, "{:?}", start.elapsed());
    assert_eq!(report.finish, Finish::Stopped);
    assert_eq!((report.rows_committed, report.released), (3, Some(2)));
    assert!(report.uncommitted.is_empty());
    assert_eq!(world.landed(), [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_for_an_hour_does_not_stretch_the_retry_time() {
    let world = World::new();
    let client = world.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    let hour = Fault::Throttle(Some(Duration::from_secs(3600)));
    world
        .emulator
        .faults()
        .push(hour.clone().on(Endpoint::Append).always());
    let start = Instant::now();
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    channel.initiate_flush();
    let error = receipt.committed().await.unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Invalidated(InvalidationCause::Unreachable)
    );
    assert_eq!(
        start.elapsed(),
        Duration::from_secs(600),
        "ten minutes is the default"
    );
    assert_eq!(
        world.requests(Endpoint::Append),
        2,
        "no request goes out earlier than the server asks for"
    );
    assert_eq!(world.landed(), Vec::<i64>::new());

    world
        .emulator
        .faults()
        .push(hour.on(Endpoint::Status).always());
    let start = Instant::now();
    let error = channel.status().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled);
    assert!(
        start.elapsed() <= Duration::from_secs(60),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn calls_without_a_channel_rediscover_a_moved_pipe() {
    let world = World::new();
    let client = world.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    receipt.committed().await.unwrap();
    world
        .emulator
        .faults()
        .push(Fault::FailedOver.on(Endpoint::Status));
    let status = channel.status().await.unwrap();
    assert_eq!(status.latest_committed_offset_token(), Some(&0.into()));
    assert_eq!(world.requests(Endpoint::Hostname), 2);
    let receipt = channel.append_row(&row(1), 1).await.unwrap();
    receipt.committed().await.unwrap();
    assert_eq!(world.landed(), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_short_lag_does_not_build_up_a_queue_of_tiny_requests() {
    let world = World::new();
    let client = world
        .builder()
        .max_client_lag(Duration::from_millis(10))
        .build()
        .await
        .unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    let start = Instant::now();
    for n in 0..1000 {
        drop(channel.append_row(&row(n), n).await.unwrap());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    channel.wait_for_flush().await.unwrap();
    // Ten seconds of rows; a hundred batches a second were due, ten a second may go.
    assert!(
        start.elapsed() <= Duration::from_millis(10_300),
        "{:?}",
        start.elapsed()
    );
    // The burst, ten requests a second, and one for the rest.
    assert_eq!(world.requests(Endpoint::Append), 10 + 100 + 1);
    channel.wait_for_commit().await.unwrap();
    assert_eq!(world.landed(), (0..1000).collect::<Vec<_>>());
}
