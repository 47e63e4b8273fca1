//! `ingest::group` on partitions that a test assigns and takes: what each change and each failure does to them.

use std::sync::Arc;
use std::time::Duration;

use snowpipe_streaming::ingest::group::{Event, PartitionReport, PartitionState};
use snowpipe_streaming::ingest::{Finish, Ownership};
use snowpipe_streaming::{ErrorKind, InvalidationCause, OnUncommitted};
use snowpipe_streaming_emulator::{Endpoint, Fault};
use tokio::time::{Instant, sleep};

use crate::ingest::group_rig::{Group, Lift};
use crate::source::Failure;
use crate::support::World;

fn numbers(range: std::ops::Range<i64>) -> Vec<i64> {
    range.collect()
}

fn landed(world: &World) -> Vec<i64> {
    let mut landed = world.landed();
    landed.sort_unstable();
    landed
}

#[tokio::test(start_paused = true)]
async fn each_partition_has_a_channel_named_after_it() {
    let world = World::new();
    let group = Group::start(&world.client().await);
    group.say(Event::Assigned(vec![
        ("Elkhorn", Lift::of(0..100)),
        ("elkhorn", Lift::of(100..200)),
    ]));
    let capital = group.committed("Elkhorn", 100).await;
    let small = group.committed("elkhorn", 100).await;
    assert_eq!(capital.channel, "resort:~elkhorn");
    assert_eq!(small.channel, "resort:elkhorn");
    let report = group.stop().await;
    assert_eq!(report.totals.rows_committed, 200);
    assert_eq!((report.assigned, report.revoked, report.lost), (2, 0, 0));
    assert_eq!(landed(&world), numbers(0..200));
}

#[tokio::test(start_paused = true)]
async fn a_revoked_partition_ends_at_once_and_continues_where_it_was_when_assigned_again() {
    let world = World::new();
    let group = Group::start(&world.client().await);
    let (a, b) = (Lift::of(0..50), Lift::of(1_000..1_050));
    group.assign("a", &a);
    group.assign("b", &b);
    group.committed("a", 50).await;
    group.committed("b", 50).await;
    group.say(Event::Revoked(vec!["a"]));
    group.state("a", PartitionState::Unowned).await;
    let reads = a.shelf.stock().reads;
    let appends = world.requests(Endpoint::Append);
    a.add(50..60);
    sleep(Duration::from_secs(30)).await;
    assert_eq!(a.shelf.stock().reads, reads, "a revoked partition is read");
    assert_eq!(world.requests(Endpoint::Append), appends);

    b.add(1_050..1_060);
    group.committed("b", 60).await;
    group.assign("a", &a);
    let again = group.committed("a", 60).await;
    assert_eq!(again.assignments, 2);
    assert_eq!(again.progress.resumed_after, Some(49));
    group.say(Event::Lost(vec!["a", "b"]));
    group.state("b", PartitionState::Unowned).await;
    let report = group.stop().await;
    assert_eq!((report.assigned, report.revoked, report.lost), (3, 1, 2));
    assert_eq!(report.totals.owned, 0);
    let all = (0..60).chain(1_000..1_060);
    assert_eq!(landed(&world), all.collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn rows_of_a_revoked_partition_that_are_not_sent_are_never_sent() {
    let world = World::new();
    let builder = world.builder().max_client_lag(Duration::from_secs(20));
    let client = builder.build().await.unwrap();
    let group = Group::start(&client);
    group.assign("a", &Lift::of(0..50));
    group
        .until("a", |report| report.progress.rows_in_flight == 50)
        .await;
    group.say(Event::Revoked(vec!["a"]));
    group.state("a", PartitionState::Unowned).await;
    // The name is free at once.
    let channel = client.open_channel("resort:a").await.unwrap();
    assert_eq!(channel.resume_after::<i64>().unwrap(), None);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(world.requests(Endpoint::Append), 0);
    group.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_open_that_is_answered_after_the_revocation_is_not_used() {
    let world = World::new();
    let slow = Fault::Delay(Duration::from_secs(5));
    world
        .emulator
        .faults()
        .push(slow.on(Endpoint::Open).times(1));
    let group = Group::start(&world.client().await);
    let lift = Lift::of(0..50);
    group.assign("a", &lift);
    sleep(Duration::from_secs(1)).await;
    group.say(Event::Revoked(vec!["a"]));
    sleep(Duration::from_secs(30)).await;
    assert_eq!(lift.shelf.stock().reads, 0);
    assert_eq!(world.requests(Endpoint::Append), 0);
    group.assign("a", &lift);
    group.committed("a", 50).await;
    group.stop().await;
    assert_eq!(world.landed(), numbers(0..50));
}

#[tokio::test(start_paused = true)]
async fn a_stopped_group_commits_what_it_has_appended_and_then_leaves() {
    let world = World::with(|e| e.commit_delay(Duration::from_secs(8)));
    let group = Group::start(&world.client().await);
    group.assign("a", &Lift::of(0..50));
    group
        .until("a", |report| report.progress.rows_in_flight == 50)
        .await;
    let has_left = Arc::clone(&group.has_left);
    let report = group.stop().await;
    has_left.notified().await;
    assert_eq!(report.partitions["a"].state, PartitionState::Stopped);
    assert_eq!(report.partitions["a"].progress.released, Some(49));
    assert_eq!(report.totals.rows_committed, 50);
    assert_eq!(world.landed(), numbers(0..50));
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_fails_for_good_does_not_stop_the_others() {
    let world = World::new();
    let group = Group::start(&world.client().await);
    let (gap, panics, other) = (Lift::of(0..50), Lift::of(100..150), Lift::of(200..250));
    gap.shelf
        .stock()
        .failures
        .push_back(("check", Failure::Fatal));
    group.assign("gap", &gap);
    let out_of_order = Lift {
        panics: true,
        ..panics
    };
    group.assign("panics", &out_of_order);
    group.assign("other", &other);
    let failed = group.state("gap", PartitionState::Failed).await;
    let error = failed.error.unwrap();
    assert_eq!(error.kind(), ErrorKind::Source);
    assert!(error.to_string().contains("the disk is gone"), "{error}");
    let failed = group.state("panics", PartitionState::Failed).await;
    let error = failed.error.unwrap().to_string();
    assert!(error.contains("this lift is out of order"), "{error}");
    group.committed("other", 50).await;
    other.add(250..300);
    group.committed("other", 100).await;
    let report = group.stop().await;
    assert_eq!((report.totals.owned, report.totals.failed), (3, 2));
    assert_eq!(world.landed(), numbers(200..300));
}

#[tokio::test(start_paused = true)]
async fn a_partition_whose_channel_cannot_be_opened_is_tried_again() {
    let world = World::new();
    let group = Group::start(&world.client().await);
    let lift = Lift::of(0..50);
    // The source skips what follows, so the position is past the token.
    lift.shelf.stock().filtered_through = Some(60);
    group.assign("a", &lift);
    let is_past = |report: &PartitionReport<i64>| report.progress.released == Some(60);
    group.until("a", is_past).await;
    let faults = world.emulator.faults();
    faults.push(Fault::Forbidden.on(Endpoint::Open).always());
    faults.push(Fault::SecondWriter.on(Endpoint::Append).times(1));
    lift.shelf.stock().filtered_through = None;
    lift.add(61..70);
    let retrying = group.state("a", PartitionState::Retrying).await;
    assert_eq!(retrying.error.unwrap().kind(), ErrorKind::Forbidden);
    faults.clear();
    let healed = group.committed("a", 59).await;
    assert_eq!(healed.state, PartitionState::Streaming);
    assert!(healed.failures > 0);
    group.stop().await;
    assert_eq!(world.landed(), (0..50).chain(61..70).collect::<Vec<_>>());
}

/// Another writer opens the channel of the partition.
async fn take(world: &World) {
    let rival = world.client().await;
    rival.open_channel("resort:a").await.unwrap();
    rival.abort();
}

#[tokio::test(start_paused = true)]
async fn an_owner_takes_its_channel_back_from_a_writer_that_came_late() {
    let world = World::new();
    let group = Group::start(&world.client().await);
    let lift = Lift::of(0..50).owned(Ownership::Owned);
    group.assign("a", &lift);
    group.committed("a", 50).await;
    let mut expected = 50;
    for _ in 0..5 {
        take(&world).await;
        lift.add(expected..expected + 10);
        expected += 10;
        let rows = u64::try_from(expected).unwrap();
        group.committed("a", rows).await;
    }
    let report = group.stop().await;
    assert_eq!(report.partitions["a"].reopens, 5);
    assert_eq!(report.partitions["a"].failures, 0);
    assert_eq!(world.landed(), numbers(0..100));
}

/// An owner that has nothing more to send learns of a late open when its commit stalls.
#[tokio::test(start_paused = true)]
async fn an_owner_sends_again_what_a_late_open_has_discarded() {
    const STALL: Duration = Duration::from_secs(40);
    let world = World::new();
    let builder = world.builder().commit_stall_timeout(STALL);
    let group = Group::start(&builder.build().await.unwrap());
    group.assign("a", &Lift::of(0..50).owned(Ownership::Owned));
    let is_accepted = |report: &PartitionReport<i64>| report.progress.accepted == Some(49);
    group.until("a", is_accepted).await;
    let late = world.client().await;
    let open = late.open_channel("resort:a");
    open.on_uncommitted(OnUncommitted::Discard).await.unwrap();
    late.abort();
    assert_eq!(world.landed(), [0; 0]);
    let since = Instant::now();
    group.committed("a", 50).await;
    let took = since.elapsed();
    assert!(
        took > STALL && took < STALL + Duration::from_secs(5),
        "{took:?}"
    );
    assert_eq!(group.stop().await.partitions["a"].reopens, 1);
    assert_eq!(world.landed(), numbers(0..50));
}

#[tokio::test(start_paused = true)]
async fn an_owner_gives_up_after_three_reopens_without_a_commit() {
    let world = World::new();
    let group = Group::start(&world.client().await);
    let fenced = Fault::SecondWriter.on(Endpoint::Append).always();
    world.emulator.faults().push(fenced);
    group.assign("a", &Lift::of(0..50).owned(Ownership::Owned));
    let failed = group.state("a", PartitionState::Failed).await;
    let kind = failed.error.unwrap().kind();
    assert_eq!(kind, ErrorKind::Invalidated(InvalidationCause::Fenced));
    let opens = world.requests(Endpoint::Open);
    assert_eq!(opens, 4, "once, and three times again");
    sleep(Duration::from_secs(600)).await;
    assert_eq!(world.requests(Endpoint::Open), opens);
    group.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_former_owner_never_opens_the_channel_again() {
    let world = World::new();
    let group = Group::start(&world.client().await);
    let lift = Lift::of(0..50);
    group.assign("a", &lift);
    group.committed("a", 50).await;
    *lift.ownership.lock().unwrap() = Ownership::NotOwned;
    take(&world).await;
    lift.add(50..60);
    let unowned = group.state("a", PartitionState::Unowned).await;
    assert_eq!(unowned.failures, 0);
    let opens = world.requests(Endpoint::Open);
    sleep(Duration::from_secs(600)).await;
    assert_eq!(world.requests(Endpoint::Open), opens);
    group.stop().await;
    assert_eq!(world.landed(), numbers(0..50));
}

#[tokio::test(start_paused = true)]
async fn an_idle_partition_with_uncommitted_rows_recovers_by_itself() {
    let world = World::new();
    let group = Group::start(&world.client().await);
    let lost = Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".to_owned());
    world
        .emulator
        .faults()
        .push(lost.on(Endpoint::Status).times(1));
    // No row comes after these.
    group.assign("a", &Lift::of(0..50));
    group
        .until("a", |report| report.progress.released == Some(49))
        .await;
    let report = group.stop().await;
    assert_eq!(report.partitions["a"].reopens, 1);
    assert_eq!(world.landed(), numbers(0..50));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_closed_ends_the_group_and_leaves_the_engine() {
    let world = World::new();
    let client = world.client().await;
    let group = Group::start(&client);
    group.assign("a", &Lift::of(0..50));
    group.committed("a", 50).await;
    client.abort();
    group.has_left.notified().await;
    let error = group.task.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ClientClosed);
}

#[tokio::test(start_paused = true)]
async fn a_group_whose_engine_ends_streams_its_partitions_to_their_end() {
    let world = World::new();
    let mut group = Group::start(&world.client().await);
    let lift = Lift::of(0..50);
    lift.shelf.stock().is_open = false;
    group.assign("a", &lift);
    group.engine = None;
    let report = group.task.await.unwrap().unwrap();
    let state = report.partitions["a"].state;
    assert_eq!(
        (report.finish, state),
        (Finish::Exhausted, PartitionState::Exhausted)
    );
    assert_eq!(world.landed(), numbers(0..50));
}
