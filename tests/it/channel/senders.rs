//! Many tasks append to one untracked channel through its senders.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use serde_json::json;
use snowpipe_streaming::{
    Channel, ErrorKind, InvalidationCause, PipePath, Receipt, Recovery, RowBatch,
    StreamingIngestClient, Untracked, WeakChannelSender,
};
use snowpipe_streaming_emulator::tables::Catalog;
use snowpipe_streaming_emulator::{Endpoint, Fault};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::support::{World, cause, ndjson, noisy, row, rows};

const HOUR: Duration = Duration::from_secs(3_600);
const REOPEN: &str = "ERR_CHANNEL_MUST_BE_REOPENED";

async fn open(client: &StreamingIngestClient) -> Channel<Untracked> {
    client.open_untracked_channel("u").await.unwrap()
}

fn batch(range: Range<i64>) -> RowBatch {
    let rows: Vec<_> = noisy(range).collect();
    RowBatch::from_ndjson(ndjson(&rows)).unwrap()
}

/// The rows in the table in the order of their numbers.
fn sorted(world: &World) -> Vec<i64> {
    let mut landed = world.landed();
    landed.sort_unstable();
    landed
}

fn all(range: Range<i64>) -> Vec<i64> {
    range.collect()
}

/// Appends the rows of a task in every form. Each receipt is for its own rows: they are in the table when it resolves.
async fn append_in_all_forms(world: &World, rides: &WeakChannelSender, rows: Range<i64>) {
    let ends = [1, 2, 502, rows.end - rows.start].map(|count| rows.start + count);
    let one = rides.append_row(&row(rows.start)).await.unwrap();
    let json = row(ends[0]).to_string();
    let raw = rides.append_json(json).await.unwrap();
    let ready = rides.append_batch(&batch(ends[1]..ends[2])).await.unwrap();
    let many = rides.append_rows(noisy(ends[2]..ends[3])).await.unwrap();
    let mut first = rows.start;
    for (receipt, end) in [one, raw, ready, many].into_iter().zip(ends) {
        receipt.committed().await.unwrap();
        let landed: BTreeSet<_> = world.landed().into_iter().collect();
        assert!((first..end).all(|n| landed.contains(&n)), "{first}..{end}");
        first = end;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tasks_on_several_threads_append_at_once_and_each_row_lands_once() {
    // The last append of a task has several pieces, so others append between them.
    const ROWS: i64 = 4_000;
    const TASKS: i64 = 8;
    let world = World::with(|e| e.commit_delay(Duration::from_millis(5)));
    let world: &'static World = Box::leak(Box::new(world));
    let lag = Duration::from_millis(5);
    let builder = world.builder().offload_threshold(0).max_client_lag(lag);
    let client = builder.memory_budget(4 << 20).build().await.unwrap();
    let channel = open(&client).await;
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let rides = channel.weak_sender();
        tasks.spawn(async move {
            append_in_all_forms(world, &rides, task * ROWS..(task + 1) * ROWS).await;
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    let report = channel.close().await.unwrap();
    assert_eq!(report.rows_committed, (TASKS * ROWS).unsigned_abs());
    assert_eq!(sorted(world), all(0..TASKS * ROWS));
    assert_eq!(client.memory_in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_receipt_reports_the_rejects_of_its_own_rows() {
    let catalog = Catalog::from_ddl("CREATE TABLE DB.PUBLIC.T (N NUMBER NOT NULL);").unwrap();
    let world = World::with(|e| e.catalog(catalog));
    let pipe = PipePath::for_table("DB", "PUBLIC", "T").unwrap();
    let client = world.builder_for(pipe).build().await.unwrap();
    let channel = open(&client).await;
    let mut outcomes = Vec::new();
    for row in [json!({ "N": 1 }), json!({ "M": 2 }), json!({ "N": 3 })] {
        let receipt = channel.weak_sender().append_row(&row).await.unwrap();
        let outcome = receipt.committed().await;
        outcomes.push(outcome.map_err(|error| error.kind()));
    }
    assert_eq!(outcomes, [Ok(()), Err(ErrorKind::RowsRejected), Ok(())]);
    let none = channel.weak_sender().append_rows([(); 0]).await.unwrap();
    none.committed().await.unwrap();
    let report = channel.close().await.unwrap();
    assert_eq!((report.rows_committed, report.uncommitted.len()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_sender_fails_while_its_channel_is_invalidated_and_works_after_the_reopen() {
    let world = World::new();
    let builder = world.builder().recovery(Recovery::Surface);
    let client = builder.build().await.unwrap();
    let mut channel = open(&client).await;
    let rides = channel.weak_sender();
    let must = Fault::Invalidate(REOPEN.to_owned());
    world.emulator.faults().push(must.on(Endpoint::Append));
    let lost = rides.append_row(&row(0)).await.unwrap();
    channel.invalidated().await;
    for _ in 0..2 {
        let error = rides.append_row(&row(1)).await.unwrap_err();
        assert_eq!(cause(&error), InvalidationCause::MustReopen);
        assert!(!rides.is_closed());
    }
    let late = rides.append_row(&row(1));
    channel.reopen().await.unwrap();
    assert_eq!(channel.take_uncommitted_rows().await.unsent_count(), 1);
    // A future appends to the channel as it was at the call.
    let error = late.await.unwrap_err();
    assert_eq!(cause(&error), InvalidationCause::MustReopen);
    let error = lost.committed().await.unwrap_err();
    assert!(!error.is_ambiguous(), "{error}");
    let receipt = rides.append_row(&row(2)).await.unwrap();
    receipt.committed().await.unwrap();
    assert_eq!(world.landed(), [2]);
    channel.close().await.unwrap();
}

/// Appends each row until its receipt says that it is committed.
async fn insist(rides: WeakChannelSender, rows: Range<i64>) -> u64 {
    let mut failed = 0;
    for n in rows {
        let appended = async { rides.append_row(&row(n)).await?.committed().await };
        let mut outcome = appended.await;
        while let Err(error) = outcome {
            assert!(matches!(error.kind(), ErrorKind::Invalidated(_)), "{error}");
            assert!(!error.is_ambiguous(), "{error}");
            failed += 1;
            sleep(Duration::from_millis(20)).await;
            outcome = async { rides.append_row(&row(n)).await?.committed().await }.await;
        }
    }
    failed
}

#[tokio::test(start_paused = true)]
async fn senders_go_on_after_reopens_in_the_middle() {
    for recovery in [Recovery::Surface, Recovery::Replay] {
        let world = World::new();
        let lag = Duration::from_millis(10);
        let builder = world.builder().recovery(recovery).max_client_lag(lag);
        let client = builder.build().await.unwrap();
        let mut channel = open(&client).await;
        for nth in [2, 5] {
            let must = Fault::Invalidate(REOPEN.to_owned());
            let rule = must.on(Endpoint::Append).after(nth);
            world.emulator.faults().push(rule);
        }
        let mut tasks = JoinSet::new();
        for task in 0..10 {
            tasks.spawn(insist(channel.weak_sender(), 20 * task..20 * task + 20));
        }
        let own = async {
            loop {
                channel.invalidated().await;
                channel.reopen().await.unwrap();
                // The tasks append them again.
                drop(channel.take_uncommitted_rows().await);
            }
        };
        let failed = tokio::select! {
            biased;
            failed = tasks.join_all() => failed.iter().sum::<u64>(),
            () = own => unreachable!(),
        };
        assert_eq!(failed > 0, recovery == Recovery::Surface, "{failed} failed");
        assert_eq!(sorted(&world), all(0..200), "{recovery:?}");
        channel.close().await.unwrap();
    }
}

/// Appends rows until the channel accepts no more. Returns the rows whose append resolved, and the last error.
async fn append_until_closed(rides: WeakChannelSender, rows: Range<i64>) -> (Vec<i64>, ErrorKind) {
    let mut appended = Vec::new();
    for n in rows {
        match rides.append_row(&noisy(n..n + 1).next()).await {
            Ok(_) => appended.push(n),
            Err(error) => return (appended, error.kind()),
        }
        // Let other tasks run.
        tokio::task::yield_now().await;
    }
    panic!("the channel takes everything");
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Close,
    Drop,
    DropInvalidated,
}

#[tokio::test(start_paused = true)]
async fn what_was_appended_before_the_end_is_committed_and_nothing_after_it() {
    for end in [End::Close, End::Drop, End::DropInvalidated] {
        let world = World::new();
        let client = world.builder().memory_budget(256 << 10).build();
        let client = client.await.unwrap();
        let channel = open(&client).await;
        let rides = channel.weak_sender();
        let fault = match end {
            End::DropInvalidated => Fault::Invalidate(REOPEN.to_owned()),
            _ => Fault::Refuse,
        };
        // Nothing is sent, so memory is soon used up, and the senders wait.
        let rule = fault.on(Endpoint::Append).always();
        let hold = Fault::Delay(Duration::from_secs(3)).on(Endpoint::Append);
        world.emulator.faults().push(rule);
        world.emulator.faults().push(hold);
        let mut tasks = JoinSet::new();
        for task in 0..10 {
            let rows = 10_000 * task..10_000 * task + 10_000;
            tasks.spawn(append_until_closed(channel.weak_sender(), rows));
        }
        sleep(Duration::from_secs(1)).await;
        let kinds = |kind| move |(_, last): &(Vec<i64>, ErrorKind)| *last == kind;
        if end == End::DropInvalidated {
            let invalidated = ErrorKind::Invalidated(InvalidationCause::MustReopen);
            assert_eq!(channel.invalidated().await.kind(), invalidated);
            assert!(tasks.join_all().await.iter().all(kinds(invalidated)));
            drop(channel);
            let error = rides.append_row(&row(-1)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ChannelClosed);
            assert!(rides.is_closed());
            continue;
        }
        assert_eq!(tasks.len(), 10);
        assert!(!rides.is_closed());
        let ending = tokio::spawn(async move {
            if end == End::Close {
                assert!(channel.close().await.unwrap().is_clean());
            }
        });
        let before = Instant::now();
        let done = tasks.join_all().await;
        assert_eq!(before, Instant::now(), "they fail at once");
        assert!(done.iter().all(kinds(ErrorKind::ChannelClosed)));
        assert!(rides.is_closed());
        assert_eq!(world.landed(), [0; 0]);
        world.emulator.faults().clear();
        ending.await.unwrap();
        let mut appended: Vec<_> = done.into_iter().flat_map(|(rows, _)| rows).collect();
        appended.sort_unstable();
        assert!(appended.len() > 100, "{}", appended.len());
        let reopened = timeout(HOUR, async {
            loop {
                // A dropped channel holds its name until all is committed.
                match client.open_untracked_channel("u").await {
                    Ok(channel) => return channel,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::ChannelAlreadyOpen),
                }
                sleep(Duration::from_secs(1)).await;
            }
        });
        let reopened = reopened.await.unwrap();
        assert_eq!(sorted(&world), appended, "{end:?}");
        // A channel of the same name is another one.
        let error = rides.append_row(&row(-1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ChannelClosed);
        drop(reopened);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sender_keeps_neither_its_channel_nor_its_client() {
    let world = World::new();
    let client = world.client().await;
    let channel = open(&client).await;
    let rides = channel.weak_sender();
    let receipt = rides.append_row(&row(0)).await.unwrap();
    drop(rides.clone());
    let second = rides.append_row(&row(1)).await.unwrap();
    drop((channel, client));
    for receipt in [receipt, second] {
        receipt.committed().await.unwrap();
    }
    // Neither drivers nor the status poller are left.
    sleep(Duration::from_secs(60)).await;
    let metrics = tokio::runtime::Handle::current().metrics();
    assert_eq!(metrics.num_alive_tasks(), 0);
    let error = rides.append_row(&row(2)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ChannelClosed);
    assert_eq!(world.landed(), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_client_is_the_end_of_its_senders() {
    let world = World::new();
    let client = world.client().await;
    let channel = open(&client).await;
    let rides = channel.weak_sender();
    client.abort();
    let error = rides.append_row(&row(0)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ClientClosed);
    drop(channel);
    assert!(rides.is_closed());
}

#[tokio::test(start_paused = true)]
async fn senders_that_wait_for_memory_all_have_their_turn() {
    const BUDGET: usize = 256 << 10;
    const CHANNELS: i64 = 10;
    const SENDERS: i64 = 20;
    const ROWS: i64 = 400;
    let world = World::new();
    let slow = world.transport().with_latency(Duration::from_millis(50));
    let builder = world.builder().transport(slow).memory_budget(BUDGET);
    let client = builder.build().await.unwrap();
    let mut channels = Vec::new();
    let mut tasks: JoinSet<Vec<Receipt>> = JoinSet::new();
    for n in 0..CHANNELS {
        let channel = client.open_untracked_channel(format!("u{n}"));
        let channel = channel.await.unwrap();
        for sender in 0..SENDERS {
            let rides = channel.weak_sender();
            let first = (n * SENDERS + sender) * ROWS;
            let middle = first + ROWS - 10;
            tasks.spawn(async move {
                let rows = rides.append_rows(noisy(first..middle));
                let mut receipts = vec![rows.await.unwrap()];
                for n in middle..first + ROWS {
                    receipts.push(rides.append_row(&row(n)).await.unwrap());
                }
                receipts
            });
        }
        channels.push(channel);
    }
    let all_appended = async {
        while let Some(receipts) = tasks.join_next().await {
            for receipt in receipts.unwrap() {
                receipt.accepted().await.unwrap();
            }
        }
    };
    let watch = async {
        loop {
            assert!(client.memory_in_use() <= BUDGET);
            sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        biased;
        done = timeout(HOUR, all_appended) => done.expect("none waits forever"),
        () = watch => unreachable!(),
    }
    for channel in channels {
        channel.close().await.unwrap();
    }
    assert_eq!(sorted(&world), all(0..CHANNELS * SENDERS * ROWS));
    assert_eq!(client.memory_in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn senders_that_wait_for_the_compression_all_learn_of_its_end() {
    const SENDERS: i64 = 40;
    const ROWS: i64 = 2_000;
    let world = World::new();
    let client = world.client().await;
    let channel = open(&client).await;
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for sender in 0..SENDERS {
        let rides = channel.weak_sender();
        let rows = batch(sender * ROWS..(sender + 1) * ROWS);
        tasks.spawn(async move { rides.append_batch(&rows).await.unwrap() });
    }
    while let Some(receipt) = tasks.join_next().await {
        receipt.unwrap();
    }
    assert_eq!(start, Instant::now(), "one waited for the lag of a batch");
    channel.close().await.unwrap();
    assert_eq!(sorted(&world), all(0..SENDERS * ROWS));
}

#[tokio::test(start_paused = true)]
async fn what_a_sender_cannot_append_is_refused_as_the_channel_refuses_it() {
    let world = World::new();
    let timeout = Duration::from_secs(2);
    let builder = world.builder().memory_budget(256 << 10);
    let client = builder.append_timeout(timeout).build().await.unwrap();
    let channel = open(&client).await;
    let rides = channel.weak_sender();
    let error = rides.append_row(&7).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRow);
    let error = rides.append_json("{").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRow);
    let error = rides.append_rows(vec![json!({}), json!(7)]).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidRow);
    let large = json!({ "N": "x".repeat(100 << 10) });
    let error = rides.append_row(&large).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    let refuse = Fault::Refuse.on(Endpoint::Append).always();
    world.emulator.faults().push(refuse);
    let rows = rows(0..10_000);
    let error = rides.append_rows(&rows).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Backpressure);
}
