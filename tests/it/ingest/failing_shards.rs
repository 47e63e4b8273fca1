//! Several shards of one run that fail at the same time: while rows are being appended, and while the run drains.

use std::time::Duration;

use serde_json::Value;
use snowpipe_streaming::ingest::{self, Finish};
use snowpipe_streaming_emulator::{Endpoint, Fault};
use tokio::time::{Instant, sleep};

use crate::source::Shelf;
use crate::support::{World, noisy, row};

fn by_number(row: &Value) -> u64 {
    row["N"].as_u64().unwrap()
}

fn sorted(world: &World) -> Vec<i64> {
    let mut landed = world.landed();
    landed.sort_unstable();
    landed
}

/// Rows that hardly compress, so that appends wait for memory.
fn shelf(rows: i64) -> Shelf {
    let shelf = Shelf::default();
    shelf.stock().rows = (0..rows).zip(noisy(0..rows)).collect();
    shelf
}

#[tokio::test(start_paused = true)]
async fn shards_that_fail_in_one_hand_out_lose_and_double_nothing() {
    const ROWS: i64 = 12_000;
    for failing in [&[0, 1][..], &[0, 2], &[1, 2], &[0, 1, 2]] {
        for after in 0..3 {
            let world = World::new();
            let client = world.builder().memory_budget(512 << 10);
            let client = client.build().await.unwrap();
            for shard in failing {
                let must = Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".to_owned());
                let must = must.on(Endpoint::Append).after(after);
                let must = must.channel(format!("c-{shard}-of-3"));
                world.emulator.faults().push(must);
            }
            let mut shelf = shelf(ROWS);
            let report = ingest::run(&client, "c", &mut shelf)
                .shards(3, by_number)
                .batch_rows(4_000)
                .max_in_flight(8_000)
                .await
                .unwrap();
            assert_eq!(report.finish, Finish::Exhausted);
            assert_eq!(report.reopens, failing.len() as u64, "{failing:?}");
            assert_eq!(report.rows_committed, ROWS.unsigned_abs());
            // This includes rows of an append that ended early.
            assert_eq!(report.rows_appended, client.metrics().rows_appended);
            assert_eq!(report.released, Some(ROWS - 1));
            let all: Vec<_> = (0..ROWS).collect();
            assert_eq!(sorted(&world), all, "{failing:?} after {after}");
        }
    }
}

/// Rows 0 to 4 are uncommitted, and are read again with all others. While the append to the first shard waits for memory, the
/// other two shards fail, of which one has committed more than the other.
#[tokio::test(start_paused = true)]
async fn rows_not_appended_to_a_failing_shard_are_not_released() {
    const ROWS: i64 = 16_010;
    let shard_of = |row: &Value| match row["N"].as_i64().unwrap() {
        0..5 => 2,
        5..10 | 16_000.. => 1,
        _ => 0,
    };
    let world = World::new();
    let client = world.builder().memory_budget(512 << 10);
    let client = client.build().await.unwrap();
    let mut shelf = shelf(10);
    shelf.stock().is_open = true;
    let faults = world.emulator.faults();
    let late = Fault::WithholdCommits(Duration::from_secs(100)).on(Endpoint::Append);
    faults.push(late.channel("c-2-of-3"));
    let slow = Fault::Delay(Duration::from_secs(50)).on(Endpoint::Append);
    faults.push(slow.channel("c-0-of-3").times(3));
    let fail = |shard: usize| {
        let must = Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".to_owned());
        let name = format!("c-{shard}-of-3");
        faults.push(must.on(Endpoint::Status).channel(name));
    };
    let more = shelf.clone();
    let course = async {
        // A code is believed half a minute after an open.
        sleep(Duration::from_secs(40)).await;
        fail(2);
        // The channel is being reopened. Nothing is read until its uncommitted rows are discarded.
        sleep(Duration::from_secs(10)).await;
        more.stock().rows.extend((10..ROWS).zip(noisy(10..ROWS)));
        // By now all rows are being appended.
        sleep(Duration::from_secs(40)).await;
        more.stock().is_open = false;
        fail(1);
        sleep(Duration::from_secs(15)).await;
        fail(2);
    };
    let run = ingest::run(&client, "c", &mut shelf)
        .shards(3, shard_of)
        .batch_rows(20_000);
    let (report, ()) = tokio::join!(run.into_future(), course);
    let report = report.unwrap();
    assert_eq!(report.reopens, 3);
    assert_eq!(report.released, Some(ROWS - 1));
    assert_eq!(sorted(&world), (0..ROWS).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_healthy_shards_and_releases_their_rows() {
    let world = World::new();
    let builder = world.builder().settle_timeout(Duration::from_secs(30));
    let client = builder.build().await.unwrap();
    let mut shelf = Shelf::of(0..100);
    shelf.stock().is_open = true;
    let faults = world.emulator.faults();
    let slow = Fault::WithholdCommits(Duration::from_secs(60)).on(Endpoint::Append);
    faults.push(slow.channel("c-0-of-3"));
    for shard in [1, 2] {
        let lost = Fault::WithholdCommits(Duration::MAX).on(Endpoint::Append);
        faults.push(lost.channel(format!("c-{shard}-of-3")).after(1));
    }
    let more = shelf.clone();
    let course = async {
        sleep(Duration::from_secs(5)).await;
        more.stock().rows.extend((100..110).map(|n| (n, row(n))));
        sleep(Duration::from_secs(5)).await;
        for shard in [1, 2] {
            let must = Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".to_owned());
            let name = format!("c-{shard}-of-3");
            faults.push(must.on(Endpoint::Status).channel(name));
        }
    };
    let started = Instant::now();
    let run = ingest::run(&client, "c", &mut shelf)
        // The later rows belong to the failing shards.
        .shards(3, |row| by_number(row) / 50 * (1 + by_number(row) % 2))
        .until(sleep(Duration::from_secs(8)))
        .drain_timeout(Duration::from_secs(120));
    let (report, ()) = tokio::join!(run.into_future(), course);
    let report = report.unwrap();
    assert_eq!(report.finish, Finish::Stopped);
    assert_eq!((report.rows_appended, report.rows_committed), (110, 100));
    // All rows up to here belong to the first shard, except one that was committed before.
    assert_eq!(report.released, Some(50));
    let uncommitted: Vec<_> = report.uncommitted.keys().collect();
    assert_eq!(uncommitted, ["c-1-of-3", "c-2-of-3"]);
    assert_eq!(sorted(&world), (0..100).collect::<Vec<_>>());
    let longest = Duration::from_secs(100);
    assert!(
        started.elapsed() < longest,
        "failed shards are not waited for"
    );
}

#[tokio::test(start_paused = true)]
async fn a_drain_flushes_without_waiting_for_the_lag() {
    let world = World::new();
    let lag = Duration::from_secs(3_600);
    let client = world.builder().max_client_lag(lag).build().await.unwrap();
    let mut shelf = Shelf::of(0..100);
    shelf.stock().is_open = true;
    let report = ingest::run(&client, "c", &mut shelf)
        .shards(3, by_number)
        .until(sleep(Duration::from_secs(2)))
        .drain_timeout(Duration::from_secs(30))
        .await
        .unwrap();
    assert_eq!((report.rows_committed, report.released), (100, Some(99)));
    assert_eq!(sorted(&world), (0..100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_recreated_channel_gets_no_rows_again_that_only_wait_for_another_shard() {
    let world = World::new();
    let (client, other) = (world.client().await, world.client().await);
    let mut shelf = Shelf::of(0..100);
    shelf.stock().is_open = true;
    // Row 0 holds back the release of all others.
    let slow = Fault::WithholdCommits(Duration::from_secs(100)).on(Endpoint::Append);
    world.emulator.faults().push(slow.channel("c-0-of-2"));
    let source = shelf.clone();
    let course = async {
        sleep(Duration::from_secs(10)).await;
        other.drop_channel("c-1-of-2").await.unwrap();
        sleep(Duration::from_secs(60)).await;
        assert_eq!(source.stock().released, None);
        let mut stock = source.stock();
        stock.rows.insert(101, row(101));
        stock.is_open = false;
    };
    let run = ingest::run(&client, "c", &mut shelf).shards(2, by_number);
    let (report, ()) = tokio::join!(run.into_future(), course);
    assert_eq!(report.unwrap().reopens, 1);
    assert_eq!(sorted(&world), (0..100).chain([101]).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_commits_between_reopens_may_be_reopened_any_number_of_times() {
    let world = World::new();
    let client = world.client().await;
    let mut shelf = Shelf::of(0..100);
    for n in 0..8 {
        let must = Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".to_owned());
        // Each fault hits the first append after a commit.
        let must = must.on(Endpoint::Append).channel("c-1-of-2").after(n + 1);
        world.emulator.faults().push(must);
    }
    let report = ingest::run(&client, "c", &mut shelf)
        .shards(2, by_number)
        .batch_rows(10)
        .max_in_flight(10)
        .await
        .unwrap();
    assert!(report.reopens > 3, "{report:?}");
    assert_eq!(sorted(&world), (0..100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn abandoned_rows_are_read_again_even_if_the_source_has_no_new_rows() {
    let world = World::new();
    let client = world.client().await;
    let mut shelf = Shelf::of(0..100);
    shelf.stock().is_open = true;
    shelf.stock().ready_after = Some(Duration::MAX);
    let faults = world.emulator.faults();
    // By then the rows are discarded.
    let lost = Fault::WithholdCommits(Duration::from_secs(100)).on(Endpoint::Append);
    faults.push(lost.channel("c-1-of-2"));
    let must = Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".to_owned());
    let must = must.on(Endpoint::Status).channel("c-1-of-2");
    faults.push(must.after(1));
    let report = ingest::run(&client, "c", &mut shelf)
        .shards(2, by_number)
        .until(sleep(Duration::from_secs(300)))
        .await
        .unwrap();
    assert_eq!((report.reopens, report.released), (1, Some(99)));
    assert_eq!(sorted(&world), (0..100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn the_names_of_all_shards_are_free_if_one_of_them_cannot_be_opened() {
    let world = World::new();
    let client = world.client().await;
    let refuse = Fault::Forbidden.on(Endpoint::Open).channel("c-1-of-3");
    world.emulator.faults().push(refuse.always());
    let mut shelf = shelf(100);
    let run = ingest::run(&client, "c", &mut shelf).shards(3, by_number);
    run.await.unwrap_err();
    world.emulator.faults().clear();
    for shard in 0..3 {
        let name = format!("c-{shard}-of-3");
        client.open_channel(name).await.unwrap();
    }
}
