//! Rejects that the server counted before a run opened its channel, as the open and the status after it show them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use snowpipe_streaming::{ErrorKind, StreamingIngestClient, ingest};
use snowpipe_streaming_emulator::{Endpoint, Fault};
use tokio::time::{sleep, timeout};

use crate::ingest::rejects::{client, good, landed, shelf, world};
use crate::source::Failure;
use crate::support::{World, answer, row};

/// A client that gets `status` for the channel `c` once, after `lies` is set.
async fn misled(world: &World, lies: &Arc<AtomicBool>, status: Value) -> StreamingIngestClient {
    let lie = Arc::clone(lies);
    let builder = world.intercepted(move |request| {
        let is_status = request.uri().path().ends_with(":bulk-channel-status");
        let is_of_c = request.body().as_ref() == br#"{"channel_names":["c"]}"#;
        (is_status && is_of_c && lie.swap(false, Ordering::Relaxed))
            .then(|| answer(200, &json!({ "channel_statuses": { "c": status } })))
    });
    builder.build().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn rejects_from_before_the_run_are_kept_with_the_servers_message() {
    let world = world();
    let (first, client) = (client(&world).await, client(&world).await);
    let mut shelf = shelf(0..10, &[0]);
    let mut channel = first.open_channel("c").await.unwrap();
    let bad = shelf.stock().rows[&0].clone();
    channel.append_row(&bad, 0).await.unwrap();
    channel.wait_for_commit().await.unwrap_err();
    channel.close().await.unwrap();
    let report = ingest::run(&client, "c", &mut shelf).await.unwrap();
    assert_eq!((report.rows_rejected, report.released), (1, Some(9)));
    let stock = shelf.stock();
    assert_eq!(stock.letters.keys().collect::<Vec<_>>(), [&0]);
    assert_eq!(stock.messages.len(), 1);
    assert!(stock.messages[0].contains("NULL"), "{:?}", stock.messages);
    assert_eq!(landed(&world), good(0..10, &[0]));
}

#[tokio::test(start_paused = true)]
async fn a_source_without_a_count_gets_no_rejects_from_before_the_run() {
    let world = world();
    let (first, client) = (client(&world).await, client(&world).await);
    let mut channel = first.open_channel("c").await.unwrap();
    channel.append_row(&json!({ "LIFT": "" }), 0).await.unwrap();
    let error = channel.wait_for_commit().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RowsRejected);
    channel.close().await.unwrap();
    let mut shelf = shelf(0..10, &[]);
    shelf.stock().keeps_no_count = true;
    let report = ingest::run(&client, "c", &mut shelf).await.unwrap();
    assert_eq!((report.rows_rejected, report.released), (0, Some(9)));
    assert!(shelf.stock().letters.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_crash_between_the_commit_and_the_dead_letters_loses_none() {
    let world = world();
    let mut shelf = shelf(0..10, &[4]);
    let first = client(&world).await;
    shelf
        .stock()
        .failures
        .push_back(("dead letter", Failure::Fatal));
    ingest::run(&first, "c", &mut shelf).await.unwrap_err();
    first.abort();
    assert_eq!(landed(&world), good(0..10, &[4]));
    assert_eq!(shelf.stock().released, None);
    let second = client(&world).await;
    let report = ingest::run(&second, "c", &mut shelf).await.unwrap();
    assert_eq!((report.rows_appended, report.rows_rejected), (0, 1));
    let calls = shelf.stock().calls.split_off(1);
    assert_eq!(
        calls,
        [
            "check c at Some(9)",
            "1 of [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] to 1",
            "release 9",
        ]
    );

    // The source knows the count by now, so a third run keeps none of its rows as rejects.
    shelf.stock().rows.insert(10, row(10));
    let third = ingest::run(&second, "c", &mut shelf).await.unwrap();
    assert_eq!((third.rows_rejected, third.released), (0, Some(10)));
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_lags_hides_no_rejects_from_the_next_run() {
    let world = world();
    let mut shelf = shelf(0..10, &[4]);
    let first = client(&world).await;
    let run = ingest::run(&first, "c", &mut shelf).into_future();
    // By then the rows are accepted and not committed.
    timeout(Duration::from_millis(300), run).await.unwrap_err();
    first.abort();
    let lag = Fault::StaleStatus(Duration::from_secs(60)).on(Endpoint::Status);
    world.emulator.faults().push(lag.times(3));
    let second = client(&world).await;
    ingest::run(&second, "c", &mut shelf).await.unwrap();
    assert_eq!(landed(&world), good(0..10, &[4]));
    assert!(shelf.stock().letters.contains_key(&4));
}

#[tokio::test(start_paused = true)]
async fn rejects_that_the_open_does_not_count_yet_are_kept() {
    let world = world();
    let mut shelf = shelf(0..10, &[]);
    let first = client(&world).await;
    let run = ingest::run(&first, "c", &mut shelf).into_future();
    timeout(Duration::from_millis(300), run).await.unwrap_err();
    first.abort();
    let lies = Arc::new(AtomicBool::new(true));
    let status = json!({ "last_committed_offset_token": "9", "rows_error_count": 1 });
    let second = misled(&world, &lies, status).await;
    let report = ingest::run(&second, "c", &mut shelf).await.unwrap();
    assert!(!lies.load(Ordering::Relaxed));
    assert_eq!((report.rows_rejected, report.released), (1, Some(9)));
    let stock = shelf.stock();
    let letters: Vec<_> = stock.letters.keys().copied().collect();
    assert_eq!(letters, good(0..10, &[]));
    assert_eq!(stock.rejects_seen["c"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_status_of_the_dropped_channel_hides_no_rejects_of_the_recreated_one() {
    let world = world();
    let lies = Arc::new(AtomicBool::new(false));
    let before = json!({ "created_on_ms": 1, "rows_error_count": 3 });
    let client = misled(&world, &lies, before).await;
    let mut shelf = shelf(0..10, &[3, 5, 7]);
    ingest::run(&client, "c", &mut shelf).await.unwrap();
    client.drop_channel("c").await.unwrap();
    let bad = json!({ "LIFT": "no number" });
    shelf.stock().rows.extend([(10, row(10)), (11, bad)]);
    lies.store(true, Ordering::Relaxed);
    let report = ingest::run(&client, "c", &mut shelf).await.unwrap();
    assert!(!lies.load(Ordering::Relaxed));
    assert_eq!((report.rows_rejected, report.released), (1, Some(11)));
    assert!(shelf.stock().letters.contains_key(&11));
    assert_eq!(landed(&world), good(0..11, &[3, 5, 7]));
}

#[tokio::test(start_paused = true)]
async fn rejects_of_a_recreated_channel_are_kept_even_if_the_source_has_counted_more() {
    for crash in [false, true] {
        let world = world();
        let client = client(&world).await;
        let mut shelf = shelf(0..10, &[3, 5, 7]);
        ingest::run(&client, "c", &mut shelf).await.unwrap();
        assert_eq!(shelf.stock().rejects_seen["c"], 3);
        client.drop_channel("c").await.unwrap();

        let bad = json!({ "LIFT": "no number" });
        for n in 10..20 {
            shelf.stock().rows.insert(n, row(n));
        }
        shelf.stock().rows.insert(14, bad);
        if crash {
            let fatal = ("dead letter", Failure::Fatal);
            shelf.stock().failures.push_back(fatal);
            ingest::run(&client, "c", &mut shelf).await.unwrap_err();
        }
        let report = ingest::run(&client, "c", &mut shelf).await.unwrap();
        assert_eq!((report.rows_rejected, report.released), (1, Some(19)));
        let stock = shelf.stock();
        assert!(stock.letters.contains_key(&14), "{crash}");
        assert_eq!(stock.rejects_seen["c"], 1);
        assert_eq!(landed(&world), good(0..20, &[3, 5, 7, 14]));
    }
}

#[tokio::test(start_paused = true)]
async fn rejects_of_a_writer_that_comes_between_the_open_and_its_status_are_kept() {
    let world = world();
    let client = client(&world).await;
    let slow = Fault::Delay(Duration::from_secs(30)).on(Endpoint::Open);
    world.emulator.faults().push(slow);
    // The other writer reads the same source and is faster.
    let other = async {
        sleep(Duration::from_secs(1)).await;
        let client = world.client().await;
        let mut channel = client.open_channel("c").await.unwrap();
        for n in 0..20 {
            let bad = json!({ "LIFT": "no number" });
            let row = if n == 7 { bad } else { row(n) };
            drop(channel.append_row(&row, n).await.unwrap());
        }
        channel.wait_for_commit().await.unwrap_err();
        client.abort();
    };
    let mut shelf = shelf(0..30, &[7, 23]);
    let run = ingest::run(&client, "c", &mut shelf).batch_rows(10);
    let (report, ()) = tokio::join!(run.into_future(), other);
    assert_eq!(report.unwrap().released, Some(29));
    let letters = shelf.stock().letters.clone();
    assert!(letters.contains_key(&7), "{letters:?}");
    assert!(letters.contains_key(&23), "{letters:?}");
    assert_eq!(landed(&world), good(0..30, &[7, 23]));
}
