//! The row counters of a status as evidence of a commit: counters that come after the token, counters that stay behind, and
//! appends of a superseded writer that are answered 200 and dropped. Paused clock throughout.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use snowpipe_streaming::transport::{Request, Response, Transport, TransportError};
use snowpipe_streaming::{CommitEvidence, ErrorKind, InvalidationCause, Recovery, ingest};
use snowpipe_streaming_emulator::answers::{Answers, RowCounters, SupersededToken};
use snowpipe_streaming_emulator::tables::Catalog;
use snowpipe_streaming_emulator::{Endpoint, Fault, MemoryTransport};
use tokio::time::{Instant, sleep, timeout};

use crate::ingest::rejects::{good, landed, shelf};
use crate::support::{World, cause, row, rows};

/// A table that refuses rows without a number, on a server with these answers.
pub fn world_with(answer: impl FnOnce(&mut Answers)) -> World {
    let ddl = "CREATE TABLE DB.PUBLIC.RIDES (N NUMBER NOT NULL, LIFT VARCHAR);
        CREATE PIPE DB.PUBLIC.RIDES_PIPE AS COPY INTO DB.PUBLIC.RIDES FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING'))
        MATCH_BY_COLUMN_NAME=CASE_SENSITIVE;";
    let catalog = Catalog::from_ddl(ddl).unwrap();
    let mut answers = Answers::default();
    answer(&mut answers);
    World::with(|e| {
        e.catalog(catalog)
            .answers(answers)
            .commit_delay(Duration::from_secs(1))
    })
}

fn late() -> World {
    world_with(|answers| answers.wire.row_counters = RowCounters::Late)
}

#[tokio::test(start_paused = true)]
async fn receipts_wait_for_counters_that_come_after_the_token() {
    let world = late();
    let client = world.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    let start = Instant::now();
    let bad = [row(0), json!({ "LIFT": "no number" }), row(2)];
    let receipt = channel.append_rows(&bad, 0..).await.unwrap();
    let error = receipt.committed().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RowsRejected, "{error}");
    assert!(error.is_committed());
    let took = start.elapsed();
    let bounds = Duration::from_secs(5)..Duration::from_secs(8);
    assert!(bounds.contains(&took), "{took:?}");
    // The next rows are good, and nothing is reported twice.
    let receipt = channel.append_rows(&rows(3..6), 3..).await.unwrap();
    receipt.committed().await.unwrap();
    let report = channel.close().await.unwrap();
    assert_eq!((report.rows_committed, report.rows_rejected()), (6, 1));
    assert_eq!(landed(&world), [0, 2, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_close_reports_rejects_that_are_counted_after_the_token() {
    let world = late();
    let client = world.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    channel
        .append_row(&json!({ "LIFT": "no number" }), 0)
        .await
        .unwrap();
    let error = channel.close().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RowsRejected, "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_token_alone_decides_if_asked_for() {
    let world = late();
    let builder = world.builder().commit_evidence(CommitEvidence::Token);
    let client = builder.build().await.unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    let start = Instant::now();
    let receipt = channel
        .append_row(&json!({ "LIFT": "no number" }), 0)
        .await
        .unwrap();
    receipt.committed().await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(4));
}

/// Where the counters come with the token, waiting for them costs neither time nor requests.
#[tokio::test(start_paused = true)]
async fn counters_that_come_with_the_token_cost_nothing() {
    let mut costs = Vec::new();
    for evidence in [CommitEvidence::Token, CommitEvidence::RowCounts] {
        let world = World::new();
        let builder = world.builder().commit_evidence(evidence).seed(7);
        let client = builder.build().await.unwrap();
        let mut channel = client.open_channel("c").await.unwrap();
        let start = Instant::now();
        let mut known = Vec::new();
        for n in 0..50 {
            let receipt = channel.append_row(&row(n), n).await.unwrap();
            receipt.committed().await.unwrap();
            known.push(start.elapsed());
        }
        channel.close().await.unwrap();
        let requests: Vec<_> = world
            .emulator
            .log()
            .iter()
            .map(|one| one.endpoint)
            .collect();
        costs.push((known, requests));
    }
    assert_eq!(costs[0], costs[1]);
}

#[tokio::test(start_paused = true)]
async fn a_run_keeps_rejects_that_are_counted_after_the_token() {
    let world = late();
    let builder = world.builder().max_client_lag(Duration::from_millis(100));
    let client = builder.build().await.unwrap();
    let mut shelf = shelf(0..30, &[12, 29]);
    let report = ingest::run(&client, "c", &mut shelf)
        .batch_rows(10)
        .max_in_flight(10)
        .await
        .unwrap();
    assert_eq!((report.rows_committed, report.rows_rejected), (30, 2));
    let stock = shelf.stock();
    let letters: Vec<i64> = stock.letters.keys().copied().collect();
    assert!(
        letters.contains(&12) && letters.contains(&29),
        "{letters:?}"
    );
    let kept_before_release = |letter: &str, release: &str| {
        let at = |call: &str| stock.calls.iter().position(|c| c.contains(call)).unwrap();
        at(letter) < at(release)
    };
    assert!(
        kept_before_release(" 12,", "release 19"),
        "{:?}",
        stock.calls
    );
    assert!(
        kept_before_release(" 29]", "release 29"),
        "{:?}",
        stock.calls
    );
    assert_eq!(landed(&world), good(0..30, &[12, 29]));
}

#[tokio::test(start_paused = true)]
async fn a_run_keeps_rejects_that_are_counted_after_a_reopen() {
    let world = late();
    let client = world.client().await;
    let mut shelf = shelf(0..20, &[3]);
    shelf.stock().is_open = true;
    let run = ingest::run(&client, "c", &mut shelf)
        .batch_rows(10)
        .until(sleep(Duration::from_secs(30)));
    let invalidate = async {
        // The rows are committed, and their counters are not there yet.
        while world.emulator.rows("DB.PUBLIC.RIDES").unwrap().is_empty() {
            sleep(Duration::from_millis(50)).await;
        }
        let fault = Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".to_owned());
        world.emulator.faults().push(fault.on(Endpoint::Status));
    };
    let (report, ()) = tokio::join!(run, invalidate);
    let report = report.unwrap();
    assert_eq!((report.reopens, report.rows_rejected), (1, 1));
    let stock = shelf.stock();
    assert!(stock.letters.contains_key(&3), "{:?}", stock.calls);
    assert_eq!(landed(&world), good(0..20, &[3]));
}

/// Shows fewer inserted rows than there are.
#[derive(Debug)]
struct Undercounting {
    inner: MemoryTransport,
    missing: Arc<AtomicU64>,
}

#[async_trait::async_trait]
impl Transport for Undercounting {
    async fn call(&self, request: Request) -> Result<Response, TransportError> {
        let response = self.inner.call(request).await?;
        let (parts, body) = response.into_parts();
        let Ok(mut answer) = serde_json::from_slice::<Value>(&body) else {
            return Ok(Response::from_parts(parts, body));
        };
        let missing = self.missing.load(Ordering::Relaxed);
        let statuses = answer.get_mut("channel_statuses");
        for status in statuses
            .and_then(Value::as_object_mut)
            .into_iter()
            .flatten()
        {
            let inserted = status.1["rows_inserted"].as_u64().unwrap();
            status.1["rows_inserted"] = json!(inserted.saturating_sub(missing));
        }
        Ok(Response::from_parts(parts, answer.to_string().into()))
    }
}

#[tokio::test(start_paused = true)]
async fn rows_that_the_server_does_not_count_are_a_conflict() {
    for recovery in [Recovery::Surface, Recovery::Replay] {
        let world = world_with(|_| ());
        let missing = Arc::new(AtomicU64::new(0));
        let transport = Undercounting {
            inner: world.transport(),
            missing: Arc::clone(&missing),
        };
        let builder = world.builder().transport(transport).recovery(recovery);
        let client = builder.build().await.unwrap();
        let mut channel = client.open_channel("c").await.unwrap();
        let first = channel.append_rows(&rows(0..5), 0..).await.unwrap();
        first.committed().await.unwrap();
        missing.store(2, Ordering::Relaxed);
        let second = channel.append_rows(&rows(5..10), 5..).await.unwrap();
        let error = second.committed().await.unwrap_err();
        assert_eq!(cause(&error), InvalidationCause::OffsetConflict, "{error}");
        assert!(error.is_ambiguous());
        assert!(error.to_string().contains("2 rows more"), "{error}");
        first.committed().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn counters_that_never_move_are_ignored() {
    let world = world_with(|_| ());
    let transport = Undercounting {
        inner: world.transport(),
        missing: Arc::new(AtomicU64::new(u64::MAX)),
    };
    let client = world.builder().transport(transport).build().await.unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    let start = Instant::now();
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    receipt.committed().await.unwrap();
    let first = start.elapsed();
    let bounds = Duration::from_secs(30)..Duration::from_secs(35);
    assert!(bounds.contains(&first), "{first:?}");
    let start = Instant::now();
    let receipt = channel.append_row(&row(1), 1).await.unwrap();
    receipt.committed().await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_superseded_append_that_is_dropped_fences_the_writer() {
    let world = world_with(|a| a.wire.superseded_token = SupersededToken::DropWithOwners);
    for recovery in [Recovery::Surface, Recovery::Replay] {
        let name = format!("{recovery:?}");
        let ours = world.builder().recovery(recovery).build().await.unwrap();
        let theirs = world.client().await;
        let mut channel = ours.open_channel(&name).await.unwrap();
        let first = channel.append_row(&row(0), 0).await.unwrap();
        first.committed().await.unwrap();
        // It opens the channel and does not write.
        let _thief = theirs.open_channel(&name).await.unwrap();
        let second = channel.append_row(&row(1), 1).await.unwrap();
        if recovery == Recovery::Surface {
            let error = second.accepted().await.unwrap_err();
            assert_eq!(cause(&error), InvalidationCause::Fenced, "{error}");
            channel.reopen().await.unwrap();
            assert_eq!(channel.resume_after::<i64>().unwrap(), Some(0));
            let again = channel.append_row(&row(1), 1).await.unwrap();
            again.committed().await.unwrap();
        } else {
            second.committed().await.unwrap();
        }
        let third = channel.append_row(&row(2), 2).await.unwrap();
        third.committed().await.unwrap();
    }
    assert_eq!(landed(&world), [0, 0, 1, 1, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_superseded_writer_that_is_not_told_so_conflicts_or_stalls() {
    for writes in [false, true] {
        let world = world_with(|a| a.wire.superseded_token = SupersededToken::DropWithOld);
        let (ours, theirs) = (world.client().await, world.client().await);
        let mut channel = ours.open_channel("c").await.unwrap();
        let mut thief = theirs.open_channel("c").await.unwrap();
        let dropped = channel.append_row(&row(0), 0).await.unwrap();
        dropped.accepted().await.unwrap();
        let other = async {
            for n in 100..200 {
                if writes {
                    thief.append_row(&row(n), n).await.unwrap();
                }
                sleep(Duration::from_secs(1)).await;
            }
            std::future::pending::<()>().await;
        };
        let error = tokio::select! {
            outcome = timeout(Duration::from_secs(600), dropped.committed()) => outcome.unwrap().unwrap_err(),
            () = other => unreachable!(),
        };
        let expected = if writes {
            InvalidationCause::OffsetConflict
        } else {
            InvalidationCause::CommitStalled
        };
        assert_eq!(cause(&error), expected, "{error}");
        assert!(!landed(&world).contains(&0));
    }
}

#[tokio::test(start_paused = true)]
async fn rejects_of_an_earlier_program_that_are_counted_late_are_in_a_window_without_a_start() {
    let world = late();
    let client = world.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    channel
        .append_row(&json!({ "LIFT": "no number" }), 0)
        .await
        .unwrap();
    channel.initiate_flush();
    while world.emulator.rows("DB.PUBLIC.RIDES").unwrap().is_empty()
        && client
            .channel_statuses(["c"])
            .await
            .unwrap()
            .values()
            .all(|status| status.latest_committed_offset_token().is_none())
    {
        sleep(Duration::from_millis(100)).await;
    }
    // The program dies before the counters come.
    client.abort();
    let client = world.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    assert_eq!(channel.resume_after::<i64>().unwrap(), Some(0));
    channel.append_row(&row(1), 1).await.unwrap();
    let error = channel.close().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RowsRejected, "{error}");
    let window = error.rejects().unwrap();
    assert_eq!((window.count, window.after.clone()), (1, None));
}

#[tokio::test(start_paused = true)]
async fn a_run_keeps_rejects_of_an_earlier_run_that_are_counted_late() {
    let world = late();
    let mut shelf = shelf(0..20, &[3]);
    let client = world.client().await;
    let crash = async {
        let is_committed = |status: &snowpipe_streaming::ChannelStatus| {
            status.latest_committed_offset_token().is_some()
        };
        while !client
            .channel_statuses(["c"])
            .await
            .unwrap()
            .values()
            .any(is_committed)
        {
            sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        _ = ingest::run(&client, "c", &mut shelf).into_future() => panic!("it ends too early"),
        () = crash => {}
    }
    client.abort();
    assert!(shelf.stock().released.is_none());
    let client = world.client().await;
    ingest::run(&client, "c", &mut shelf).await.unwrap();
    let stock = shelf.stock();
    assert!(stock.letters.contains_key(&3), "{:?}", stock.calls);
    assert_eq!(stock.released, Some(19));
    assert_eq!(landed(&world), good(0..20, &[3]));
}

/// The rows from before the reopen are counted seconds later. There are no others that the close could wait for.
#[tokio::test(start_paused = true)]
async fn a_close_after_a_reopen_reports_rejects_that_are_counted_late() {
    let world = late();
    let client = world.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    let bad = json!({ "LIFT": "no number" });
    channel.append_row(&bad, 0).await.unwrap();
    channel.initiate_flush();
    sleep(Duration::from_millis(1_500)).await;
    channel.reopen().await.unwrap();
    assert_eq!(channel.resume_after::<i64>().unwrap(), Some(0));
    let error = channel.close().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RowsRejected, "{error}");
    assert_eq!(error.rejects().unwrap().count, 1);
}
