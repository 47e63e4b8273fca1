//! Rows of a channel that another writer uses as well: fencing, conflicts, recreated channels. Paused clock throughout.

use std::time::Duration;

use snowpipe_streaming::report::RowState;
use snowpipe_streaming::{InvalidationCause, OnUncommitted, Recovery};
use snowpipe_streaming_emulator::{Endpoint, Fault};
use tokio::time::Instant;

use crate::support::{World, cause, row, rows};

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
    assert_eq!(thief.resume_after::<i64>().unwrap(), Some(0));
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

/// The other writer's rows are never committed, so a replaying channel cannot be reopened before its deadline.
#[tokio::test(start_paused = true)]
async fn a_close_that_runs_out_of_time_in_a_reopen_names_the_other_writer() {
    for closes_client in [false, true] {
        let world = World::with(|e| e.commit_delay(Duration::from_secs(3600)));
        let replaying = world.builder().recovery(Recovery::Replay);
        let replaying = replaying.close_timeout(Duration::from_secs(60));
        let (ours, theirs) = (replaying.build().await.unwrap(), world.client().await);
        let mut channel = ours.open_channel("c").await.unwrap();
        let mut winner = theirs.open_channel("c").await.unwrap();
        let kept = winner.append_row(&row(100), 100).await.unwrap();
        kept.accepted().await.unwrap();
        let receipt = channel.append_row(&row(0), 0).await.unwrap();
        // Until it is fenced and waits for the other writer's row. A channel that closes leaves its name to the other writer.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let start = Instant::now();
        let error = if closes_client {
            ours.close().await.unwrap_err()
        } else {
            channel.close().await.unwrap_err()
        };
        assert_eq!(start.elapsed(), Duration::from_secs(60));
        assert_eq!(cause(&error), InvalidationCause::Fenced, "{error}");
        let text = error.to_string();
        assert!(text.contains("1 sealed (\"0\" through \"0\")"), "{text}");
        let uncommitted = &error.close_report().unwrap().uncommitted;
        assert_eq!(uncommitted[0].state, RowState::Sealed);
        let error = receipt.committed().await.unwrap_err();
        assert!(!error.is_ambiguous(), "the server refused the row: {error}");
        world.emulator.commit_now();
        kept.committed().await.unwrap();
        assert_eq!(world.landed(), [100]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_this_client_never_sent_is_a_conflict() {
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
    assert_eq!(error.committed_token(), Some(&0.into()));
    assert_eq!(world.requests(Endpoint::Append), 2);
    assert_eq!(world.landed(), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_vanishes_is_a_conflict_and_nothing_is_sent_again() {
    for recovery in [Recovery::Surface, Recovery::Replay] {
        // The second row is not committed during the test.
        let world = World::with(|e| e.commit_delay(Duration::from_secs(3600)));
        let client = world.builder().recovery(recovery).build().await.unwrap();
        let mut channel = client.open_channel("c").await.unwrap();
        let first = channel.append_row(&row(0), 0).await.unwrap();
        first.accepted().await.unwrap();
        world.emulator.commit_now();
        first.committed().await.unwrap();
        let second = channel.append_row(&row(1), 1).await.unwrap();
        second.accepted().await.unwrap();
        let faults = world.emulator.faults();
        faults.push(Fault::ForeignToken(None).on(Endpoint::Status));
        let error = channel.invalidated().await;
        assert_eq!(cause(&error), InvalidationCause::OffsetConflict);
        let error = second.committed().await.unwrap_err();
        assert_eq!(cause(&error), InvalidationCause::OffsetConflict);
        assert_eq!(error.committed_token(), Some(&0.into()));
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(world.requests(Endpoint::Append), 2, "{recovery:?}");
        assert_eq!(world.requests(Endpoint::Open), 1, "{recovery:?}");
        assert_eq!(world.landed(), [0]);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_again_to_a_recreated_channel() {
    for recovery in [Recovery::Surface, Recovery::Replay] {
        for is_opened_by_another in [false, true] {
            let world = World::new();
            let client = world.builder().recovery(recovery).build().await.unwrap();
            let mut channel = client.open_channel("c").await.unwrap();
            let first = channel.append_rows(rows(0..10), 0..).await.unwrap();
            first.committed().await.unwrap();
            let other = world.client().await;
            other.drop_channel("c").await.unwrap();
            if is_opened_by_another {
                other.open_channel("c").await.unwrap();
            }
            let expected = match (recovery, is_opened_by_another) {
                // The append reports a missing channel, and a reopen would create it again.
                (Recovery::Surface, false) => InvalidationCause::Gone,
                _ => InvalidationCause::OffsetConflict,
            };
            let text = format!("{recovery:?}, opened by another: {is_opened_by_another}");
            let error = if is_opened_by_another {
                channel.invalidated().await
            } else {
                let second = channel.append_row(&row(10), 10).await.unwrap();
                second.committed().await.unwrap_err()
            };
            assert_eq!(cause(&error), expected, "{text}: {error}");
            tokio::time::sleep(Duration::from_secs(600)).await;
            assert_eq!(world.landed(), (0..10).collect::<Vec<_>>(), "{text}");
            // Without an open by the other writer, the second append finds it.
            let sent = if is_opened_by_another { 1 } else { 2 };
            assert_eq!(world.requests(Endpoint::Append), sent, "{text}");
            channel.reopen().await.unwrap();
            assert_eq!(channel.resume_after::<i64>().unwrap(), None, "{text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn rows_discarded_by_another_writers_open_are_appended_again_by_the_caller() {
    let world = World::with(|e| e.commit_delay(Duration::from_secs(3600)));
    let (_client, mut channel) = world.channel().await;
    let lost = channel.append_rows(rows(0..10), 0..).await.unwrap();
    lost.accepted().await.unwrap();
    let other = world.client().await;
    let opening = other.open_channel("c");
    drop(
        opening
            .on_uncommitted(OnUncommitted::Discard)
            .await
            .unwrap(),
    );
    drop(other);
    let refused = channel.append_row(&row(10), 10).await.unwrap();
    let error = refused.committed().await.unwrap_err();
    assert_eq!(cause(&error), InvalidationCause::Fenced);
    let error = lost.committed().await.unwrap_err();
    assert!(
        error.is_ambiguous(),
        "accepted, and never committed: {error}"
    );
    channel.reopen().await.unwrap();
    assert_eq!(channel.resume_after::<i64>().unwrap(), None);
    let again = channel.append_rows(rows(0..11), 0..).await.unwrap();
    again.accepted().await.unwrap();
    world.emulator.commit_now();
    again.committed().await.unwrap();
    assert_eq!(world.landed(), (0..11).collect::<Vec<_>>());
}
