//! Several shards of one run that fail at the same time: in the middle of a hand-out, and while the run drains.

use std::time::Duration;

use serde_json::Value;
use snowpipe_streaming::emulator::{Endpoint, Fault};
use snowpipe_streaming::ingest::{self, Finish};
use tokio::time::{Instant, sleep};

use crate::ingest_source::Shelf;
use crate::support::{World, noisy};

fn by_number(row: &Value) -> u64 {
    row["N"].as_u64().unwrap()
}

fn sorted(world: &World) -> Vec<i64> {
    let mut landed = world.landed();
    landed.sort_unstable();
    landed
}

/// Rows that compress badly, so that a hand-out waits for memory.
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
            assert_eq!(report.released, Some(ROWS - 1));
            let all: Vec<_> = (0..ROWS).collect();
            assert_eq!(sorted(&world), all, "{failing:?} after {after}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_the_shards_that_are_well() {
    let world = World::new();
    let client = world.client().await;
    let mut shelf = Shelf::of(0..100);
    shelf.stock().is_open = true;
    let slow = Fault::WithholdCommits(Duration::from_secs(20));
    world.emulator.faults().push(slow.on(Endpoint::Append));
    for shard in [1, 2] {
        let name = format!("c-{shard}-of-4");
        let lost = Fault::WithholdCommits(Duration::MAX).on(Endpoint::Append);
        world.emulator.faults().push(lost.channel(&name));
        let must = Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".to_owned());
        let must = must.on(Endpoint::Status).channel(&name).after(8);
        world.emulator.faults().push(must);
    }
    let begun = Instant::now();
    let report = ingest::run(&client, "c", &mut shelf)
        .shards(4, by_number)
        .until(sleep(Duration::from_secs(2)))
        .drain_timeout(Duration::from_secs(120))
        .await
        .unwrap();
    assert_eq!(report.finish, Finish::Stopped);
    assert_eq!((report.rows_appended, report.rows_committed), (100, 50));
    let uncommitted: Vec<_> = report.uncommitted.keys().collect();
    assert_eq!(uncommitted, ["c-1-of-4", "c-2-of-4"]);
    assert_eq!(report.released, Some(0), "row 1 is not committed");
    let landed: Vec<_> = (0..100).filter(|n| n % 4 == 0 || n % 4 == 3).collect();
    assert_eq!(sorted(&world), landed);
    assert!(
        begun.elapsed() < Duration::from_secs(100),
        "for no failed one"
    );
}
