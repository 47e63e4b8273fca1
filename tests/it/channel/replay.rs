//! `Recovery::Replay`: what a channel recovers from by itself, and what it reports to its caller. Paused clock throughout.

use std::cell::Cell;
use std::time::Duration;

use snowpipe_streaming::report::RowState;
use snowpipe_streaming::{
    Channel, ErrorKind, InvalidationCause, OnUncommitted, PipePath, Recovery, StreamingIngestClient,
};
use snowpipe_streaming_emulator::tables::Catalog;
use snowpipe_streaming_emulator::{Endpoint, Fault, ReplayedToken};
use tokio::time::Instant;

use crate::support::{World, cause, noisy, row, rows};

async fn replaying(world: &World) -> (StreamingIngestClient, Channel) {
    let builder = world.builder().recovery(Recovery::Replay);
    let client = builder.build().await.unwrap();
    let channel = client.open_channel("c").await.unwrap();
    (client, channel)
}

/// Rows 0 to 9 are accepted and uncommitted when `fault` hits the append of rows 10 to 19.
async fn struck_by(world: &World, fault: impl Into<snowpipe_streaming_emulator::Rule>) {
    let fault = fault.into();
    let text = format!("{fault:?}");
    let (client, mut channel) = replaying(world).await;
    let before = channel.append_rows(rows(0..10), 0..).await.unwrap();
    channel.wait_for_flush().await.unwrap();
    world.emulator.faults().push(fault);
    let struck = channel.append_rows(rows(10..20), 10..).await.unwrap();
    let after = channel.append_rows(rows(20..30), 20..).await.unwrap();
    for receipt in [after, struck, before] {
        let outcome = receipt.committed().await;
        outcome.unwrap_or_else(|e| panic!("{text}: {e}"));
    }
    assert_eq!(world.landed(), (0..30).collect::<Vec<_>>(), "{text}");
    assert!(channel.close().await.unwrap().is_clean(), "{text}");
    assert_eq!(client.memory_in_use(), 0, "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_reopen_loses_and_duplicates_nothing_and_receipts_stay_valid() {
    for replay in [ReplayedToken::Accept, ReplayedToken::Stale] {
        for fault in [
            Fault::Lose,
            Fault::ApplyThenLose,
            Fault::ApplyThenServerError(503),
            Fault::ApplyThenHang,
            Fault::Cut,
            Fault::Zombie,
            Fault::Stale,
            Fault::SecondWriter,
            Fault::FailedOver,
            Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".into()),
            Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED_DUE_TO_ROW_SEQ_GAP".into()),
            Fault::Invalidate("STALE_PIPE_CACHE".into()),
            Fault::AcceptAndLose,
            Fault::WithholdCommits(Duration::from_secs(200)),
        ] {
            let world = World::with(|e| e.replay(replay));
            struck_by(&world, fault.on(Endpoint::Append)).await;
        }
        let world = World::with(|e| e.replay(replay));
        struck_by(&world, Fault::BareNotFound.on(Endpoint::Append).times(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn rows_that_were_accepted_and_lost_by_the_server_are_sent_again() {
    // No commit happens by itself during the test.
    let world = World::with(|e| e.commit_delay(Duration::from_secs(3600)));
    let client = world
        .builder()
        .recovery(Recovery::Replay)
        .build()
        .await
        .unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    let receipt = channel.append_rows(rows(0..10), 0..).await.unwrap();
    receipt.accepted().await.unwrap();
    let held = client.memory_in_use();
    assert!(held > 0, "accepted rows are held until they are committed");
    // Another writer opens the channel without waiting and closes it again: the rows are discarded.
    let other = world.client().await;
    let opening = other
        .open_channel("c")
        .on_uncommitted(OnUncommitted::Discard);
    drop(opening.await.unwrap());
    drop(other);
    let more = channel.append_rows(rows(10..12), 10..).await.unwrap();
    more.accepted().await.unwrap();
    world.emulator.commit_now();
    receipt.committed().await.unwrap();
    more.committed().await.unwrap();
    assert_eq!(world.landed(), (0..12).collect::<Vec<_>>());
    assert_eq!(client.memory_in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_second_fencing_without_a_commit_surfaces() {
    let world = World::new();
    let (_client, mut channel) = replaying(&world).await;
    let faults = world.emulator.faults();
    faults.push(Fault::SecondWriter.on(Endpoint::Append).times(2));
    let receipt = channel.append_rows(rows(0..10), 0..).await.unwrap();
    let error = receipt.committed().await.unwrap_err();
    assert_eq!(cause(&error), InvalidationCause::Fenced);
    assert_eq!(world.landed(), Vec::<i64>::new());

    // A commit between two fencings resets the count.
    channel.reopen().await.unwrap();
    for n in 0..3 {
        faults.push(Fault::SecondWriter.on(Endpoint::Append));
        let receipt = channel.append_row(&row(n), n).await.unwrap();
        receipt.committed().await.unwrap();
    }
    assert_eq!(world.landed(), [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_closes_leaves_its_name_to_the_program_that_takes_over() {
    let world = World::new();
    let (_client, mut channel) = replaying(&world).await;
    let busy = Fault::Throttle(Some(Duration::from_secs(10))).on(Endpoint::Append);
    world.emulator.faults().push(busy);
    drop(channel.append_row(&row(0), 0).await.unwrap());
    let closing = tokio::spawn(channel.close());
    tokio::time::sleep(Duration::from_secs(5)).await;
    let successor = world.client().await;
    let mut taken_over = successor.open_channel("c").await.unwrap();
    let error = closing.await.unwrap().unwrap_err();
    assert_eq!(cause(&error), InvalidationCause::Fenced);
    assert_eq!(error.close_report().unwrap().uncommitted.len(), 1);
    let receipt = taken_over.append_row(&row(0), 0).await.unwrap();
    receipt.committed().await.unwrap();
    assert_eq!(world.landed(), [0]);
}

#[tokio::test(start_paused = true)]
async fn another_writers_rows_are_neither_discarded_nor_replayed_over() {
    let world = World::new();
    let (_client, mut channel) = replaying(&world).await;
    let first = channel.append_row(&row(0), 0).await.unwrap();
    first.committed().await.unwrap();
    let other = world.client().await;
    let mut thief = other.open_channel("c").await.unwrap();
    let theirs = thief.append_row(&row(100), 100).await.unwrap();
    theirs.accepted().await.unwrap();
    let ours = channel.append_row(&row(1), 1).await.unwrap();
    let error = ours.committed().await.unwrap_err();
    assert_eq!(cause(&error), InvalidationCause::OffsetConflict);
    assert_eq!(
        error.committed_token(),
        Some(&0.into()),
        "the last of its own"
    );
    theirs.committed().await.unwrap();
    assert_eq!(world.landed(), [0, 100]);
}

#[tokio::test(start_paused = true)]
async fn a_second_stall_surfaces_and_names_the_rows() {
    let world = World::new();
    let (_client, mut channel) = replaying(&world).await;
    let forever = Fault::WithholdCommits(Duration::MAX);
    world.emulator.faults().push(forever.on(Endpoint::Append));
    let receipt = channel.append_rows(rows(5..8), 5..).await.unwrap();
    receipt.accepted().await.unwrap();
    let accepted = Instant::now();
    let error = receipt.committed().await.unwrap_err();
    assert_eq!(cause(&error), InvalidationCause::CommitStalled);
    let text = error.to_string();
    assert!(text.contains("3 accepted (\"5\" through \"7\")"), "{text}");
    // Two stalls, the wait for uncommitted rows before the reopen, and the settling.
    let took = accepted.elapsed();
    assert!((720..=740).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_code_that_repeatedly_asks_for_a_reopen_surfaces() {
    let world = World::new();
    let (_client, mut channel) = replaying(&world).await;
    let fault = Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".into());
    let faults = world.emulator.faults();
    faults.push(fault.on(Endpoint::Append).always());
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    let error = receipt.committed().await.unwrap_err();
    assert_eq!(cause(&error), InvalidationCause::MustReopen);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(world.requests(Endpoint::Open), 1 + 3);
    assert_eq!(world.landed(), Vec::<i64>::new());
}

#[tokio::test(start_paused = true)]
async fn a_refused_batch_is_not_replayed() {
    let world = World::new();
    let (_client, mut channel) = replaying(&world).await;
    let faults = world.emulator.faults();
    faults.push(Fault::Forbidden.on(Endpoint::Append).always());
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    let error = receipt.committed().await.unwrap_err();
    assert_eq!(cause(&error), InvalidationCause::Unauthorized);
    // A batch that is sent again would be accepted.
    faults.clear();
    let sent = world.requests(Endpoint::Append);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(world.requests(Endpoint::Append), sent);
    assert_eq!(world.requests(Endpoint::Open), 1);
    assert_eq!(world.landed(), Vec::<i64>::new());
}

#[tokio::test(start_paused = true)]
async fn an_idle_channel_is_open_again_before_the_next_append() {
    let world = World::new();
    let (_client, mut channel) = replaying(&world).await;
    let first = channel.append_row(&row(0), 0).await.unwrap();
    first.committed().await.unwrap();
    let fault = Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".into());
    world.emulator.faults().push(fault.on(Endpoint::Status));
    tokio::time::sleep(Duration::from_secs(35)).await;
    assert_eq!(world.requests(Endpoint::Open), 2);
    let second = channel.append_row(&row(1), 1).await.unwrap();
    second.committed().await.unwrap();
    assert_eq!(world.landed(), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn untracked_rows_are_replayed_too() {
    let world = World::with(|e| e.replay(ReplayedToken::Stale));
    let builder = world.builder().recovery(Recovery::Replay);
    let client = builder.build().await.unwrap();
    let mut channel = client.open_untracked_channel("u").await.unwrap();
    let faults = world.emulator.faults();
    for (i, fault) in [Fault::ApplyThenLose, Fault::Lose, Fault::SecondWriter]
        .into_iter()
        .enumerate()
    {
        faults.push(fault.on(Endpoint::Append));
        let first = i64::try_from(i).unwrap() * 10;
        let receipt = channel.append_rows(rows(first..first + 10)).await.unwrap();
        receipt.committed().await.unwrap();
    }
    assert_eq!(world.landed(), (0..30).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_is_being_reopened_closes_in_time_and_reports_what_is_at_risk() {
    let world = World::with(|e| e.replay(ReplayedToken::Stale));
    let (client, mut channel) = replaying(&world).await;
    let faults = world.emulator.faults();
    faults.push(Fault::ApplyThenLose.on(Endpoint::Append));
    faults.push(Fault::Refuse.on(Endpoint::Open).always());
    let receipt = channel.append_rows(rows(0..10), 0..).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    channel.append_rows(rows(10..15), 10..).await.unwrap();
    let start = Instant::now();
    let error = channel.close().await.unwrap_err();
    assert_eq!(start.elapsed(), Duration::from_secs(120));
    let report = error.close_report().unwrap();
    let listed: Vec<_> = report
        .uncommitted
        .iter()
        .map(|r| (r.state, r.rows, r.first.clone(), r.last.clone()))
        .collect();
    let expected = [
        (RowState::Sent, 10, Some(0.into()), Some(9.into())),
        (RowState::Appended, 5, Some(10.into()), Some(14.into())),
    ];
    assert_eq!(listed, expected);
    assert!(receipt.committed().await.unwrap_err().is_ambiguous());
    assert_eq!(client.memory_in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_caller_may_reopen_a_channel_that_is_being_reopened() {
    let world = World::with(|e| e.replay(ReplayedToken::Stale));
    let (client, mut channel) = replaying(&world).await;
    let faults = world.emulator.faults();
    faults.push(Fault::ApplyThenLose.on(Endpoint::Append));
    faults.push(Fault::Refuse.on(Endpoint::Open).times(4));
    let old = channel.append_rows(rows(0..10), 0..).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    channel.reopen().await.unwrap();
    assert_eq!(channel.resume_after::<i64>().unwrap(), Some(9));
    old.committed().await.unwrap();
    let new = channel.append_row(&row(10), 10).await.unwrap();
    new.committed().await.unwrap();
    assert_eq!(world.landed(), (0..11).collect::<Vec<_>>());
    channel.close().await.unwrap();
    client.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dropped_channel_is_replayed_in_the_background() {
    let world = World::with(|e| e.replay(ReplayedToken::Stale));
    let (client, mut channel) = replaying(&world).await;
    let faults = world.emulator.faults();
    faults.push(Fault::Lose.on(Endpoint::Append));
    faults.push(Fault::Stale.on(Endpoint::Append));
    let receipt = channel.append_rows(rows(0..10), 0..).await.unwrap();
    drop(channel);
    receipt.committed().await.unwrap();
    assert_eq!(world.landed(), (0..10).collect::<Vec<_>>());
    let again = client.open_channel("c").await.unwrap();
    assert_eq!(again.resume_after::<i64>().unwrap(), Some(9));
}

/// How the server stalls.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stall {
    Refuse,
    Hang,
    WithholdCommits,
    /// Refuses appends, and then invalidates every other channel.
    Invalidate,
}

/// Appends a channel's rows until they are committed. Reopens an invalidated channel.
async fn stream(client: &StreamingIngestClient, recovery: Recovery, i: i64) {
    let mut channel = client.open_channel(format!("c{i}")).await.unwrap();
    loop {
        let next = channel.resume_after::<i64>().unwrap().map_or(0, |n| n + 1);
        let left = noisy(1000 * i + next..1000 * i + 300);
        let outcome = match channel.append_rows(left, next..).await {
            Ok(receipt) => receipt.committed().await,
            Err(error) => Err(error),
        };
        let Err(error) = outcome else { break };
        assert_eq!(recovery, Recovery::Surface, "{error}");
        assert_eq!(cause(&error), InvalidationCause::MustReopen);
        channel.reopen().await.unwrap();
    }
    channel.close().await.unwrap();
}

async fn stalled(recovery: Recovery, stall: Stall) {
    const BUDGET: usize = 2 << 20;
    let text = format!("{recovery:?}, {stall:?}");
    let world = World::new();
    let builder = world.builder().recovery(recovery).memory_budget(BUDGET);
    let client = builder.build().await.unwrap();
    let faults = world.emulator.faults();
    let fault = match stall {
        Stall::Refuse | Stall::Invalidate => Fault::Refuse,
        Stall::Hang => Fault::Hang,
        Stall::WithholdCommits => Fault::WithholdCommits(Duration::from_secs(20)),
    };
    faults.push(fault.on(Endpoint::Append).always());
    let is_done = Cell::new(false);
    let streams = async {
        let all = (0..100).map(|i| stream(&client, recovery, i));
        futures_util::future::join_all(all).await;
        is_done.set(true);
    };
    let watch = async {
        let start = Instant::now();
        let mut most = 0;
        let mut has_passed = false;
        while !is_done.get() {
            tokio::time::sleep(Duration::from_millis(10)).await;
            most = most.max(client.memory_in_use());
            assert!(most <= BUDGET, "{text}");
            if !has_passed && start.elapsed() >= Duration::from_secs(30) {
                has_passed = true;
                faults.clear();
                let code = "ERR_CHANNEL_MUST_BE_REOPENED";
                for i in (0..100).step_by(2).filter(|_| stall == Stall::Invalidate) {
                    let fault = Fault::Invalidate(code.into()).on(Endpoint::Append);
                    faults.push(fault.channel(format!("c{i}")));
                }
            }
        }
        most
    };
    let ((), most) = tokio::join!(streams, watch);
    // Without replay, a channel holds no accepted rows.
    let is_held = recovery == Recovery::Replay || stall != Stall::WithholdCommits;
    assert!(!is_held || most > BUDGET * 9 / 10, "{text}: {most} used");
    assert_eq!(client.memory_in_use(), 0, "{text}");
    let invalidated = faults.injected().get("invalidate").copied();
    assert_eq!(invalidated, (stall == Stall::Invalidate).then_some(50));
    let mut landed = world.landed();
    landed.sort_unstable();
    let expected: Vec<_> = (0..100).flat_map(|i| 1000 * i..1000 * i + 300).collect();
    assert_eq!(landed, expected, "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_hundred_channels_of_a_stalled_server_keep_the_budget_and_return_all_of_it() {
    for recovery in [Recovery::Surface, Recovery::Replay] {
        for stall in [
            Stall::Refuse,
            Stall::Hang,
            Stall::WithholdCommits,
            Stall::Invalidate,
        ] {
            stalled(recovery, stall).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn rows_committed_with_rejects_are_never_sent_again() {
    let ddl = "CREATE TABLE DB.PUBLIC.T (N NUMBER NOT NULL);";
    let world = World::with(|e| {
        e.catalog(Catalog::from_ddl(ddl).unwrap())
            .replay(ReplayedToken::Stale)
    });
    let pipe = PipePath::for_table("DB", "PUBLIC", "T").unwrap();
    let builder = world.builder_for(pipe).recovery(Recovery::Replay);
    let client = builder.build().await.unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    let faults = world.emulator.faults();
    faults.push(Fault::ApplyThenLose.on(Endpoint::Append));
    let mixed = [row(0), serde_json::json!({ "X": 1 }), row(2)];
    let receipt = channel.append_rows(&mixed, 0..).await.unwrap();
    let error = receipt.committed().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RowsRejected);
    let next = channel.append_row(&row(3), 3).await.unwrap();
    next.committed().await.unwrap();
    let report = channel.close().await.unwrap();
    assert_eq!(report.rows_rejected(), 1);
    let numbers = [0, 2, 3].map(|n| serde_json::json!({ "N": n }));
    assert_eq!(world.emulator.rows("DB.PUBLIC.T").unwrap(), numbers);
    assert_eq!(world.emulator.error_rows("DB.PUBLIC.T").unwrap().len(), 1);
}

/// The widths of the reject windows of three bad rows in a fast stream.
async fn window_widths(isolate: bool) -> Vec<i64> {
    let ddl = "CREATE TABLE DB.PUBLIC.T (N NUMBER NOT NULL, NOISE VARCHAR);";
    let world = World::with(|e| e.catalog(Catalog::from_ddl(ddl).unwrap()));
    let pipe = PipePath::for_table("DB", "PUBLIC", "T").unwrap();
    let builder = world.builder_for(pipe).isolate_rejects(isolate);
    let client = builder.build().await.unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    for n in 0..300_i64 {
        let rows: Vec<_> = noisy(100 * n..100 * (n + 1))
            .enumerate()
            .map(|(i, good)| {
                let is_bad = matches!(n, 5 | 30 | 55) && i == 0;
                if is_bad {
                    serde_json::json!({ "X": 1 })
                } else {
                    good
                }
            })
            .collect();
        channel.append_rows(&rows, 100 * n..).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let report = match channel.close().await {
        Ok(report) => report,
        Err(error) => error.close_report().unwrap().clone(),
    };
    assert_eq!(report.rows_rejected(), 3);
    assert_eq!(report.rows_committed, 30_000);
    let token = |t: &Option<snowpipe_streaming::OffsetToken>| {
        t.as_ref().map_or(-1, |t| t.parse::<i64>().unwrap())
    };
    let width = |w: &snowpipe_streaming::RejectWindow| token(&w.through) - token(&w.after);
    report.rejects.iter().map(width).collect()
}

#[tokio::test(start_paused = true)]
async fn after_a_reject_requests_are_smaller_if_asked_for_and_windows_narrower() {
    let (wide, narrow) = (window_widths(false).await, window_widths(true).await);
    assert_eq!(wide.len(), 3);
    assert_eq!(narrow.len(), 3);
    assert!(
        narrow[1] * 3 <= wide[1] && narrow[2] < wide[2],
        "{narrow:?} against {wide:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_status_requested_before_a_reopen_is_ignored_after_it() {
    let world = World::new();
    let slow = world.transport().with_latency(Duration::from_millis(100));
    let builder = world.builder().recovery(Recovery::Replay).transport(slow);
    let client = builder.build().await.unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    let first = channel.append_row(&row(0), 0).await.unwrap();
    first.committed().await.unwrap();
    channel.append_row(&row(1), 1).await.unwrap();
    channel.wait_for_flush().await.unwrap();
    // The next append is refused while the poll for the last one waits for a slow server.
    let faults = world.emulator.faults();
    faults.push(Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".into()).on(Endpoint::Append));
    faults.push(Fault::Delay(Duration::from_secs(5)).on(Endpoint::Status));
    let last = channel.append_row(&row(2), 2).await.unwrap();
    channel.initiate_flush();
    last.committed().await.unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(faults.injected().len(), 2);
    let opens = world.requests(Endpoint::Open);
    assert_eq!(opens, 2, "it was opened again once");
    assert_eq!(world.landed(), [0, 1, 2]);
}
