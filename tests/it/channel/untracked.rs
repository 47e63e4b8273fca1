//! Rows without offset tokens: nobody can read them again, so the client sends them again, or hands them back. Paused clock
//! throughout.

use std::time::Duration;

use snowpipe_streaming::{ErrorKind, InvalidationCause, Recovery, UncommittedRows};
use snowpipe_streaming_emulator::{Endpoint, Fault};
use tokio::time::sleep;
use tracing::Level;

use crate::support::{World, cause, row, rows};
use snowpipe_connector_support::trace::Trace;

fn must_reopen() -> Fault {
    Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".to_owned())
}

/// The numbers of the rows that are not in the table, and of those that may be.
fn numbers(given_up: &UncommittedRows) -> (Vec<i64>, Vec<i64>) {
    let of = |rows: snowpipe_streaming::RowBatch| {
        let lines = rows.as_bytes().split(|byte| *byte == b'\n');
        let lines = lines.filter(|line| !line.is_empty());
        let row = |line| serde_json::from_slice::<serde_json::Value>(line).unwrap();
        lines.map(|line| row(line)["N"].as_i64().unwrap()).collect()
    };
    (of(given_up.unsent().unwrap()), of(given_up.sent().unwrap()))
}

#[tokio::test(start_paused = true)]
async fn rows_in_memory_survive_a_demand_to_reopen() {
    for endpoint in [Endpoint::Append, Endpoint::Status] {
        let world = World::new();
        let client = world.client().await;
        let mut channel = client.open_untracked_channel("c").await.unwrap();
        channel.append_row(&row(0)).await.unwrap();
        channel.wait_for_commit().await.unwrap();
        world.emulator.faults().push(must_reopen().on(endpoint));
        let receipt = channel.append_rows(rows(1..4)).await.unwrap();
        receipt.committed().await.unwrap();
        let report = channel.close().await.unwrap();
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(world.landed(), [0, 1, 2, 3]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_rows_survive_a_demand_to_reopen() {
    let world = World::new();
    let client = world.client().await;
    let mut channel = client.open_untracked_channel("c").await.unwrap();
    world
        .emulator
        .faults()
        .push(must_reopen().on(Endpoint::Append));
    let receipt = channel.append_rows(rows(0..3)).await.unwrap();
    receipt.committed().await.unwrap();
    sleep(Duration::from_secs(600)).await;
    channel.append_row(&row(3)).await.unwrap();
    channel.close().await.unwrap();
    assert_eq!(world.landed(), [0, 1, 2, 3]);
}

/// The first rows are committed. Of the others, some are never sent, and some are accepted without a commit.
#[tokio::test(start_paused = true)]
async fn an_invalidation_that_surfaces_hands_back_what_was_not_sent() {
    let world = World::new();
    let client = world.client().await;
    let opening = client.open_untracked_channel("c");
    let mut channel = opening.recovery(Recovery::Surface).await.unwrap();
    channel.append_row(&row(0)).await.unwrap();
    channel.wait_for_commit().await.unwrap();
    world
        .emulator
        .faults()
        .push(must_reopen().on(Endpoint::Append));
    channel.append_rows(rows(1..4)).await.unwrap();
    let error = channel.invalidated().await;
    assert_eq!(cause(&error), InvalidationCause::MustReopen);
    channel.reopen().await.unwrap();
    let given_up = channel.take_uncommitted_rows().await;
    assert_eq!(numbers(&given_up), (vec![1, 2, 3], vec![]));
    assert!(channel.take_uncommitted_rows().await.is_empty());
    assert_eq!(client.memory_in_use(), 0);
    channel
        .append_batch(&given_up.unsent().unwrap())
        .await
        .unwrap();
    channel.close().await.unwrap();
    assert_eq!(world.landed(), [0, 1, 2, 3]);
}

/// Rows that are compressed, that are being compressed, and that are in the open batch, when the client is aborted; and rows that
/// are accepted and not committed.
#[tokio::test(start_paused = true)]
async fn an_abort_and_a_close_that_runs_out_of_time_hand_back_every_row() {
    for aborts in [true, false] {
        for accepted in [false, true] {
            for waits_ms in [0, 1, 50, 2_000] {
                let text = format!("aborts {aborts}, accepted {accepted}, after {waits_ms} ms");
                let world = World::new();
                let builder = world.builder().close_timeout(Duration::from_secs(5));
                let client = builder.build().await.unwrap();
                let mut channel = client.open_untracked_channel("c").await.unwrap();
                let fault = if accepted {
                    Fault::WithholdCommits(Duration::MAX)
                } else {
                    Fault::Refuse
                };
                let faults = world.emulator.faults();
                faults.push(fault.on(Endpoint::Append).channel("c").always());
                for first in [0, 10, 20] {
                    channel.append_rows(rows(first..first + 10)).await.unwrap();
                    channel.initiate_flush();
                    sleep(Duration::from_millis(waits_ms)).await;
                }
                if aborts {
                    client.abort();
                }
                let error = channel.close().await.unwrap_err();
                let kind = if aborts {
                    ErrorKind::ClientClosed
                } else {
                    ErrorKind::Timeout
                };
                assert_eq!(error.kind(), kind, "{text}: {error}");
                let (unsent, sent) = numbers(error.uncommitted_rows().unwrap());
                let all: Vec<i64> = unsent.iter().chain(&sent).copied().collect();
                let mut sorted = all.clone();
                sorted.sort_unstable();
                assert_eq!(sorted, (0..30).collect::<Vec<_>>(), "{text}");
                if !accepted {
                    assert_eq!(world.landed(), Vec::<i64>::new());
                }
                let report = error.close_report().unwrap();
                let in_report: u64 = report.uncommitted.iter().map(|range| range.rows).sum();
                assert_eq!(in_report, 30, "{text}");
                drop(error);
                assert_eq!(client.memory_in_use(), 0, "{text}");
            }
        }
    }
}

/// The rows that nobody takes stay within the memory budget, and the error says how to free it.
#[tokio::test(start_paused = true)]
async fn rows_that_nobody_takes_use_up_the_budget_and_no_more() {
    let world = World::new();
    let builder = world.builder().memory_budget(1 << 20);
    let client = builder.recovery(Recovery::Surface).build().await.unwrap();
    let mut channel = client.open_untracked_channel("c").await.unwrap();
    let faults = world.emulator.faults();
    let mut dice = fastrand::Rng::with_seed(1);
    let mut kept = 0_u64;
    let error = loop {
        faults.push(must_reopen().on(Endpoint::Append));
        // It compresses badly, so that ten such rows or so use up the budget.
        let text: String = std::iter::repeat_with(|| dice.alphanumeric())
            .take(100_000)
            .collect();
        let wide = serde_json::json!({ "N": kept, "LIFT": text });
        match channel.append_row(&wide).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
        channel.invalidated().await;
        channel.reopen().await.unwrap();
        assert!(kept < 1_000);
    };
    assert_eq!(error.kind(), ErrorKind::Backpressure, "{error}");
    assert!(client.memory_in_use() <= 1 << 20);
    let rows = channel.take_uncommitted_rows().await;
    assert_eq!(rows.unsent_count(), kept);
    assert_eq!(client.memory_in_use(), 0);
}

/// Nobody can take the rows of a channel whose handle is gone, so they are not held.
#[tokio::test(start_paused = true)]
async fn a_dropped_channel_holds_no_rows() {
    let world = World::new();
    let builder = world.builder().close_timeout(Duration::from_secs(5));
    let client = builder.build().await.unwrap();
    let mut channel = client.open_untracked_channel("c").await.unwrap();
    let faults = world.emulator.faults();
    faults.push(Fault::Refuse.on(Endpoint::Append).always());
    let receipt = channel.append_rows(rows(0..10)).await.unwrap();
    drop(channel);
    receipt.committed().await.unwrap_err();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(client.memory_in_use(), 0);
}

/// Long batches are compressed on other threads. The end may come before, while and after that.
#[tokio::test(start_paused = true)]
async fn rows_that_are_being_compressed_are_handed_back() {
    for turns in 0..12 {
        let world = World::new();
        let client = world.client().await;
        let mut channel = client.open_untracked_channel("c").await.unwrap();
        let faults = world.emulator.faults();
        faults.push(Fault::Refuse.on(Endpoint::Append).always());
        let text = "x".repeat(300_000);
        let wide = |n: i64| serde_json::json!({ "N": n, "LIFT": text });
        channel.append_rows((0..9).map(wide)).await.unwrap();
        channel.initiate_flush();
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        client.abort();
        let rows = channel.take_uncommitted_rows().await;
        let (unsent, sent) = numbers(&rows);
        assert_eq!(
            [sent, unsent].concat(),
            (0..9).collect::<Vec<_>>(),
            "{turns}"
        );
        assert_eq!(client.memory_in_use(), 0);
        drop(channel);
    }
}

/// Nobody can take the rows any more, so a warning says how many they are.
#[tokio::test(start_paused = true)]
async fn rows_that_are_dropped_with_the_handle_are_warned_of() {
    let trace = Trace::of(Level::WARN);
    let world = World::new();
    let builder = world.builder().recovery(Recovery::Surface);
    let client = builder.build().await.unwrap();
    let mut channel = client.open_untracked_channel("c").await.unwrap();
    world
        .emulator
        .faults()
        .push(must_reopen().on(Endpoint::Append));
    channel.append_rows(rows(0..3)).await.unwrap();
    channel.invalidated().await;
    channel.reopen().await.unwrap();
    drop(channel);
    let text = trace.text();
    let about = text.lines().find(|line| line.contains("no call has taken"));
    assert!(about.is_some_and(|line| line.contains("rows=3")), "{text}");
    assert_eq!(client.memory_in_use(), 0);
}
