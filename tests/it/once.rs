//! A job that sends everything and ends, and is run again.

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
    for (start, end) in [("a", "b"), ("a", "b"), ("c", "d")] {
        let client = world.client().await;
        client
            .send_once("units", rows(0..10), (start, end))
            .await
            .unwrap();
    }
    assert_eq!(world.landed().len(), 20);
    for _ in 0..2 {
        world
            .client()
            .await
            .send_once("ranges", rows(0..10), 1..=7)
            .await
            .unwrap();
    }
    assert_eq!(world.landed().len(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_fails_says_what_is_not_committed() {
    let world = World::new();
    let client = world.client().await;
    world
        .emulator
        .faults()
        .push(Fault::Stale.on(Endpoint::Append));
    let error = client.send_once("job", rows(0..10), 0..).await.unwrap_err();
    let lost: u64 = error
        .close_report()
        .unwrap()
        .uncommitted
        .iter()
        .map(|range| range.rows)
        .sum();
    assert_eq!(lost, 10);
    client.send_once("job", rows(0..10), 0..).await.unwrap();
    assert_eq!(world.landed(), (0..10).collect::<Vec<_>>());
}
