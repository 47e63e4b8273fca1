//! Status calls: those of the poller for all channels, and those of the caller. Paused clock throughout.

use std::time::Duration;

use serde_json::{Value, json};
use snowpipe_streaming::transport::{Request, Response};
use snowpipe_streaming::{InvalidationCause, StreamingIngestClient};
use snowpipe_streaming_emulator::{Endpoint, Fault, Limits};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{World, answer, cause, row};

const TOO_MANY: &str = "ERR_GET_CHANNEL_STATUS_BATCH_TOO_MANY_CHANNELS";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The channels that a status call names.
fn named(request: &Request) -> Option<usize> {
    let is_status = request.uri().path().ends_with(":bulk-channel-status");
    let body: Value = serde_json::from_slice(request.body()).ok()?;
    is_status.then(|| body["channel_names"].as_array().unwrap().len())
}

/// A server that accepts a limited number of channels in one status call.
async fn limited(world: &World, most: usize) -> StreamingIngestClient {
    let refuse = move |request: &Request| -> Option<Response> {
        let refusal = json!({ "code": TOO_MANY, "message": "too many channels" });
        (named(request)? > most).then(|| answer(400, &refusal))
    };
    world.intercepted(refuse).build().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_one_channel_in_a_call_is_asked_for_one_at_a_time() {
    let world = World::new();
    let client = limited(&world, 1).await;
    let mut channels = Vec::new();
    for n in 0..5 {
        let mut channel = client.open_channel(format!("c{n}")).await.unwrap();
        drop(channel.append_row(&row(n), n).await.unwrap());
        channels.push(channel);
    }
    for channel in &channels {
        let committed = timeout(seconds(30), channel.wait_for_commit()).await;
        committed.expect("it is asked for").unwrap();
    }
    let names: Vec<_> = (0..5).map(|n| format!("c{n}")).collect();
    let statuses = client.channel_statuses(&names).await.unwrap();
    assert_eq!(statuses.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_a_single_channel_as_too_many_is_a_failure() {
    let world = World::new();
    let client = limited(&world, 0).await;
    let mut channel = client.open_channel("c").await.unwrap();
    drop(channel.append_row(&row(0), 0).await.unwrap());
    let started = Instant::now();
    let error = channel.invalidated().await;
    assert_eq!(cause(&error), InvalidationCause::Unreachable);
    assert!((600..632).contains(&started.elapsed().as_secs()));
    let error = client.channel_statuses(["c", "d"]).await.unwrap_err();
    assert_eq!(error.code(), Some(TOO_MANY));
}

#[tokio::test(start_paused = true)]
async fn statuses_that_fail_count_from_the_first_before_the_server_asks_for_a_delay() {
    let world = World::new();
    let (_client, mut channel) = world.channel().await;
    let faults = world.emulator.faults();
    faults.push(Fault::ServerError(503).on(Endpoint::Status).always());
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    receipt.accepted().await.unwrap();
    let started = Instant::now();
    sleep(seconds(400)).await;
    faults.clear();
    let hour = Fault::Throttle(Some(seconds(3_600)));
    faults.push(hour.on(Endpoint::Status).always());
    let error = channel.invalidated().await;
    assert_eq!(cause(&error), InvalidationCause::Unreachable);
    let lasted = started.elapsed().as_secs();
    assert!((600..602).contains(&lasted), "{lasted} s");
}

#[tokio::test(start_paused = true)]
async fn a_delay_that_the_server_asks_for_ends_with_an_answer() {
    let world = World::new();
    let (_client, mut channel) = world.channel().await;
    let faults = world.emulator.faults();
    faults.push(Fault::Throttle(Some(seconds(1))).on(Endpoint::Status));
    let first = channel.append_row(&row(0), 0).await.unwrap();
    first.committed().await.unwrap();
    sleep(seconds(500)).await;
    faults.push(Fault::Throttle(Some(seconds(3_600))).on(Endpoint::Status));
    let second = channel.append_row(&row(1), 1).await.unwrap();
    let started = Instant::now();
    let before = world.requests(Endpoint::Status);
    second.committed().await.unwrap();
    let waited = started.elapsed().as_secs();
    assert!((600..603).contains(&waited), "{waited} s");
    assert_eq!(world.requests(Endpoint::Status) - before, 2);
}

#[tokio::test(start_paused = true)]
async fn channels_that_wait_at_different_times_share_two_calls_a_second() {
    let world = World::with(|e| e.commit_delay(seconds(60)).limits(Limits::off()));
    let client = world.client().await;
    let mut channels = Vec::new();
    for n in 0..40 {
        channels.push(client.open_channel(format!("c{n}")).await.unwrap());
    }
    for channel in &mut channels {
        drop(channel.append_row(&row(0), 0).await.unwrap());
        channel.initiate_flush();
        sleep(Duration::from_millis(250)).await;
    }
    let polls = world.requests(Endpoint::Status);
    // Two polls a second for ten seconds, and the burst of five.
    assert!((10..=25).contains(&polls), "{polls}");
}

#[tokio::test(start_paused = true)]
async fn a_status_call_without_an_answer_is_made_again_after_15_seconds() {
    let world = World::new();
    let (_client, mut channel) = world.channel().await;
    let hang = Fault::Hang.on(Endpoint::Status);
    world.emulator.faults().push(hang);
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    receipt.accepted().await.unwrap();
    let accepted = Instant::now();
    receipt.committed().await.unwrap();
    let waited = accepted.elapsed().as_secs();
    assert!((15..18).contains(&waited), "{waited} s");
}

#[tokio::test(start_paused = true)]
async fn a_delay_that_the_server_asks_for_holds_for_all_channels() {
    let world = World::new();
    let client = limited(&world, 1).await;
    let mut channels = Vec::new();
    for n in 0..3 {
        let mut channel = client.open_channel(format!("c{n}")).await.unwrap();
        drop(channel.append_row(&row(0), 0).await.unwrap());
        channels.push(channel);
    }
    for channel in &channels {
        channel.wait_for_commit().await.unwrap();
    }
    // Each call now names one channel.
    let minute = Fault::Throttle(Some(seconds(60))).on(Endpoint::Status);
    world.emulator.faults().push(minute);
    let before = world.requests(Endpoint::Status);
    for channel in &mut channels {
        drop(channel.append_row(&row(1), 1).await.unwrap());
    }
    sleep(seconds(50)).await;
    assert_eq!(world.requests(Endpoint::Status) - before, 1);
}
