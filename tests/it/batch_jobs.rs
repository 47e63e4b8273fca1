//! Jobs that send all their rows and end, and that may be run again.

use snowpipe_streaming::emulator::{Endpoint, Fault};

use crate::support::{World, rows};

#[tokio::test(start_paused = true)]
async fn a_job_that_is_run_again_sends_only_what_is_missing() {
    let world = World::new();
    let report = world
        .client()
        .await
        .send_once("job", rows(0..50), 0..)
        .await
        .unwrap();
    assert!(report.is_clean());
    assert_eq!(report.rows_committed, 50);
    let report = world
        .client()
        .await
        .send_once("job", rows(0..80), 0..)
        .await
        .unwrap();
    assert_eq!(report.rows_appended, 30);
    let report = world
        .client()
        .await
        .send_once("job", rows(0..80), 0..)
        .await
        .unwrap();
    assert_eq!(report.rows_appended, 0);
    assert_eq!(world.landed(), (0..80).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_unit_is_sent_once() {
    let world = World::new();
    for (first, tokens, appended) in [
        (0, ("a", "b"), 10),
        (0, ("a", "b"), 0),
        (10, ("c", "d"), 10),
    ] {
        let client = world.client().await;
        let unit = client.send_once("units", rows(first..first + 10), tokens);
        assert_eq!(unit.await.unwrap().rows_appended, appended, "{tokens:?}");
    }
    assert_eq!(world.landed(), (0..20).collect::<Vec<_>>());
    for appended in [10, 0] {
        let client = world.client().await;
        let unit = client.send_once("ranges", rows(20..30), 1..=7);
        assert_eq!(unit.await.unwrap().rows_appended, appended);
    }
    assert_eq!(world.landed(), (0..30).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_failed_job_reports_what_is_not_committed() {
    let world = World::new();
    let client = world.client().await;
    world
        .emulator
        .faults()
        .push(Fault::Stale.on(Endpoint::Append));
    let error = client.send_once("job", rows(0..10), 0..).await.unwrap_err();
    let uncommitted = &error.close_report().unwrap().uncommitted;
    let ranges: Vec<_> = uncommitted
        .iter()
        .map(|range| (range.rows, range.first.clone(), range.last.clone()))
        .collect();
    assert_eq!(ranges, [(10, Some(0.into()), Some(9.into()))]);
    assert_eq!(world.landed(), Vec::<i64>::new());
    client.send_once("job", rows(0..10), 0..).await.unwrap();
    assert_eq!(world.landed(), (0..10).collect::<Vec<_>>());
}
