//! How receipts, waits and `Commits` report commits and rejects.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::json;
use snowpipe_streaming::{
    ErrorKind, InvalidationCause, OffsetToken, PipePath, Recovery, StreamingIngestClient,
};
use snowpipe_streaming_emulator::tables::Catalog;
use snowpipe_streaming_emulator::{Endpoint, Fault};

use crate::support::{World, cause, row};

/// A world with a table that rejects rows without `N`, and a client of its pipe.
async fn strict(commit_delay: Duration) -> (World, StreamingIngestClient) {
    let ddl = "CREATE TABLE DB.PUBLIC.T (N NUMBER NOT NULL);";
    let catalog = Catalog::from_ddl(ddl).unwrap();
    let world = World::with(|e| e.catalog(catalog).commit_delay(commit_delay));
    let pipe = PipePath::for_table("DB", "PUBLIC", "T").unwrap();
    let client = world.builder_for(pipe).build().await.unwrap();
    (world, client)
}

#[tokio::test(start_paused = true)]
async fn a_commit_between_two_looks_is_seen_by_the_second() {
    let world = World::new();
    let client = world.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    let mut commits = channel.commits();
    for n in 0..3 {
        let receipt = channel.append_row(&row(n), n).await.unwrap();
        receipt.committed().await.unwrap();
        // The commit happened before the call.
        let seen = tokio::time::timeout(Duration::from_secs(10), commits.changed()).await;
        assert_eq!(seen.unwrap().unwrap(), OffsetToken::from(n));
    }
    channel.close().await.unwrap();
    let error = commits.changed().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ChannelClosed);
}

#[tokio::test(start_paused = true)]
async fn a_commit_is_seen_once_and_the_last_one_before_the_end() {
    let world = World::new();
    let client = world.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    channel.append_row(&row(0), 0).await.unwrap();
    channel.wait_for_commit().await.unwrap();
    // It does not report commits from before it was created.
    let mut commits = channel.commits();
    assert_eq!(commits.latest(), Some(0.into()));
    let next = tokio::time::timeout(Duration::from_secs(60), commits.changed());
    assert!(next.await.is_err());
    channel.append_row(&row(1), 1).await.unwrap();
    channel.wait_for_commit().await.unwrap();
    assert_eq!(commits.changed().await.unwrap(), 1.into());
    let next = tokio::time::timeout(Duration::from_secs(60), commits.changed());
    assert!(next.await.is_err(), "it was seen already");
    channel.append_row(&row(2), 2).await.unwrap();
    channel.close().await.unwrap();
    assert_eq!(commits.changed().await.unwrap(), 2.into());
    let error = commits.changed().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ChannelClosed);
    assert_eq!(error.committed_token(), Some(&2.into()));
}

#[tokio::test(start_paused = true)]
async fn a_commit_after_the_invalidation_is_seen_before_the_end() {
    let world = World::new();
    let client = world.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    let faults = world.emulator.faults();
    let late = Fault::WithholdCommits(Duration::from_secs(5));
    faults.push(late.on(Endpoint::Append));
    let mut commits = channel.commits();
    let first = channel.append_row(&row(0), 0).await.unwrap();
    first.accepted().await.unwrap();
    faults.push(Fault::BadRequest("ERR_BAD".to_owned()).on(Endpoint::Append));
    let second = channel.append_row(&row(1), 1).await.unwrap();
    let cause = channel.invalidated().await;
    assert_eq!(commits.latest(), None, "it is not committed by then");
    assert_eq!(commits.changed().await.unwrap(), 0.into());
    first.committed().await.unwrap();
    assert_eq!(commits.changed().await.unwrap_err().kind(), cause.kind());
    assert_eq!(second.committed().await.unwrap_err().kind(), cause.kind());
    assert_eq!(world.landed(), [0]);
}

#[tokio::test(start_paused = true)]
async fn commits_are_watched_across_a_reopen() {
    let world = World::new();
    let (_client, mut channel) = world.channel().await;
    let mut commits = channel.commits();
    for n in 0..3 {
        let must = Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".to_owned());
        channel.append_row(&row(n), n).await.unwrap();
        channel.wait_for_commit().await.unwrap();
        assert_eq!(commits.changed().await.unwrap(), n.into());
        world.emulator.faults().push(must.on(Endpoint::Append));
        drop(channel.append_row(&row(9), 9).await.unwrap());
        let why = ErrorKind::Invalidated(InvalidationCause::MustReopen);
        assert_eq!(commits.changed().await.unwrap_err().kind(), why);
        // It is returned once. The next call waits for the reopen.
        let again = tokio::time::timeout(Duration::from_secs(60), commits.changed());
        assert!(again.await.is_err());
        channel.reopen().await.unwrap();
        assert_eq!(commits.latest(), Some(n.into()));
    }
    drop(channel.append_row(&row(3), 3).await.unwrap());
    drop(channel);
    assert_eq!(commits.changed().await.unwrap(), 3.into());
    for _ in 0..2 {
        let end = commits.changed().await.unwrap_err();
        assert_eq!(end.kind(), ErrorKind::ChannelClosed);
    }
    assert_eq!(world.landed(), [0, 1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_commits_continues_after_a_reopen_and_ends_with_the_channel() {
    let world = World::new();
    let (_client, mut channel) = world.channel().await;
    let mut commits = channel.commits().into_stream();
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    receipt.committed().await.unwrap();
    assert_eq!(commits.next().await.unwrap().unwrap(), 0.into());
    world
        .emulator
        .faults()
        .push(Fault::SecondWriter.on(Endpoint::Append));
    let receipt = channel.append_row(&row(1), 1).await.unwrap();
    receipt.committed().await.unwrap_err();
    let error = commits.next().await.unwrap().unwrap_err();
    assert_eq!(cause(&error), InvalidationCause::Fenced);
    channel.reopen().await.unwrap();
    let receipt = channel.append_row(&row(1), 1).await.unwrap();
    receipt.committed().await.unwrap();
    assert_eq!(commits.next().await.unwrap().unwrap(), 1.into());
    channel.close().await.unwrap();
    let error = commits.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ChannelClosed);
    assert!(commits.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_untracked_channel_shows_no_token() {
    let (world, client) = strict(Duration::from_secs(1)).await;
    let mut channel = client.open_untracked_channel("c").await.unwrap();
    drop(channel.append_row(&row(0)).await.unwrap());
    let bad = channel.append_row(&json!({"X": 1})).await.unwrap();
    let error = bad.committed().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RowsRejected);
    assert_eq!(error.committed_token(), None);
    let window = error.rejects().unwrap();
    assert_eq!(
        (&window.after, &window.through, &window.bound),
        (&None, &None, &None)
    );
    let never = Fault::WithholdCommits(Duration::MAX).on(Endpoint::Append);
    world.emulator.faults().push(never);
    drop(channel.append_row(&row(2)).await.unwrap());
    let error = channel.close().await.unwrap_err();
    let report = error.close_report().unwrap();
    assert_eq!(
        (error.committed_token(), &report.committed_token),
        (None, &None)
    );
    let range = &report.uncommitted[0];
    assert_eq!((range.rows, &range.first, &range.last), (1, &None, &None));
    // The server has a token, which the client uses to track commits.
    let status = &client.channel_statuses(["c"]).await.unwrap()["c"];
    assert!(status.latest_committed_offset_token().is_some());
}

#[tokio::test(start_paused = true)]
async fn rejects_between_the_last_poll_and_a_reopen_are_reported() {
    let (world, client) = strict(Duration::from_secs(1)).await;
    let mut channel = client.open_channel("c").await.unwrap();
    let bad = channel.append_row(&json!({"X": 1}), 0).await.unwrap();
    bad.accepted().await.unwrap();
    channel.reopen().await.unwrap();
    assert_eq!(channel.resume_after::<i64>().unwrap(), Some(0));
    let error = bad.committed().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RowsRejected, "{error}");
    assert!(error.is_committed());
    assert_eq!(world.requests(Endpoint::Append), 1);
}

#[tokio::test(start_paused = true)]
async fn each_window_of_rejects_is_reported_even_if_several_end_at_the_same_row() {
    let (world, client) = strict(Duration::from_secs(60)).await;
    let mut channel = client.open_channel("c").await.unwrap();
    let mut receipts = Vec::new();
    for n in 0..2 {
        receipts.push(channel.append_row(&json!({"X": 1}), n).await.unwrap());
        receipts.last().unwrap().accepted().await.unwrap();
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    // The first batch commits while the second is still pending: both windows end at the second row.
    let error = receipts[0].committed().await.unwrap_err();
    assert_eq!(error.rejects().unwrap().count, 1);
    assert_eq!(channel.latest_committed_offset_token(), Some(0.into()));
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(channel.latest_committed_offset_token(), Some(1.into()));
    let error = channel.close().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RowsRejected);
    assert_eq!(error.close_report().unwrap().rows_rejected(), 2);
    assert_eq!(world.emulator.error_rows("DB.PUBLIC.T").unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_row_whose_serializer_panics_leaves_the_channel_unchanged() {
    struct Bad;
    impl serde::Serialize for Bad {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("the caller's own fault")
        }
    }
    let world = World::new();
    let client = world.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        drop(channel.append_row(&Bad, 0));
    }));
    assert!(panicked.is_err());
    channel
        .append_row(&row(0), 0)
        .await
        .unwrap()
        .committed()
        .await
        .unwrap();
    assert_eq!(world.landed(), [0]);
    assert_eq!(client.memory_in_use(), 0);
}

/// Each endpoint in turn, and for a channel of each kind.
#[tokio::test(start_paused = true)]
async fn everything_resolves_though_the_transport_panics() {
    const HOUR: Duration = Duration::from_secs(3600);
    for (endpoint, recovery) in [
        "/oauth/token",
        "/channels/c",
        "/rows",
        ":bulk-channel-status",
    ]
    .into_iter()
    .flat_map(|endpoint| [(endpoint, Recovery::Surface), (endpoint, Recovery::Replay)])
    {
        let world = World::new();
        let armed = Arc::new(AtomicBool::new(false));
        let trap = Arc::clone(&armed);
        let builder = world.intercepted(move |request| {
            let is_trap = request.uri().path().ends_with(endpoint);
            assert!(
                !(is_trap && trap.load(Ordering::Relaxed)),
                "a transport with a fault"
            );
            None
        });
        let client = builder.recovery(recovery).build().await.unwrap();
        let mut channel = client.open_channel("c").await.unwrap();
        let elastic = client.elastic_channel();
        // Reopens and tokens are due as well.
        let must = Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".to_owned());
        match endpoint {
            "/channels/c" => world.emulator.faults().push(must.on(Endpoint::Append)),
            "/oauth/token" => world
                .emulator
                .faults()
                .push(Fault::Unauthorized.on(Endpoint::Append)),
            _ => {}
        }
        armed.store(true, Ordering::Relaxed);
        let receipt = channel.append_row(&row(0), 0).await.unwrap();
        let ack = elastic.append_row(&row(100), ()).await.unwrap();
        let text = format!("{endpoint} {recovery:?}");
        let outcome = tokio::time::timeout(HOUR, receipt.committed()).await;
        outcome.expect(&text).expect_err(&text);
        let _ = tokio::time::timeout(HOUR, ack).await.expect(&text);
        armed.store(false, Ordering::Relaxed);
        channel.reopen().await.expect(&text);
        let next = channel
            .resume_after::<u64>()
            .unwrap()
            .map_or(0, |last| last + 1);
        for n in next..2 {
            let again = channel.append_row(&row(n.cast_signed()), n).await.unwrap();
            let again = tokio::time::timeout(HOUR, again.committed()).await;
            again
                .expect(&text)
                .unwrap_or_else(|error| panic!("{text}: {error}"));
        }
        tokio::time::timeout(HOUR, channel.close())
            .await
            .expect(&text)
            .unwrap();
        let _ = tokio::time::timeout(HOUR, elastic.close())
            .await
            .expect(&text);
        let landed: Vec<_> = world.landed().into_iter().filter(|n| *n < 100).collect();
        assert_eq!(landed, [0, 1], "{text}");
        assert_eq!(client.memory_in_use(), 0, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn rejects_that_were_not_reported_before_a_reopen_are_reported_after_it() {
    let (_world, client) = strict(Duration::from_secs(1)).await;
    let mut channel = client.open_channel("c").await.unwrap();
    let bad = channel.append_row(&json!({"X": 1}), 0).await.unwrap();
    bad.accepted().await.unwrap();
    drop(bad);
    channel.reopen().await.unwrap();
    // They are not rows of this open.
    let good = channel.append_row(&json!({"N": 1}), 1).await.unwrap();
    good.committed().await.unwrap();
    let error = channel.wait_for_commit().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RowsRejected);
    channel.wait_for_commit().await.unwrap();
    assert_eq!(channel.close().await.unwrap().rows_rejected(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_observer_does_not_see_a_reopen_without_an_invalidation() {
    let world = World::new();
    let client = world.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    let mut commits = channel.commits();
    let mut stream = channel.commits().into_stream();
    channel.append_row(&row(0), 0).await.unwrap();
    assert_eq!(commits.changed().await.unwrap(), 0.into());
    assert_eq!(stream.next().await.unwrap().unwrap(), 0.into());
    let goes_on = async {
        channel.reopen().await.unwrap();
        channel.append_row(&row(1), 1).await.unwrap();
        channel.wait_for_commit().await.unwrap();
    };
    let (of_observer, of_stream, ()) = tokio::join!(commits.changed(), stream.next(), goes_on);
    assert_eq!(of_observer.unwrap(), 1.into());
    assert_eq!(of_stream.unwrap().unwrap(), 1.into());
    let closing = async { channel.close().await.unwrap() };
    let (ended, of_stream, _) = tokio::join!(commits.changed(), stream.next(), closing);
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::ChannelClosed);
    of_stream.unwrap().unwrap_err();
    assert!(stream.next().await.is_none());
}
