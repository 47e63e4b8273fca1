//! A source spread over several channels.

use std::time::Duration;

use serde_json::{Value, json};
use snowpipe_streaming::ErrorKind;
use snowpipe_streaming::ingest::{self, Finish};
use snowpipe_streaming_emulator::{Endpoint, Fault};
use tokio::time::{sleep, timeout};

use crate::source::Shelf;
use crate::support::{World, row};

fn by_number(row: &Value) -> u64 {
    row["N"].as_u64().unwrap()
}

fn sorted(world: &World) -> Vec<i64> {
    let mut landed = world.landed();
    landed.sort_unstable();
    landed
}

#[tokio::test(start_paused = true)]
async fn rows_are_spread_and_each_shard_keeps_its_order() {
    let world = World::new();
    let client = world.client().await;
    let mut shelf = Shelf::of(0..1_000);
    let report = ingest::run(&client, "c", &mut shelf)
        .shards(3, by_number)
        .batch_rows(100)
        .await
        .unwrap();
    assert_eq!(report.finish, Finish::Exhausted);
    assert_eq!((report.rows_committed, report.released), (1_000, Some(999)));
    let landed = world.landed();
    for shard in 0..3 {
        let own: Vec<_> = landed.iter().filter(|n| **n % 3 == shard).collect();
        assert!(own.is_sorted() && !own.is_empty());
        let channel = world.emulator.channel(&format!("c-{shard}-of-3"));
        assert!(channel.is_some(), "{shard}");
    }
    assert_eq!(sorted(&world), (0..1_000).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn one_hot_key_idle_shards_and_a_restart_lose_and_double_nothing() {
    for is_forgetful in [false, true] {
        for crash in (0..40).map(|i| Duration::from_millis(i * 171)) {
            let world = World::new();
            let mut shelf = Shelf::of(0..400);
            shelf.stock().is_forgetful = is_forgetful;
            let hot = |row: &Value| u64::from(row["N"] == json!(399)) + 2;
            let client = world.client().await;
            let run = ingest::run(&client, "c", &mut shelf)
                .shards(8, hot)
                .batch_rows(30)
                .max_in_flight(90);
            let _ = timeout(crash, run.into_future()).await;
            client.abort();
            let client = world.client().await;
            let report = ingest::run(&client, "c", &mut shelf)
                .shards(8, hot)
                .await
                .unwrap();
            assert_eq!(report.released, Some(399));
            assert_eq!(sorted(&world), (0..400).collect::<Vec<_>>(), "{crash:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_shard_holds_back_the_release_and_a_crash_then_duplicates_nothing() {
    let world = World::new();
    let mut shelf = Shelf::of(0..100);
    shelf.stock().is_open = true;
    let slow = Fault::WithholdCommits(Duration::from_secs(20));
    let slow = slow.on(Endpoint::Append).channel("c-1-of-4");
    world.emulator.faults().push(slow);
    let client = world.client().await;
    let run = ingest::run(&client, "c", &mut shelf)
        .shards(4, by_number)
        .until(sleep(Duration::from_secs(10)))
        .drain_timeout(Duration::ZERO);
    let report = run.await.unwrap();
    // The row before the first one of the slow shard.
    assert_eq!(report.released, Some(0));
    assert_eq!((report.rows_appended, report.rows_committed), (100, 75));
    let uncommitted: Vec<_> = report.uncommitted.keys().collect();
    assert_eq!(uncommitted, ["c-1-of-4"]);
    client.abort();

    shelf.stock().is_open = false;
    let client = world.client().await;
    let report = ingest::run(&client, "c", &mut shelf)
        .shards(4, by_number)
        .await
        .unwrap();
    assert_eq!(report.released, Some(99));
    assert_eq!(sorted(&world), (0..100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn an_invalidated_shard_recovers_alone() {
    let faults = [
        Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".to_owned()),
        Fault::SecondWriter,
        Fault::Stale,
    ];
    for fault in faults {
        for after in 0..4 {
            let world = World::new();
            let client = world.client().await;
            let mut shelf = Shelf::of(0..600);
            let name = fault.name();
            let struck = fault.clone().on(Endpoint::Append).channel("c-2-of-4");
            world.emulator.faults().push(struck.after(after));
            let report = ingest::run(&client, "c", &mut shelf)
                .shards(4, by_number)
                .batch_rows(50)
                .max_in_flight(120)
                .await
                .unwrap();
            assert_eq!(report.reopens, 1, "{name} {after}");
            assert_eq!(
                (report.rows_committed, report.released),
                (600, Some(599)),
                "{name} {after}"
            );
            assert_eq!(
                sorted(&world),
                (0..600).collect::<Vec<_>>(),
                "{name} {after}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn another_number_of_shards_is_refused_until_the_old_ones_are_drained() {
    let world = World::new();
    let mut shelf = Shelf::of(0..100);
    shelf.stock().is_open = true;
    let slow = Fault::WithholdCommits(Duration::from_secs(60));
    let slow = slow.on(Endpoint::Append).channel("c-1-of-2");
    world.emulator.faults().push(slow);
    let client = world.client().await;
    ingest::run(&client, "c", &mut shelf)
        .shards(2, by_number)
        .until(sleep(Duration::from_secs(5)))
        .drain_timeout(Duration::ZERO)
        .await
        .unwrap();
    shelf.stock().is_open = false;

    for layout in [None, Some(1), Some(3), Some(64)] {
        let run = ingest::run(&client, "c", &mut shelf);
        let result = match layout {
            Some(count) => run.shards(count, by_number).await,
            None => run.await,
        };
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        let text = error.to_string();
        assert!(text.contains("run once more with 2 shards"), "{text}");
        assert!(text.contains("\"c-0-of-2\""), "{text}");
    }
    assert_eq!(shelf.stock().released, Some(0));

    // With the old number of shards until it is drained, then with another number, then without shards.
    ingest::run(&client, "c", &mut shelf)
        .shards(2, by_number)
        .await
        .unwrap();
    for n in 100..110 {
        shelf.stock().rows.insert(n, row(n));
    }
    let report = ingest::run(&client, "c", &mut shelf)
        .shards(5, by_number)
        .await
        .unwrap();
    assert_eq!(
        (report.resumed_after, report.released),
        (Some(99), Some(109))
    );
    ingest::run(&client, "c", &mut shelf).await.unwrap();
    assert_eq!(sorted(&world), (0..110).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn rows_of_an_old_layout_cannot_land_after_the_new_one_has_started() {
    let world = World::with(|e| e.commit_delay(Duration::from_secs(10)));
    let mut shelf = Shelf::of(0..10);
    // It crashes when everything is accepted and nothing is committed, so no channel has an offset.
    let client = world.client().await;
    let run = ingest::run(&client, "c", &mut shelf).shards(2, by_number);
    timeout(Duration::from_secs(3), run.into_future())
        .await
        .unwrap_err();
    client.abort();
    let client = world.client().await;
    let error = ingest::run(&client, "c", &mut shelf).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert_eq!(sorted(&world), (0..10).collect::<Vec<_>>());
    let channel = world.emulator.channel("c-0-of-2").unwrap();
    assert_eq!(channel.offset_token.as_deref(), Some("8"));
    assert!(world.emulator.channel("c").is_none());
}
