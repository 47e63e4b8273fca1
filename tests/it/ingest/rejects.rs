//! Rows that the server rejects: the source keeps them before they are released, whatever happens in between.

use std::time::Duration;

use serde_json::{Value, json};
use snowpipe_streaming::ingest;
use snowpipe_streaming::{ErrorKind, StreamingIngestClient};
use snowpipe_streaming_emulator::tables::Catalog;
use snowpipe_streaming_emulator::{Endpoint, Fault};
use tokio::time::{Instant, sleep, timeout};

use crate::source::{Failure, Shelf};
use crate::support::{World, row};

/// A table that refuses rows without a number.
pub fn world() -> World {
    let ddl = "CREATE TABLE DB.PUBLIC.RIDES (N NUMBER NOT NULL, LIFT VARCHAR);
        CREATE PIPE DB.PUBLIC.RIDES_PIPE AS COPY INTO DB.PUBLIC.RIDES FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING'))
        MATCH_BY_COLUMN_NAME=CASE_SENSITIVE;";
    let catalog = Catalog::from_ddl(ddl).unwrap();
    World::with(|e| e.catalog(catalog))
}

pub fn landed(world: &World) -> Vec<i64> {
    let rows = world.emulator.rows("DB.PUBLIC.RIDES").unwrap();
    let numbered = |landed: &Value| {
        let n = landed["N"].as_i64().unwrap();
        assert_eq!(*landed, row(n));
        n
    };
    let mut landed: Vec<_> = rows.iter().map(numbered).collect();
    landed.sort_unstable();
    landed
}

/// The numbers of this range that are not bad.
pub fn good(numbers: std::ops::Range<i64>, bad: &[i64]) -> Vec<i64> {
    numbers.filter(|n| !bad.contains(n)).collect()
}

/// A source with these rows, of which some are bad.
pub fn shelf(numbers: std::ops::Range<i64>, bad: &[i64]) -> Shelf {
    let shelf = Shelf::of(numbers);
    for n in bad {
        shelf
            .stock()
            .rows
            .insert(*n, json!({ "LIFT": "no number" }));
    }
    shelf
}

/// A client with small batches, so that reject windows are distinct.
pub async fn client(world: &World) -> StreamingIngestClient {
    let builder = world.builder().max_client_lag(Duration::from_millis(100));
    builder.build().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn rejected_rows_are_kept_before_they_are_released() {
    let world = world();
    let client = client(&world).await;
    let mut shelf = shelf(0..30, &[12, 13]);
    let report = ingest::run(&client, "c", &mut shelf)
        .batch_rows(10)
        .max_in_flight(10)
        .await
        .unwrap();
    assert_eq!((report.rows_committed, report.rows_rejected), (30, 2));
    let stock = shelf.stock();
    assert_eq!(
        stock.calls,
        [
            "check c at None",
            "release 9",
            "2 of [10, 11, 12, 13, 14, 15, 16, 17, 18, 19] to 2",
            "release 19",
            "release 29",
        ]
    );
    assert_eq!(landed(&world), good(0..30, &[12, 13]));
}

#[tokio::test(start_paused = true)]
async fn many_rows_are_kept_in_pieces_and_no_row_is_sent_again() {
    let world = world();
    let client = client(&world).await;
    let mut shelf = shelf(0..100, &[50]);
    shelf.stock().failures = [
        ("dead letter", Failure::Passing),
        ("read", Failure::Passing),
        ("release", Failure::Passing),
    ]
    .into();
    let report = ingest::run(&client, "c", &mut shelf)
        .batch_rows(40)
        .await
        .unwrap();
    assert_eq!(
        (report.rows_appended, report.rows_rejected, report.reopens),
        (100, 1, 0)
    );
    let stock = shelf.stock();
    assert!(stock.failures.is_empty());
    let letters: Vec<_> = stock.letters.keys().copied().collect();
    assert_eq!(letters, (0..100).collect::<Vec<_>>());
    // The counter moves with the last piece: a crash before it leaves the rest in doubt.
    let pieces = stock.calls.iter().filter(|call| call.contains("1 of"));
    let totals: Vec<_> = pieces
        .map(|call| call.rsplit(' ').next().unwrap())
        .collect();
    assert_eq!(totals, ["0", "0", "1"]);
    assert_eq!(landed(&world), good(0..100, &[50]));
}

#[tokio::test(start_paused = true)]
async fn dead_letters_are_the_rows_of_the_window_and_no_others() {
    let world = world();
    let client = client(&world).await;
    let mut shelf = shelf(0..40, &[22]);
    // Up to ten rows are read at once, and a request has fifteen.
    let report = ingest::run(&client, "c", &mut shelf)
        .batch_rows(10)
        .max_in_flight(15)
        .await
        .unwrap();
    assert_eq!((report.rows_committed, report.rows_rejected), (40, 1));
    let log = world.emulator.log();
    let ends: Vec<i64> = log
        .iter()
        .filter_map(|r| r.end_offset_token.as_ref()?.parse().ok())
        .collect();
    assert_eq!(ends, [14, 29, 39]);
    let letters: Vec<_> = shelf.stock().letters.keys().copied().collect();
    assert_eq!(letters, (15..=29).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn dead_letters_start_after_rows_that_only_wait_for_another_shard() {
    let world = world();
    let client = client(&world).await;
    let mut shelf = shelf(0..20, &[]);
    shelf.stock().is_open = true;
    let slow = Fault::WithholdCommits(Duration::from_secs(60)).on(Endpoint::Append);
    world.emulator.faults().push(slow.channel("c-0-of-2"));
    let source = shelf.clone();
    let more = async {
        sleep(Duration::from_secs(10)).await;
        let mut stock = source.stock();
        assert_eq!(stock.released, None);
        stock.rows.extend((20..40).map(|n| (n, row(n))));
        stock.rows.insert(31, json!({ "LIFT": "no number" }));
        stock.is_open = false;
    };
    let run = ingest::run(&client, "c", &mut shelf)
        .shards(2, |row| row["N"].as_u64().unwrap_or(1))
        .into_future();
    let (report, ()) = tokio::join!(run, more);
    let report = report.unwrap();
    assert_eq!((report.rows_committed, report.rows_rejected), (40, 1));
    let letters: Vec<_> = shelf.stock().letters.keys().copied().collect();
    assert_eq!(letters, (21..40).step_by(2).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn two_windows_in_one_append_are_both_kept() {
    let world = world();
    let client = client(&world).await;
    // Requests of a few rows: one append, many requests, and polls in between.
    let mut shelf = shelf(0..60_000, &[3, 59_990]);
    let report = ingest::run(&client, "c", &mut shelf)
        .batch_rows(60_000)
        .await
        .unwrap();
    assert_eq!(report.rows_rejected, 2);
    let stock = shelf.stock();
    assert_eq!(stock.rejects_seen["c"], 2);
    assert!(stock.letters.contains_key(&3) && stock.letters.contains_key(&59_990));
    assert_eq!(landed(&world), good(0..60_000, &[3, 59_990]));
}

#[tokio::test(start_paused = true)]
async fn rejects_are_kept_by_the_next_run_wherever_the_first_one_crashed() {
    for crash in (0..40).map(|i| Duration::from_millis(i * 73)) {
        let world = world();
        let mut shelf = shelf(0..60, &[7, 21, 22, 44]);
        let first = client(&world).await;
        let run = ingest::run(&first, "c", &mut shelf)
            .batch_rows(10)
            .max_in_flight(20);
        let _ = timeout(crash, run.into_future()).await;
        first.abort();
        let second = client(&world).await;
        ingest::run(&second, "c", &mut shelf).await.unwrap();
        let stock = shelf.stock();
        for n in [7, 21, 22, 44] {
            assert!(stock.letters.contains_key(&n), "{n} after {crash:?}");
        }
        assert_eq!(stock.rejects_seen["c"], 4, "{crash:?}");
        assert_eq!(landed(&world), good(0..60, &[7, 21, 22, 44]), "{crash:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn rejects_are_kept_even_if_the_channel_ended_before_they_were_reported() {
    let world = world();
    let client = client(&world).await;
    let mut shelf = shelf(0..40, &[5, 35]);
    // The rows are accepted, and committed only while the channel is opened again.
    let must = Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".to_owned());
    let faults = world.emulator.faults();
    faults.push(Fault::WithholdCommits(Duration::from_secs(3)).on(Endpoint::Append));
    faults.push(must.on(Endpoint::Status).after(1));
    let report = ingest::run(&client, "c", &mut shelf)
        .batch_rows(20)
        .max_in_flight(40)
        .await
        .unwrap();
    assert!(report.reopens >= 1);
    assert_eq!(report.rows_rejected, 2);
    let stock = shelf.stock();
    assert!(stock.letters.contains_key(&5) && stock.letters.contains_key(&35));
    assert_eq!(stock.rejects_seen["c"], 2);
    assert!(stock.messages.iter().all(|text| text.contains("NULL")));
    assert_eq!(landed(&world), good(0..40, &[5, 35]));
}

#[tokio::test(start_paused = true)]
async fn rejects_in_one_shard_are_that_shards_only() {
    let world = world();
    let client = client(&world).await;
    let mut shelf = shelf(0..40, &[]);
    // The hash of a row without a number is 0.
    shelf.stock().rows.insert(8, json!({ "LIFT": "no number" }));
    let report = ingest::run(&client, "c", &mut shelf)
        .shards(4, |row| row["N"].as_u64().unwrap_or(0))
        .await
        .unwrap();
    assert_eq!((report.rows_committed, report.rows_rejected), (40, 1));
    let stock = shelf.stock();
    let letters: Vec<_> = stock.letters.keys().copied().collect();
    assert_eq!(letters, (0..40).step_by(4).collect::<Vec<_>>());
    assert!(stock.letters.values().all(|channel| channel == "c-0-of-4"));
    assert_eq!(stock.rejects_seen.len(), 1);
    assert_eq!(landed(&world), good(0..40, &[8]));
}

#[tokio::test(start_paused = true)]
async fn dead_letters_that_cannot_be_kept_end_the_run_after_the_source_patience() {
    let world = world();
    let client = client(&world).await;
    let mut shelf = shelf(0..10, &[4]);
    shelf.stock().failures = vec![("dead letter", Failure::Passing); 10_000].into();
    let started = Instant::now();
    let error = ingest::run(&client, "c", &mut shelf).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source);
    assert!(error.to_string().contains("keep dead letters"), "{error}");
    let took = started.elapsed().as_secs();
    assert!((600..605).contains(&took), "{took}");
    // Pauses double up to half a minute, although the rows can be read each time.
    let tries = 10_000 - shelf.stock().failures.len();
    assert!((25..=60).contains(&tries), "{tries}");
    assert_eq!(shelf.stock().released, None);

    // By now everything is committed. The next run releases nothing either.
    let run = ingest::run(&client, "c", &mut shelf);
    let error = run
        .source_patience(Duration::from_secs(20))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source);
    assert_eq!(shelf.stock().released, None);

    shelf.stock().failures.clear();
    ingest::run(&client, "c", &mut shelf).await.unwrap();
    assert!(shelf.stock().letters.contains_key(&4));
    assert_eq!(landed(&world), good(0..10, &[4]));
}

#[tokio::test(start_paused = true)]
async fn channels_are_followed_while_dead_letters_cannot_be_kept() {
    let world = world();
    let client = client(&world).await;
    let mut shelf = shelf(0..40, &[]);
    // The hash of a row without a number is 0.
    shelf.stock().rows.insert(8, json!({ "LIFT": "no number" }));
    shelf.stock().failures = vec![("dead letter", Failure::Passing); 10_000].into();
    shelf.stock().is_open = true;
    let must = Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".to_owned());
    let emulator = world.emulator.clone();
    let (seen, source) = (shelf.clone(), shelf.clone());
    let mut committed = 0;
    let run = ingest::run(&client, "c", &mut shelf)
        .shards(2, |row| row["N"].as_u64().unwrap_or(0))
        .observe(|progress| {
            let mut stock = seen.stock();
            if stock.letters.is_empty() {
                assert_eq!(progress.released, None);
                committed = committed.max(progress.rows_committed);
            }
            if progress.reopens == 1 {
                stock.failures.clear();
                stock.is_open = false;
            }
        })
        .into_future();
    let trouble = async move {
        sleep(Duration::from_secs(60)).await;
        assert!(!source.stock().failures.is_empty());
        emulator
            .faults()
            .push(must.on(Endpoint::Status).channel("c-1-of-2"));
    };
    let (report, ()) = tokio::join!(run, trouble);
    let report = report.unwrap();
    assert_eq!(committed, 20, "the other shard's rows");
    assert_eq!((report.rows_committed, report.rows_rejected), (40, 1));
    assert_eq!(report.released, Some(39));
    assert_eq!(shelf.stock().rejects_seen["c-0-of-2"], 1);
    assert_eq!(landed(&world), good(0..40, &[8]));
}

/// An earlier run has committed many rows, one of them rejected, and told the source nothing: all of them may be the rejected one.
#[tokio::test(start_paused = true)]
async fn a_run_that_hands_over_many_dead_letters_stops_when_it_is_asked_to() {
    for asked_after_s in [2, 20] {
        let world = world();
        let client = client(&world).await;
        let mut channel = client.open_channel("c").await.unwrap();
        let mut shelf = shelf(0..20_000, &[5]);
        let rows: Vec<Value> = shelf.stock().rows.values().cloned().collect();
        channel.append_rows(rows, 0..).await.unwrap();
        channel.close().await.unwrap_err();
        shelf.stock().is_forgetful = true;
        shelf.stock().letters_take = Duration::from_millis(100);
        shelf.stock().rejects_seen.insert("c".to_owned(), 0);
        let start = Instant::now();
        let asked = Duration::from_secs(asked_after_s);
        ingest::run(&client, "c", &mut shelf)
            .batch_rows(10)
            .until(sleep(asked))
            .drain_timeout(Duration::from_secs(3))
            .await
            .unwrap();
        let took = start.elapsed();
        assert!(took < asked + Duration::from_secs(4), "{took:?}");
        // Nothing was counted as kept, so that the next run begins anew.
        assert_eq!(shelf.stock().rejects_seen["c"], 0);
    }
}
