//! Statuses from a replica that lags: the client ignores them as long as they may be outdated. Paused clock throughout.

use std::time::Duration;

use snowpipe_streaming::{
    Channel, CommitEvidence, InvalidationCause, Recovery, StreamingIngestClient,
};
use snowpipe_streaming_emulator::{Endpoint, Fault, LoggedRequest};
use tokio::time::{Instant, sleep};

use crate::support::{World, cause, row, rows};

const MUST_BE_REOPENED: &str = "ERR_CHANNEL_MUST_BE_REOPENED";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// From now on, a replica that lags by this much answers status calls.
fn lag(world: &World, by: Duration) {
    let rule = Fault::StaleStatus(by).on(Endpoint::Status);
    world.emulator.faults().push(rule.always());
}

async fn client(world: &World, recovery: Recovery) -> StreamingIngestClient {
    world.builder().recovery(recovery).build().await.unwrap()
}

async fn commit(channel: &mut Channel, n: i64) {
    let receipt = channel.append_row(&row(n), n).await.unwrap();
    channel.initiate_flush();
    receipt.committed().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_status_from_before_the_open_is_no_conflict() {
    let world = World::new();
    let client = client(&world, Recovery::Surface).await;
    let mut channel = client.open_channel("c").await.unwrap();
    // So the replica first shows no token, and then each of these.
    for n in 0..3 {
        commit(&mut channel, n).await;
        sleep(seconds(3)).await;
    }
    channel.close().await.unwrap();

    lag(&world, seconds(20));
    let mut channel = client.open_channel("c").await.unwrap();
    assert_eq!(channel.resume_after::<i64>().unwrap(), Some(2));
    commit(&mut channel, 3).await;
    assert_eq!(world.landed(), [0, 1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_status_from_before_the_first_commit_is_no_conflict() {
    let world = World::new();
    let (_client, mut channel) = world.channel().await;
    sleep(seconds(600)).await;
    commit(&mut channel, 0).await;
    lag(&world, seconds(20));
    commit(&mut channel, 1).await;
    assert_eq!(world.landed(), [0, 1]);
}

fn opens(world: &World) -> usize {
    let is_open = |r: &&LoggedRequest| r.endpoint == Endpoint::Open && r.status == Some(200);
    world.emulator.log().iter().filter(is_open).count()
}

/// A channel that was invalidated and is open again after some seconds, by replay or by its caller.
async fn reopened(world: &World, client: &StreamingIngestClient, recovery: Recovery) -> Channel {
    let mut channel = client.open_channel("c").await.unwrap();
    commit(&mut channel, 0).await;
    let faults = world.emulator.faults();
    faults.push(Fault::Refuse.on(Endpoint::Open).times(4));
    faults.push(Fault::Invalidate(MUST_BE_REOPENED.into()).on(Endpoint::Status));
    // The heartbeat finds the invalidation.
    while !faults.injected().contains_key("invalidate") {
        sleep(seconds(1)).await;
    }
    if recovery == Recovery::Surface {
        channel.reopen().await.unwrap();
    }
    while opens(world) == 1 {
        sleep(Duration::from_millis(100)).await;
    }
    channel
}

#[tokio::test(start_paused = true)]
async fn the_code_of_a_status_from_before_the_reopen_does_not_invalidate() {
    for recovery in [Recovery::Surface, Recovery::Replay] {
        let world = World::new();
        let client = client(&world, recovery).await;
        let mut channel = reopened(&world, &client, recovery).await;
        lag(&world, seconds(15));
        // The outdated status has the same token as the open.
        commit(&mut channel, 1).await;
        assert_eq!(opens(&world), 2, "{recovery:?}");
        assert_eq!(world.landed(), [0, 1]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_code_of_a_status_with_an_old_token_does_not_invalidate() {
    for recovery in [Recovery::Surface, Recovery::Replay] {
        let world = World::new();
        let client = client(&world, recovery).await;
        let mut channel = reopened(&world, &client, recovery).await;
        commit(&mut channel, 1).await;
        lag(&world, seconds(8));
        commit(&mut channel, 2).await;
        assert_eq!(opens(&world), 2, "{recovery:?}");
        assert_eq!(world.landed(), [0, 1, 2]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_code_that_persists_for_longer_than_the_replica_lag_is_believed() {
    let world = World::new();
    let (_client, mut channel) = world.channel().await;
    let opened = Instant::now();
    let faults = world.emulator.faults();
    faults.push(Fault::WithholdCommits(Duration::MAX).on(Endpoint::Append));
    faults.push(Fault::Invalidate(MUST_BE_REOPENED.into()).on(Endpoint::Status));
    drop(channel.append_row(&row(0), 0).await.unwrap());
    let error = channel.invalidated().await;
    assert_eq!(cause(&error), InvalidationCause::MustReopen);
    let waited = opened.elapsed();
    assert!((seconds(30)..seconds(32)).contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn after_a_commit_a_code_is_believed_at_once() {
    let world = World::new();
    let (_client, mut channel) = world.channel().await;
    commit(&mut channel, 0).await;
    let faults = world.emulator.faults();
    faults.push(Fault::WithholdCommits(Duration::MAX).on(Endpoint::Append));
    faults.push(Fault::Invalidate(MUST_BE_REOPENED.into()).on(Endpoint::Status));
    let receipt = channel.append_row(&row(1), 1).await.unwrap();
    channel.initiate_flush();
    receipt.accepted().await.unwrap();
    let accepted = Instant::now();
    let error = channel.invalidated().await;
    assert_eq!(cause(&error), InvalidationCause::MustReopen);
    assert!(accepted.elapsed() < seconds(2), "{:?}", accepted.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_token_of_another_writer_is_a_conflict_when_no_replica_lags_so_far() {
    for token in [None, Some("77")] {
        let world = World::new();
        let client = client(&world, Recovery::Replay).await;
        let mut channel = client.open_channel("c").await.unwrap();
        commit(&mut channel, 0).await;
        channel.close().await.unwrap();
        let mut channel = client.open_channel("c").await.unwrap();
        let opened = Instant::now();
        let fault = Fault::ForeignToken(token.map(str::to_owned));
        world
            .emulator
            .faults()
            .push(fault.on(Endpoint::Status).always());
        drop(channel.append_row(&row(1), 1).await.unwrap());
        let error = channel.invalidated().await;
        assert_eq!(
            cause(&error),
            InvalidationCause::OffsetConflict,
            "{token:?}"
        );
        let waited = opened.elapsed();
        assert!((seconds(30)..seconds(32)).contains(&waited), "{waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_does_not_know_a_new_channel_yet_does_not_end_it() {
    let world = World::new();
    let (_client, mut channel) = world.channel().await;
    let faults = world.emulator.faults();
    faults.push(Fault::Absent.on(Endpoint::Status).times(10));
    let receipt = channel.append_rows(rows(0..3), 0..).await.unwrap();
    receipt.committed().await.unwrap();
    assert_eq!(world.requests(Endpoint::Status), 11);
}

#[tokio::test(start_paused = true)]
async fn a_channel_missing_from_three_answers_is_gone() {
    let world = World::new();
    let (_client, mut channel) = world.channel().await;
    sleep(seconds(30)).await;
    let asked = world.requests(Endpoint::Status);
    let faults = world.emulator.faults();
    faults.push(Fault::Absent.on(Endpoint::Status).always());
    drop(channel.append_row(&row(0), 0).await.unwrap());
    let error = channel.invalidated().await;
    assert_eq!(cause(&error), InvalidationCause::Gone);
    assert_eq!(world.requests(Endpoint::Status), asked + 3);
}

/// A channel of a client is set back to 0 while a replica still shows the token 2 of before. The same rows are sent again.
async fn set_back(world: &World, client: &StreamingIngestClient, reopens: bool) -> Channel {
    let mut channel = client.open_channel("c").await.unwrap();
    for n in 0..3 {
        commit(&mut channel, n).await;
    }
    sleep(seconds(19)).await;
    channel.close().await.unwrap();
    let mut channel = client.open_channel("c").offset_token(0).await.unwrap();
    if reopens {
        channel.reopen().await.unwrap();
    }
    lag(world, seconds(20));
    channel
}

/// With the counters as evidence, with the token alone, and on a server that keeps no counters.
#[tokio::test(start_paused = true)]
async fn a_token_from_before_it_was_set_back_commits_nothing() {
    for evidence in [CommitEvidence::RowCounts, CommitEvidence::Token] {
        for reopens in [false, true] {
            let world = World::new();
            let builder = world.builder().commit_evidence(evidence);
            let client = builder.build().await.unwrap();
            let mut channel = set_back(&world, &client, reopens).await;
            let withhold = Fault::WithholdCommits(seconds(100));
            world.emulator.faults().push(withhold.on(Endpoint::Append));
            let receipt = channel.append_rows(rows(1..3), 1..).await.unwrap();
            channel.initiate_flush();
            let text = format!("{evidence:?}, reopened {reopens}");
            let early = tokio::time::timeout(seconds(60), receipt.committed()).await;
            assert!(early.is_err(), "{text}: {early:?}");
            receipt.committed().await.unwrap();
            assert_eq!(world.landed(), [0, 1, 2, 1, 2], "{text}");
        }
    }
}

/// The server loses what it has accepted after the set-back. A channel that replays still has the rows.
#[tokio::test(start_paused = true)]
async fn rows_after_a_set_back_are_kept_for_a_replay() {
    let world = World::new();
    let builder = world.builder().recovery(Recovery::Replay);
    let builder = builder.commit_evidence(CommitEvidence::Token);
    let client = builder
        .commit_stall_timeout(seconds(60))
        .build()
        .await
        .unwrap();
    let mut channel = set_back(&world, &client, false).await;
    let faults = world.emulator.faults();
    faults.push(Fault::AcceptAndLose.on(Endpoint::Append));
    let receipt = channel.append_rows(rows(1..3), 1..).await.unwrap();
    receipt.committed().await.unwrap();
    channel.close().await.unwrap();
    assert_eq!(world.landed(), [0, 1, 2, 1, 2]);
}

/// A commit raises the counters, so it need not wait until no status can be from before the set-back.
#[tokio::test(start_paused = true)]
async fn a_commit_after_a_set_back_is_seen_at_once() {
    let world = World::new();
    let client = client(&world, Recovery::Surface).await;
    let mut channel = client.open_channel("c").offset_token(0).await.unwrap();
    let start = Instant::now();
    commit(&mut channel, 1).await;
    assert!(start.elapsed() < seconds(5), "{:?}", start.elapsed());
}
