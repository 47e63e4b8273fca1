//! Logs that do not have what the committed token needs.

use anyhow::{Context, Result, ensure};

use crate::world::{TOPIC, World, stop};
use snowpipe_kafka::demo::cluster::Cluster;
use snowpipe_kafka::demo::process::Process;

/// Waits until partition 0 has failed, and returns the reason.
async fn failure(member: &mut Process) -> Result<String> {
    let partition = format!("{TOPIC}:0");
    let failed = |state: &String| state.starts_with("failed");
    member
        .until(|states| states.get(&partition).is_some_and(failed))
        .await?;
    member.states().get(&partition).cloned().context("no state")
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_deleted_before_they_are_read() -> Result<()> {
    let mut world = World::new(1).await?;
    world.ride(100).await?;
    let member = world.member(&[])?;
    world.lands().await?;
    stop(member).await?;
    // The mock cluster keeps five megabytes of a partition.
    let padding = "x".repeat(20_000);
    let value = |n: i64| Some(format!(r#"{{"RIDE_ID":{n},"LIFT":"{padding}"}}"#));
    let records: Vec<_> = (0..400).map(|n| (0, None, value(n))).collect();
    let mut offsets = Vec::new();
    // One at a time, so that batches are small, and the broker deletes them one by one.
    for record in records.chunks(20) {
        offsets.extend(world.cluster.send(TOPIC, record).await?);
    }
    ensure!(offsets.first() == Some(&100) && offsets.last() == Some(&499));

    let mut stopped = world.member(&[])?;
    let reason = failure(&mut stopped).await?;
    ensure!(reason.contains("the offsets 100 to "), "{reason}");
    ensure!(world.landing.rows() == 100, "nothing lands after a gap");
    // A partition that has failed is worth an exit code.
    ensure!(!stopped.stop().await?.success());

    let first: i64 = reason
        .split_once("offsets 100 to ")
        .and_then(|(_, rest)| rest.split_once(' '))
        .context("no range")?
        .0
        .parse()?;
    let kept = 499 - first;
    ensure!(kept > 100, "only {kept} records are left");
    let member = world.member(&["--on-gap=continue"])?;
    world.landing.has_rows(100 + kept.unsigned_abs()).await?;
    stop(member).await?;
    let rides = world.rides.entry(0).or_default();
    rides.extend((first + 1..500).map(|offset| (offset, (offset - 100).unsigned_abs())));
    world.is_exact()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_channel_begins_where_the_group_was() -> Result<()> {
    let mut world = World::new(1).await?;
    world.ride(100).await?;
    world.commit_offset(0, 40)?;
    let member = world.member(&["--start=group"])?;
    world.landing.has_rows(60).await?;
    stop(member).await?;
    world
        .rides
        .entry(0)
        .or_default()
        .retain(|offset, _| *offset >= 40);
    world.is_exact()?;
    ensure!(world.committed_offset(0)? == Some(100));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_cluster_has_fewer_records_than_are_committed() -> Result<()> {
    let mut world = World::new(2).await?;
    world.ride(200).await?;
    let member = world.member(&[])?;
    world.lands().await?;
    stop(member).await?;

    let first = std::mem::replace(&mut world.cluster, Cluster::start(TOPIC, 2)?);
    drop(first);
    let ride = |n: u32| Some(format!(r#"{{"RIDE_ID":{n}}}"#));
    // Partition 0 is shorter than before, and partition 1 is as long.
    let records: Vec<_> = (0..10).map(|n| (0, None, ride(n))).collect();
    world.cluster.send(TOPIC, &records).await?;
    let records: Vec<_> = (0..100).map(|n| (1, None, ride(n))).collect();
    world.cluster.send(TOPIC, &records).await?;

    let mut member = world.member(&[])?;
    let reason = failure(&mut member).await?;
    ensure!(
        reason.contains("is 100, but the log ends at 10"),
        "{reason}"
    );
    ensure!(member.streaming() == 1, "the other partition goes on");
    ensure!(!member.stop().await?.success());
    world.is_exact()
}
