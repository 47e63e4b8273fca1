//! What goes wrong, and what becomes of the rows: ambiguity, fencing, rejects, stalls, ends. Paused clock throughout.

use std::time::Duration;

use snowpipe_streaming::emulator::{Endpoint, Fault, ReplayedToken};
use snowpipe_streaming::{ErrorKind, InvalidationCause, OffsetToken, RowState};
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
        let (_client, mut channel) = world.channel().await;
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
        let (_client, mut channel) = world.channel().await;
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
    let (_client, mut channel) = world.channel().await;
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
    let (_client, mut channel) = world.channel().await;
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
    let (_client, mut channel) = world.channel().await;
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
    let (_client, mut channel) = world.channel().await;
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
async fn an_invalidation_is_told_before_it_is_settled_what_was_committed() {
    let world = World::new();
    let (client, mut channel) = world.channel().await;
    world
        .emulator
        .faults()
        .push(Fault::WithholdCommits(Duration::MAX).on(Endpoint::Append));
    let receipt = channel.append_rows(rows(5..8), 5..).await.unwrap();
    receipt.accepted().await.unwrap();
    let accepted = Instant::now();
    let told = channel.invalidated().await;
    assert_eq!(cause(&told), InvalidationCause::CommitStalled);
    assert_eq!(accepted.elapsed(), Duration::from_secs(120));
    drop(client);
    // The first reason stays.
    assert_eq!(channel.invalidated().await.kind(), told.kind());

    let (client, channel) = World::new().channel().await;
    drop(client);
    let told = channel.invalidated().await;
    assert_eq!(told.kind(), ErrorKind::ClientClosed);
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
async fn a_refused_batch_is_terminal_and_what_was_accepted_before_still_resolves() {
    let world = World::new();
    let (_client, mut channel) = world.channel().await;
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
async fn rows_that_another_run_brought_while_ours_were_refused_are_not_called_uncommitted() {
    let world = World::new();
    let slow = world.transport().with_latency(Duration::from_millis(1_500));
    let ours = world.builder().transport(slow).build().await.unwrap();
    let mut channel = ours.open_channel("c").await.unwrap();
    let theirs = world.client().await;
    let mut other = theirs.open_channel("c").await.unwrap();
    other.append_rows(rows(0..3), 0..).await.unwrap();
    other.wait_for_commit().await.unwrap();
    // The heartbeat is asked before the refusal is back, and tells of the token.
    tokio::time::sleep(Duration::from_millis(29_500)).await;
    let receipt = channel.append_rows(rows(0..3), 0..).await.unwrap();
    channel.initiate_flush();
    receipt.committed().await.unwrap();
    assert_eq!(
        cause(&channel.invalidated().await),
        InvalidationCause::Fenced
    );
    let report = channel.close().await.unwrap();
    assert_eq!((report.rows_appended, report.rows_committed), (3, 3));
    assert_eq!(report.uncommitted, []);
    assert_eq!(world.landed(), [0, 1, 2]);
}
