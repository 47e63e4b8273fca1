//! What goes wrong, and what becomes of the rows: ambiguity, fencing, rejects, stalls, ends. Paused clock throughout.

use std::time::Duration;

use snowpipe_streaming::emulator::{Endpoint, Fault, ReplayedToken};
use snowpipe_streaming::{ErrorKind, InvalidationCause, OffsetToken, OnUncommitted, RowState};
use tokio::time::Instant;

use crate::support::{World, row, rows};

fn cause(error: &snowpipe_streaming::Error) -> InvalidationCause {
    match error.kind() {
        ErrorKind::Invalidated(cause) => cause,
        other => panic!("{other:?}: {error}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_not_sent_or_lost_is_sent_again() {
    for fault in [
        Fault::Refuse,
        Fault::Lose,
        Fault::ServerError(503),
        Fault::ServerError(500),
        Fault::Throttle(None),
        Fault::Throttle(Some(Duration::from_secs(7))),
        Fault::Hang,
        Fault::ExpireToken,
        Fault::Unauthorized,
        Fault::BareNotFound,
    ] {
        let world = World::new();
        let client = world.client().await;
        let mut channel = client.open_channel("c").await.unwrap();
        world
            .emulator
            .faults()
            .push(fault.clone().on(Endpoint::Append));
        channel
            .append_rows(rows(0..10), 0..)
            .await
            .unwrap()
            .committed()
            .await
            .unwrap_or_else(|e| panic!("{fault:?}: {e}"));
        assert_eq!(world.landed(), (0..10).collect::<Vec<_>>(), "{fault:?}");
        assert!(channel.close().await.unwrap().is_clean());
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_lost_after_the_rows_were_applied_is_no_double_where_the_server_knows_the_token()
{
    for fault in [
        Fault::ApplyThenLose,
        Fault::Cut,
        Fault::ApplyThenServerError(500),
        Fault::ApplyThenHang,
        Fault::Zombie,
    ] {
        let world = World::with(|e| e.replay(ReplayedToken::Accept));
        let client = world.client().await;
        let mut channel = client.open_channel("c").await.unwrap();
        world
            .emulator
            .faults()
            .push(fault.clone().on(Endpoint::Append));
        let receipt = channel.append_rows(rows(0..10), 0..).await.unwrap();
        receipt
            .committed()
            .await
            .unwrap_or_else(|e| panic!("{fault:?}: {e}"));
        channel
            .append_row(&row(10), 10)
            .await
            .unwrap()
            .committed()
            .await
            .unwrap();
        assert_eq!(world.landed(), (0..11).collect::<Vec<_>>(), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_server_calls_the_replay_stale_the_channel_is_invalidated_and_the_receipt_still_learns_the_truth()
 {
    let world = World::with(|e| e.replay(ReplayedToken::Stale));
    let client = world.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    world
        .emulator
        .faults()
        .push(Fault::ApplyThenLose.on(Endpoint::Append));
    let landed = channel.append_rows(rows(0..10), 0..).await.unwrap();
    channel.initiate_flush();
    landed.committed().await.unwrap();
    let error = channel.append_row(&row(10), 10).await.unwrap_err();
    assert_eq!(cause(&error), InvalidationCause::Ambiguous);
    assert_eq!(error.committed_token(), Some(&OffsetToken::from(9)));
    channel.reopen().await.unwrap();
    assert_eq!(channel.resume_point::<i64>().unwrap(), Some(9));
    channel
        .append_row(&row(10), 10)
        .await
        .unwrap()
        .committed()
        .await
        .unwrap();
    assert_eq!(world.landed(), (0..11).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_stale_answer_after_a_try_that_did_not_land_leaves_the_rows_ambiguous() {
    let world = World::new();
    let client = world
        .builder()
        .settle_timeout(Duration::from_secs(20))
        .build()
        .await
        .unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    world
        .emulator
        .faults()
        .push(Fault::Lose.on(Endpoint::Append));
    world
        .emulator
        .faults()
        .push(Fault::Stale.on(Endpoint::Append));
    let sent = channel.append_row(&row(0), 0).await.unwrap();
    channel.initiate_flush();
    let start = Instant::now();
    let error = sent.committed().await.unwrap_err();
    assert!(
        start.elapsed() >= Duration::from_secs(20),
        "it asked on until the settle timeout"
    );
    assert_eq!(cause(&error), InvalidationCause::Ambiguous);
    assert!(error.is_ambiguous());
    assert_eq!(world.landed(), Vec::<i64>::new());
}

#[tokio::test(start_paused = true)]
async fn a_second_writer_fences_the_first() {
    let world = World::new();
    let (ours, theirs) = (world.client().await, world.client().await);
    let mut channel = ours.open_channel("c").await.unwrap();
    channel
        .append_row(&row(0), 0)
        .await
        .unwrap()
        .committed()
        .await
        .unwrap();
    let thief = theirs.open_channel("c").await.unwrap();
    assert_eq!(thief.resume_point::<i64>().unwrap(), Some(0));
    let receipt = channel.append_row(&row(1), 1).await.unwrap();
    let error = receipt.accepted().await.unwrap_err();
    assert_eq!(cause(&error), InvalidationCause::Fenced);
    assert!(
        !error.is_ambiguous(),
        "the server refused the rows: they are not in the table"
    );
    assert_eq!(
        cause(&channel.append_row(&row(2), 2).await.unwrap_err()),
        InvalidationCause::Fenced
    );
    let error = channel.close().await.unwrap_err();
    let report = error.close_report().unwrap();
    assert_eq!(
        report
            .uncommitted
            .iter()
            .map(|r| (r.state, r.rows))
            .collect::<Vec<_>>(),
        [(RowState::Sealed, 1)]
    );
    assert_eq!(world.landed(), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_token_nobody_here_sent_is_a_conflict() {
    let world = World::new();
    let client = world.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    channel
        .append_row(&row(0), 0)
        .await
        .unwrap()
        .committed()
        .await
        .unwrap();
    world.emulator.faults().push(
        Fault::ForeignToken(Some("77".into()))
            .on(Endpoint::Status)
            .always(),
    );
    let error = channel
        .append_row(&row(1), 1)
        .await
        .unwrap()
        .committed()
        .await
        .unwrap_err();
    assert_eq!(cause(&error), InvalidationCause::OffsetConflict);
}

#[tokio::test(start_paused = true)]
async fn an_idle_channel_learns_of_its_end_by_the_heartbeat() {
    let world = World::new();
    let client = world.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    channel
        .append_row(&row(0), 0)
        .await
        .unwrap()
        .committed()
        .await
        .unwrap();
    let mut commits = channel.commits();
    world
        .emulator
        .faults()
        .push(Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".into()).on(Endpoint::Status));
    let start = Instant::now();
    let error = commits.changed().await.unwrap_err();
    assert_eq!(cause(&error), InvalidationCause::MustReopen);
    assert!(
        start.elapsed() <= Duration::from_secs(31),
        "{:?}",
        start.elapsed()
    );
    channel.reopen().await.unwrap();
    channel
        .append_row(&row(1), 1)
        .await
        .unwrap()
        .committed()
        .await
        .unwrap();
    assert_eq!(world.landed(), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn commits_that_stall_end_in_an_error_that_names_the_rows() {
    let world = World::new();
    let client = world.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    world
        .emulator
        .faults()
        .push(Fault::WithholdCommits(Duration::MAX).on(Endpoint::Append));
    let receipt = channel.append_rows(rows(5..8), 5..).await.unwrap();
    receipt.accepted().await.unwrap();
    let accepted = Instant::now();
    let error = receipt.committed().await.unwrap_err();
    assert_eq!(cause(&error), InvalidationCause::CommitStalled);
    assert!(
        error.is_ambiguous(),
        "accepted rows may still reach the table"
    );
    assert!(
        error
            .to_string()
            .contains("3 accepted (\"5\" through \"7\")"),
        "{error}"
    );
    // The stall, then the settling.
    assert_eq!(accepted.elapsed(), Duration::from_secs(150));
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_server_invalidates_after_the_retry_time() {
    let world = World::new();
    let client = world
        .builder()
        .retry_for(Duration::from_secs(90))
        .build()
        .await
        .unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    world
        .emulator
        .faults()
        .push(Fault::Refuse.on(Endpoint::Append).always());
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    let error = receipt.committed().await.unwrap_err();
    assert_eq!(cause(&error), InvalidationCause::Unreachable);
    assert!(!error.is_ambiguous(), "no try ever left");
    assert_eq!(client.memory_in_use(), 0, "memory is given back at once");
}

#[tokio::test(start_paused = true)]
async fn rejected_rows_fail_their_own_receipts_and_no_others() {
    let ddl = "CREATE TABLE DB.PUBLIC.RIDES (N NUMBER NOT NULL, LIFT VARCHAR);
        CREATE PIPE DB.PUBLIC.RIDES_PIPE AS COPY INTO DB.PUBLIC.RIDES FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING'))
        MATCH_BY_COLUMN_NAME=CASE_SENSITIVE;";
    let catalog = snowpipe_streaming::emulator::tables::Catalog::from_ddl(ddl).unwrap();
    let world = World::with(|e| e.catalog(catalog));
    let client = world.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    let good = channel.append_rows(rows(0..3), 0..).await.unwrap();
    good.committed().await.unwrap();
    let bad = channel
        .append_row(&serde_json::json!({ "LIFT": "no number" }), 3)
        .await
        .unwrap();
    let neighbour = channel.append_row(&row(4), 4).await.unwrap();
    let error = bad.committed().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RowsRejected);
    assert!(error.is_committed() && !error.is_retryable());
    let window = error.rejects().unwrap();
    assert_eq!(
        (window.count, window.after.as_ref(), window.through.as_ref()),
        (1, Some(&2.into()), Some(&4.into()))
    );
    neighbour.committed().await.unwrap_err();
    channel
        .append_row(&row(5), 5)
        .await
        .unwrap()
        .committed()
        .await
        .unwrap();
    good.committed().await.unwrap();
    channel.wait_for_commit().await.unwrap();
    let report = channel.close().await.unwrap();
    assert_eq!((report.rows_rejected(), report.uncommitted.len()), (1, 0));
    let landed: Vec<_> = world.emulator.rows("DB.PUBLIC.RIDES").unwrap();
    assert_eq!(landed.len(), 5);
    assert_eq!(
        world.emulator.error_rows("DB.PUBLIC.RIDES").unwrap().len(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn rejects_that_no_receipt_told_are_told_by_the_next_wait_and_by_close() {
    let ddl = "CREATE TABLE DB.PUBLIC.T (N NUMBER NOT NULL);";
    let catalog = snowpipe_streaming::emulator::tables::Catalog::from_ddl(ddl).unwrap();
    let world = World::with(|e| e.catalog(catalog));
    for by_close in [false, true] {
        let pipe = snowpipe_streaming::PipePath::for_table("DB", "PUBLIC", "T").unwrap();
        let client = world.builder_for(pipe).build().await.unwrap();
        let mut channel = client.open_channel("c").await.unwrap();
        let token = i64::from(by_close);
        drop(
            channel
                .append_row(&serde_json::json!({ "X": 1 }), token)
                .await
                .unwrap(),
        );
        if by_close {
            let error = channel.close().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::RowsRejected);
            assert_eq!(error.close_report().unwrap().rows_rejected(), 1);
        } else {
            assert_eq!(
                channel.wait_for_commit().await.unwrap_err().kind(),
                ErrorKind::RowsRejected
            );
            assert_eq!(
                channel.wait_for_commit().await.unwrap(),
                Some(OffsetToken::from(token))
            );
            channel.close().await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_batch_is_terminal_and_what_was_accepted_before_still_resolves() {
    let world = World::new();
    let client = world.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    let before = channel.append_row(&row(0), 0).await.unwrap();
    before.accepted().await.unwrap();
    world
        .emulator
        .faults()
        .push(Fault::Forbidden.on(Endpoint::Append).always());
    let refused = channel.append_row(&row(1), 1).await.unwrap();
    let error = refused.committed().await.unwrap_err();
    assert_eq!(cause(&error), InvalidationCause::Unauthorized);
    assert_eq!(error.http_status(), Some(403));
    before.committed().await.unwrap();
    assert_eq!(world.landed(), [0]);
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_holder_left_uncommitted_is_waited_for_or_discarded() {
    let world = World::new();
    let first = world.client().await;
    let mut channel = first.open_channel("c").await.unwrap();
    world
        .emulator
        .faults()
        .push(Fault::WithholdCommits(Duration::from_secs(60)).on(Endpoint::Append));
    channel
        .append_row(&row(0), 0)
        .await
        .unwrap()
        .accepted()
        .await
        .unwrap();

    let second = world.client().await;
    let start = Instant::now();
    let error = second
        .open_channel("c")
        .on_uncommitted(OnUncommitted::Wait(Duration::from_secs(10)))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UncommittedData);
    assert!(error.is_retryable());
    assert_eq!(start.elapsed(), Duration::from_secs(10));
    let waited = second.open_channel("c").await.unwrap();
    assert_eq!(
        waited.resume_point::<i64>().unwrap(),
        Some(0),
        "the default waits"
    );
    assert_eq!(world.landed(), [0]);
    drop(waited);

    let mut channel = first.open_channel("d").await.unwrap();
    world
        .emulator
        .faults()
        .push(Fault::WithholdCommits(Duration::MAX).on(Endpoint::Append));
    let lost = channel.append_row(&row(1), 1).await.unwrap();
    lost.accepted().await.unwrap();
    let policy = OnUncommitted::WaitThenDiscard(Duration::from_secs(5));
    let taken = second
        .open_channel("d")
        .on_uncommitted(policy)
        .await
        .unwrap();
    assert_eq!(taken.resume_point::<i64>().unwrap(), None);
    assert!(lost.committed().await.is_err());
    assert_eq!(world.landed(), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_channel_drains_and_frees_its_name() {
    let world = World::new();
    let client = world.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    drop(channel);
    assert_eq!(
        client.open_channel("C").await.unwrap_err().kind(),
        ErrorKind::ChannelAlreadyOpen,
        "still draining"
    );
    receipt.committed().await.unwrap();
    tokio::task::yield_now().await;
    let channel = client.open_channel("c").await.unwrap();
    assert_eq!(channel.resume_point::<i64>().unwrap(), Some(0));
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_takes_the_channels_with_it() {
    let world = World::new();
    let client = world.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    drop(client);
    assert_eq!(
        receipt.committed().await.unwrap_err().kind(),
        ErrorKind::ClientClosed
    );
    assert_eq!(
        channel.append_row(&row(1), 1).await.unwrap_err().kind(),
        ErrorKind::ClientClosed
    );
}

#[tokio::test(start_paused = true)]
async fn close_keeps_its_deadline_and_lists_what_is_not_committed() {
    let world = World::new();
    let client = world
        .builder()
        .close_timeout(Duration::from_secs(5))
        .build()
        .await
        .unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    world
        .emulator
        .faults()
        .push(Fault::WithholdCommits(Duration::MAX).on(Endpoint::Append));
    let accepted = channel.append_rows(rows(0..4), 0..).await.unwrap();
    accepted.accepted().await.unwrap();
    world
        .emulator
        .faults()
        .push(Fault::Hang.on(Endpoint::Append).always());
    let _ = channel.append_row(&row(4), 4).await.unwrap();
    let start = Instant::now();
    let error = channel.close().await.unwrap_err();
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let states: Vec<_> = error
        .close_report()
        .unwrap()
        .uncommitted
        .iter()
        .map(|r| (r.state, r.rows))
        .collect();
    assert_eq!(states, [(RowState::Accepted, 4), (RowState::Sent, 1)]);
    assert_eq!(client.memory_in_use(), 0);
}
