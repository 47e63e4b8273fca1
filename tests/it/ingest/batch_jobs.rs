//! Jobs that send all their rows and end, and that may be run again.

use std::time::Duration;

use serde_json::{Value, json};
use snowpipe_streaming::{ErrorKind, JobReport, Result};
use snowpipe_streaming_emulator::answers::RowCounters;
use snowpipe_streaming_emulator::{Endpoint, Fault};

use crate::channel::row_counts::world_with;
use crate::support::{World, rows};

/// One process of a job.
async fn send(world: &World, run: &str, rows: Vec<Value>) -> Result<JobReport> {
    world.client().await.send_once("job", run, rows).await
}

/// The rows that were given, skipped, sent, committed, rejected.
fn numbers(report: &JobReport) -> [u64; 5] {
    [
        report.given,
        report.skipped,
        report.sent,
        report.committed,
        report.rejected,
    ]
}

#[tokio::test(start_paused = true)]
async fn each_run_sends_all_its_rows() {
    let world = World::new();
    let mut first = 0;
    for (night, count) in [
        ("2026-11-22", 100),
        ("2026-11-23", 100),
        ("2026-11-24", 130),
    ] {
        let report = send(&world, night, rows(first..first + count)).await;
        let all = count.unsigned_abs();
        assert_eq!(numbers(&report.unwrap()), [all, 0, all, all, 0], "{night}");
        first += count;
    }
    assert_eq!(world.landed(), (0..330).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_repeated_sends_only_what_is_missing() {
    let world = World::new();
    for (given, expected) in [
        (50, [50, 0, 50, 50, 0]),
        (80, [80, 50, 30, 30, 0]),
        (80, [80, 80, 0, 0, 0]),
    ] {
        let report = send(&world, "run", rows(0..given)).await.unwrap();
        assert_eq!(numbers(&report), expected);
    }
    assert_eq!(world.landed(), (0..80).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_repeated_run_with_fewer_rows_is_refused() {
    let world = World::new();
    send(&world, "run", rows(0..50)).await.unwrap();
    let error = send(&world, "run", rows(0..40)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidOffset);
    let text = error.to_string();
    assert!(
        text.starts_with("50 rows of the run \"run\" are committed in the channel \"job\""),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_channel_of_another_program_is_refused_and_named() {
    let world = World::new();
    let client = world.client().await;
    let mut channel = client.open_channel("job").await.unwrap();
    channel.append_rows(&rows(0..10), 0..).await.unwrap();
    channel.close().await.unwrap();
    let error = send(&world, "run", rows(0..50)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidOffset);
    assert_eq!(error.committed_token(), Some(&9.into()));
    let text = error.to_string();
    assert!(
        text.contains("the channel \"job\" has the committed token \"9\"")
            && text.contains("\"RUN:"),
        "{text}"
    );
    assert_eq!(world.landed(), (0..10).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_run_without_a_name_or_with_a_long_one_is_refused_before_anything_is_sent() {
    let world = World::new();
    for run in ["", &"x".repeat(5_000)] {
        let error = send(&world, run, rows(0..1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOffset);
    }
    assert_eq!(world.requests(Endpoint::Open), 0);
}

#[tokio::test(start_paused = true)]
async fn a_failed_job_reports_what_is_not_committed() {
    let world = World::new();
    let faults = world.emulator.faults();
    faults.push(Fault::Stale.on(Endpoint::Append));
    let error = send(&world, "run", rows(0..10)).await.unwrap_err();
    assert_eq!(numbers(error.job_report().unwrap()), [10, 0, 10, 0, 0]);
    let uncommitted = &error.close_report().unwrap().uncommitted;
    let counts: Vec<_> = uncommitted.iter().map(|range| range.rows).collect();
    assert_eq!(counts, [10]);
    assert_eq!(world.landed(), Vec::<i64>::new());
    send(&world, "run", rows(0..10)).await.unwrap();
    assert_eq!(world.landed(), (0..10).collect::<Vec<_>>());
}

/// Row 1 has no number.
fn with_reject() -> Vec<Value> {
    let mut all = rows(0..5);
    all[1] = json!({ "LIFT": "no number" });
    all
}

/// A run that is killed after its rows were committed has told nobody of the rejected one. The next run counts its own.
#[tokio::test(start_paused = true)]
async fn a_repeated_run_reports_rows_that_an_earlier_call_had_rejected() {
    let world = world_with(|_| {});
    for earlier in ["before", "run"] {
        let client = world.client().await;
        let sending = client.send_once("job", earlier, with_reject());
        let killed = tokio::time::timeout(Duration::from_millis(900), sending).await;
        assert!(killed.is_err());
        client.abort();
        tokio::time::sleep(Duration::from_secs(30)).await;
    }
    for _ in 0..2 {
        let error = send(&world, "run", with_reject()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RowsRejected, "{error}");
        assert!(error.is_committed());
        assert_eq!(numbers(error.job_report().unwrap()), [5, 5, 0, 0, 1]);
    }
    let report = send(&world, "next", rows(5..9)).await.unwrap();
    assert_eq!(numbers(&report), [4, 0, 4, 4, 0]);
}

#[tokio::test(start_paused = true)]
async fn rejected_rows_of_a_run_are_an_error() {
    let world = world_with(|_| {});
    let error = send(&world, "run", with_reject()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RowsRejected, "{error}");
    assert_eq!(numbers(error.job_report().unwrap()), [5, 0, 5, 5, 1]);
    assert_eq!(error.close_report().unwrap().rejects.len(), 1);
}

/// Something that calls a job at least once calls it twice at the same time.
#[tokio::test(start_paused = true)]
async fn two_calls_for_one_run_send_each_row_once() {
    for apart_ms in [0, 10, 500, 3_000, 5_500, 7_000] {
        let world = World::new();
        send(&world, "run", rows(0..100)).await.unwrap();
        let later = async {
            tokio::time::sleep(Duration::from_millis(apart_ms)).await;
            send(&world, "run", rows(0..4_000)).await
        };
        let (first, second) = tokio::join!(send(&world, "run", rows(0..4_000)), later);
        assert!(
            first.is_ok() || second.is_ok(),
            "{apart_ms}: {first:?} {second:?}"
        );
        send(&world, "run", rows(0..4_000)).await.unwrap();
        assert_eq!(world.landed(), (0..4_000).collect::<Vec<_>>(), "{apart_ms}");
    }
}

/// The rejects of an earlier call are counted while the next call waits for them.
#[tokio::test(start_paused = true)]
async fn rejects_that_are_counted_late_are_counted_once() {
    let world = world_with(|answers| answers.wire.row_counters = RowCounters::Late);
    let client = world.client().await;
    let sending = client.send_once("job", "run", with_reject());
    let killed = tokio::time::timeout(Duration::from_millis(2_500), sending).await;
    assert!(killed.is_err());
    client.abort();
    for _ in 0..2 {
        let error = send(&world, "run", with_reject()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RowsRejected, "{error}");
        assert_eq!(error.job_report().unwrap().rejected, 1, "{error}");
    }
}
