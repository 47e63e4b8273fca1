//! The metrics of a client.

use std::time::Duration;

use snowpipe_streaming::{ErrorKind, Recovery};
use snowpipe_streaming_emulator::{Endpoint, Fault};

use crate::support::{World, row, rows};

#[tokio::test(start_paused = true)]
async fn rows_requests_and_retries_are_counted() {
    let world = World::new();
    let (client, mut channel) = world.channel().await;
    let fault = Fault::ServerError(503).on(Endpoint::Append);
    world.emulator.faults().push(fault);
    channel
        .append_rows(rows(0..10), 0..)
        .await
        .unwrap()
        .accepted()
        .await
        .unwrap();
    let metrics = client.metrics();
    assert_eq!(metrics.rows_appended, 10);
    assert_eq!(metrics.rows_accepted, 10);
    assert_eq!(metrics.rows_committed, 0);
    assert_eq!(metrics.channels, 1);
    let appends = metrics.requests["append"];
    assert_eq!((appends.total, appends.retries, appends.failed), (2, 1, 1));
    assert_eq!(metrics.requests["hostname"].total, 1);
    assert_eq!(metrics.requests["token"].total, 1);
    assert_eq!(metrics.requests["open"].total, 1);
    assert!(!metrics.requests.contains_key("drop"));
    // {"N":0,"LIFT":"Elkhorn 0"} and a line feed, ten times.
    assert_eq!(metrics.bytes_accepted, 270);
    let sent: usize = world.emulator.log().iter().map(|r| r.body_bytes).sum();
    let open = world.emulator.log().into_iter();
    let others: usize = open
        .filter(|r| r.endpoint != Endpoint::Append)
        .map(|r| r.body_bytes)
        .sum();
    assert_eq!(metrics.bytes_sent, (sent - others) as u64);

    channel.wait_for_commit().await.unwrap();
    assert_eq!(client.metrics().rows_committed, 10);
    channel.close().await.unwrap();
    let metrics = client.metrics();
    assert_eq!((metrics.channels, metrics.rows_committed), (0, 10));
    assert_eq!(metrics.memory_in_use, 0);
    let account = &metrics.account;
    let line = format!(
        "snowpipe_streaming_rows_committed_total{{account=\"{account}\",pipe=\"DB.PUBLIC.RIDES_PIPE\"}} 10\n"
    );
    let page = metrics.to_prometheus();
    assert!(page.contains(&line), "{page}");
}

#[tokio::test(start_paused = true)]
async fn rows_from_before_a_reopen_are_not_counted_again() {
    let world = World::new();
    let (client, mut channel) = world.channel().await;
    for n in 0..3 {
        drop(channel.append_row(&row(n), n).await.unwrap());
        channel.wait_for_commit().await.unwrap();
        channel.reopen().await.unwrap();
    }
    let metrics = client.metrics();
    assert_eq!((metrics.rows_appended, metrics.rows_committed), (3, 3));
    assert_eq!(metrics.channels_invalidated, 0);
}

#[tokio::test(start_paused = true)]
async fn invalidations_are_counted_by_cause() {
    let world = World::new();
    let surfacing = world.client().await;
    let mut channel = surfacing.open_channel("c").await.unwrap();
    let fault = Fault::SecondWriter.on(Endpoint::Append);
    world.emulator.faults().push(fault.channel("c"));
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    let error = receipt.committed().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Invalidated(_)));
    assert_eq!(surfacing.metrics().channels_invalidated, 1);

    let replaying = world.builder().recovery(Recovery::Replay);
    let replaying = replaying.build().await.unwrap();
    let mut channel = replaying.open_channel("d").await.unwrap();
    let fault = Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".to_owned());
    world
        .emulator
        .faults()
        .push(fault.on(Endpoint::Append).channel("d"));
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    receipt.committed().await.unwrap();
    let metrics = replaying.metrics();
    assert_eq!(metrics.channels_reopened, 1);
    assert_eq!(metrics.channels_invalidated, 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_is_counted_as_one() {
    let world = World::new();
    let client = world.builder().attempt_timeout(Duration::from_secs(3));
    let client = client.build().await.unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    world
        .emulator
        .faults()
        .push(Fault::Hang.on(Endpoint::Append));
    let throttle = Fault::Throttle(None).on(Endpoint::Append);
    world.emulator.faults().push(throttle);
    channel
        .append_row(&row(0), 0)
        .await
        .unwrap()
        .accepted()
        .await
        .unwrap();
    let appends = client.metrics().requests["append"];
    assert_eq!((appends.total, appends.retries), (3, 2));
    assert_eq!((appends.unanswered, appends.throttled), (1, 1));
    assert!(appends.duration >= Duration::from_secs(3));
}
