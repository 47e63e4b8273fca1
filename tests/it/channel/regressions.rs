//! Histories that revealed defects. Paused clock throughout.

use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use snowpipe_streaming::ingest::{self, stable_hash};
use snowpipe_streaming::report::RowState;
use snowpipe_streaming::{
    Channel, ErrorKind, InvalidationCause, OnUncommitted, Recovery, StreamingIngestClient,
};
use snowpipe_streaming_emulator::{Endpoint, Fault, ReplayedToken};
use tokio::time::sleep;

use crate::source::{Failure, Shelf};
use crate::support::{World, answer, noisy, row, rows};

async fn replaying(world: &World) -> (StreamingIngestClient, Channel) {
    let builder = world.builder().recovery(Recovery::Replay);
    let client = builder.build().await.unwrap();
    let channel = client.open_channel("c").await.unwrap();
    (client, channel)
}

fn must_reopen() -> Fault {
    Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".into())
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
    let listed: Vec<_> = report
        .uncommitted
        .iter()
        .map(|r| (r.state, r.rows, r.first.clone(), r.last.clone()))
        .collect();
    let expected = [
        (RowState::Sent, 10, Some(0.into()), Some(9.into())),
        (RowState::Sealed, 5, Some(10.into()), Some(14.into())),
    ];
    assert_eq!(listed, expected, "{error}");
    assert_eq!(world.landed(), Vec::<i64>::new());
    drop(channel);
}

#[tokio::test(start_paused = true)]
async fn rows_in_doubt_have_their_time_to_be_committed_after_an_outage() {
    let world = World::with(|e| e.commit_delay(Duration::from_secs(100)));
    let (_client, mut channel) = replaying(&world).await;
    let receipt = channel.append_rows(rows(0..10), 0..).await.unwrap();
    receipt.accepted().await.unwrap();
    sleep(Duration::from_secs(30)).await;
    let faults = world.emulator.faults();
    faults.push(Fault::Refuse.on(Endpoint::Open).always());
    faults.push(must_reopen().on(Endpoint::Append));
    let more = channel.append_row(&row(10), 10).await.unwrap();
    sleep(Duration::from_secs(50)).await;
    faults.clear();
    receipt.committed().await.unwrap();
    more.committed().await.unwrap();
    let sent = world
        .emulator
        .log()
        .iter()
        .filter(|r| r.endpoint == Endpoint::Append && r.status == Some(200))
        .count();
    assert_eq!(
        sent, 2,
        "the first ten were on their way and are not sent again"
    );
    assert_eq!(world.landed(), (0..11).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn one_refusal_that_passes_does_not_end_a_channel_that_is_being_reopened() {
    for (endpoint, fault) in [
        (Endpoint::Open, Fault::Forbidden),
        (Endpoint::Token, Fault::Unauthorized),
        (Endpoint::Open, Fault::BareNotFound),
    ] {
        let world = World::new();
        let (_client, mut channel) = replaying(&world).await;
        let faults = world.emulator.faults();
        faults.push(must_reopen().on(Endpoint::Append));
        if endpoint == Endpoint::Token {
            faults.push(Fault::ExpireToken.on(Endpoint::Open));
        }
        faults.push(fault.clone().on(endpoint));
        let injected = if endpoint == Endpoint::Token { 3 } else { 2 };
        let receipt = channel.append_rows(rows(0..10), 0..).await.unwrap();
        let outcome = receipt.committed().await;
        outcome.unwrap_or_else(|e| panic!("{endpoint:?} {fault:?}: {e}"));
        let text = format!("{endpoint:?} {fault:?}");
        assert_eq!(faults.injected().values().sum::<u64>(), injected, "{text}");
        assert_eq!(world.landed(), (0..10).collect::<Vec<_>>(), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_channel_is_opened_again_however_often_it_is_invalidated_hours_apart() {
    let world = World::new();
    let (_client, mut channel) = replaying(&world).await;
    let first = channel.append_row(&row(0), 0).await.unwrap();
    first.committed().await.unwrap();
    for _ in 0..6 {
        world
            .emulator
            .faults()
            .push(must_reopen().on(Endpoint::Status));
        sleep(Duration::from_secs(6 * 3600)).await;
    }
    assert_eq!(world.requests(Endpoint::Open), 1 + 6);
    let second = channel.append_row(&row(1), 1).await.unwrap();
    second.committed().await.unwrap();
    assert_eq!(world.landed(), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn rows_that_may_have_been_committed_before_the_channel_was_dropped_are_not_sent_again() {
    let world = World::new();
    let is_deaf = Arc::new(AtomicBool::new(false));
    let deaf = Arc::clone(&is_deaf);
    let client = world
        .intercepted(move |request| {
            let is_status = request.uri().path().ends_with(":bulk-channel-status");
            (is_status && deaf.load(Ordering::Relaxed)).then(|| answer(503, &serde_json::json!({})))
        })
        .build()
        .await
        .unwrap();
    let other = world.client().await;
    let mut shelf = Shelf::of(0..10);
    shelf.stock().is_open = true;
    let source = shelf.clone();
    let dropper = async {
        sleep(Duration::from_millis(500)).await;
        is_deaf.store(true, Ordering::Relaxed);
        sleep(Duration::from_secs(5)).await;
        other.channel_statuses(["c"]).await.unwrap();
        assert_eq!(world.landed(), (0..10).collect::<Vec<_>>());
        other.drop_channel("c").await.unwrap();
        is_deaf.store(false, Ordering::Relaxed);
        sleep(Duration::from_secs(60)).await;
        source.stock().is_open = false;
    };
    let run = ingest::run(&client, "c", &mut shelf).into_future();
    let (report, ()) = tokio::join!(run, dropper);
    let error = report.unwrap_err();
    let conflict = ErrorKind::Invalidated(InvalidationCause::OffsetConflict);
    assert_eq!(error.kind(), conflict, "{error}");
    assert!(
        error.to_string().contains("dropped and created again"),
        "{error}"
    );
    assert_eq!(world.landed(), (0..10).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_failed_can_be_started_again_at_once() {
    let world = World::new();
    let client = world.client().await;
    let mut shelf = Shelf::of(0..100);
    shelf.stock().is_open = true;
    let source = shelf.clone();
    let breaker = async {
        sleep(Duration::from_millis(500)).await;
        source.stock().failures.push_back(("read", Failure::Fatal));
    };
    let run = ingest::run(&client, "c", &mut shelf).into_future();
    let (failed, ()) = tokio::join!(run, breaker);
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::Source);
    shelf.stock().is_open = false;
    ingest::run(&client, "c", &mut shelf).await.unwrap();
    assert_eq!(world.landed(), (0..100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn an_idle_shard_that_is_invalidated_now_and_then_does_not_end_the_run() {
    let world = World::new();
    let client = world.client().await;
    let mut shelf = Shelf::of(0..10);
    shelf.stock().is_open = true;
    let emulator = world.emulator.clone();
    let source = shelf.clone();
    let report = ingest::run(&client, "c", &mut shelf)
        .shards(2, |_| stable_hash(b"hot"))
        .until(async move {
            for hour in 1..=6_i64 {
                for name in ["c-0-of-2", "c-1-of-2"] {
                    let fault = must_reopen().on(Endpoint::Status).channel(name);
                    emulator.faults().push(fault);
                }
                sleep(Duration::from_secs(3600)).await;
                source.stock().rows.insert(100 + hour, row(100 + hour));
            }
        })
        .await
        .unwrap();
    assert_eq!((report.reopens, report.rows_committed), (12, 15));
    assert_eq!(
        world.landed(),
        (0..10).chain(101..106).collect::<Vec<_>>(),
        "row 106 arrives as the run stops"
    );
}

#[tokio::test(start_paused = true)]
async fn an_append_timeout_does_not_end_a_run() {
    for is_reopened in [false, true] {
        let world = World::with(|e| e.commit_delay(Duration::from_secs(1)));
        let client = world
            .builder()
            .memory_budget(256 << 10)
            .append_timeout(Duration::from_secs(1))
            .build()
            .await
            .unwrap();
        let faults = world.emulator.faults();
        if is_reopened {
            let must = Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".into());
            faults.push(must.on(Endpoint::Append));
        }
        faults.push(Fault::Refuse.on(Endpoint::Append).times(20));
        let mut shelf = Shelf::default();
        shelf.stock().rows = (0..5_000).zip(noisy(0..5_000)).collect();
        let report = ingest::run(&client, "c", &mut shelf).await.unwrap();
        assert_eq!(report.reopens, u64::from(is_reopened));
        assert_eq!(faults.injected().get("refuse"), Some(&20));
        assert_eq!(world.landed(), (0..5_000).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn after_an_ambiguous_request_another_writers_rows_are_not_discarded() {
    let world = World::with(|e| {
        e.replay(ReplayedToken::Stale)
            .commit_delay(Duration::from_secs(90))
    });
    let (_client, mut channel) = replaying(&world).await;
    let faults = world.emulator.faults();
    faults.push(Fault::Lose.on(Endpoint::Append));
    let ours = channel.append_rows(rows(0..10), 0..).await.unwrap();
    channel.initiate_flush();
    sleep(Duration::from_millis(5)).await;
    let other = world.client().await;
    let mut thief = other
        .open_channel("c")
        .on_uncommitted(OnUncommitted::Discard)
        .await
        .unwrap();
    let theirs = thief.append_row(&row(100), 100).await.unwrap();
    thief.initiate_flush();
    theirs.accepted().await.unwrap();
    let (ours, theirs) = tokio::join!(ours.committed(), theirs.committed());
    theirs.unwrap();
    let conflict = ErrorKind::Invalidated(InvalidationCause::OffsetConflict);
    assert_eq!(ours.unwrap_err().kind(), conflict);
    assert_eq!(world.landed(), [100]);
}
