//! The limits of a shard, iterators that expire, and records that are gone.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::world::World;
use snowpipe_kinesis::demo::landing::MICROBATCH;

/// With a life that is shorter than the pause between two reads, each iterator has expired when it is used.
#[tokio::test]
async fn expired_iterators_continue_after_the_last_record() -> Result<()> {
    let mut world = World::with(1, Duration::from_millis(100), None).await?;
    let (streaming, batching) = (world.streaming(&[])?, world.batching(&[])?);
    let loading = world.loading(&[])?;
    for _ in 0..3 {
        world.put(500).await?;
        world.have_all().await?;
    }
    for process in [streaming, batching, loading] {
        ensure!(process.stop().await?.success(), "a program failed");
    }
    let expired = world.server.as_ref().context("no server")?.expired();
    ensure!(expired > 0, "no iterator has expired");
    world.are_exact()
}

/// The check for records that are gone reads through answers without records, and is repeated when an iterator has expired.
#[tokio::test]
async fn records_that_are_deleted_while_a_program_waits_stop_the_shard() -> Result<()> {
    let mut world = World::with(1, Duration::from_millis(100), None).await?;
    world.put(100).await?;
    let mut streaming = world.streaming(&[])?;
    world.landing.have_rows(100, 0).await?;
    let server = world.server.as_ref().context("no server")?;
    server.trim_after_put("shardId-000000000000", 110);
    world.put(50).await?;
    streaming.says("--on-gap continue").await?;
    ensure!(
        streaming.stop().await?.code() == Some(1),
        "the program has not failed"
    );
    ensure!(world.landing.rows() == [100, 0], "rows were streamed");
    Ok(())
}

#[tokio::test]
async fn answers_without_records_do_not_hide_that_records_are_gone() -> Result<()> {
    let mut world = World::new(1).await?;
    world.put(100).await?;
    let streaming = world.streaming(&[])?;
    world.landing.have_rows(100, 0).await?;
    ensure!(streaming.stop().await?.success(), "the program failed");
    world.put(50).await?;
    let server = world.server.as_ref().context("no server")?;
    server.trim("shardId-000000000000", 110);
    server.answer_without_records_first(8);
    let mut streaming = world.streaming(&[])?;
    streaming.says("--on-gap continue").await?;
    ensure!(
        streaming.stop().await?.code() == Some(1),
        "the program has not failed"
    );
    ensure!(world.landing.rows() == [100, 0], "rows were streamed");
    Ok(())
}

#[tokio::test]
async fn a_stream_that_outlives_its_channels_is_named() -> Result<()> {
    let world = World::new(1).await?;
    let server = world.server.as_ref().context("no server")?;
    server.set_retention_hours(721);
    let mut streaming = world.streaming(&[])?;
    streaming.says("more than 30 days").await?;
    ensure!(streaming.stop().await?.success(), "the program failed");
    Ok(())
}

#[tokio::test]
async fn two_readers_keep_within_the_limits_of_a_shard() -> Result<()> {
    let mut world = World::new(1).await?;
    let (streaming, batching) = (world.streaming(&[])?, world.batching(&[])?);
    let loading = world.loading(&[])?;
    world.put(5_000).await?;
    world.have_all().await?;
    for process in [streaming, batching, loading] {
        ensure!(process.stop().await?.success(), "a program failed");
    }
    world.are_exact()?;
    // The end of each program leaves a call behind that the next one does not know of; these were started once.
    let throttled = world.server.as_ref().context("no server")?.throttled();
    ensure!(throttled == 0, "{throttled} calls were refused");
    Ok(())
}

#[tokio::test]
async fn records_that_may_be_gone_stop_the_shard_unless_it_may_continue() -> Result<()> {
    let mut world = World::new(1).await?;
    world.put(100).await?;
    let streaming = world.streaming(&[])?;
    let batching = world.batching(&[])?;
    world.landing.have_rows(100, 0).await?;
    ensure!(streaming.stop().await?.success(), "the program failed");
    ensure!(batching.stop().await?.success(), "the program failed");
    let objects = world.objects().await?.len();
    world.put(50).await?;
    // The committed records, and ten more.
    world
        .server
        .as_ref()
        .context("no server")?
        .trim("shardId-000000000000", 110);

    let mut stopped = world.streaming(&[])?;
    stopped.says("failed: ").await?;
    ensure!(
        stopped.stop().await?.code() == Some(1),
        "the program has not failed"
    );
    ensure!(world.landing.rows() == [100, 0], "rows were streamed");
    let mut stopped = world.batching(&[])?;
    stopped.says("--on-gap continue").await?;
    ensure!(
        stopped.stop().await?.code() == Some(1),
        "the program has not failed"
    );
    ensure!(
        world.objects().await?.len() == objects,
        "objects were written"
    );

    let streaming = world.streaming(&["--on-gap=continue"])?;
    world.landing.have_rows(140, 0).await?;
    ensure!(streaming.stop().await?.success(), "the program failed");
    ensure!(
        world.landing.measurements(MICROBATCH)?.is_empty(),
        "rows in the other table"
    );
    Ok(())
}

#[tokio::test]
async fn a_stream_that_does_not_exist_is_named() -> Result<()> {
    let world = World::new(1).await?;
    let bucket = format!("--bucket={}", world.path("bucket").display());
    let mut batching = world.program(&["batch", "--stream=other", &bucket])?;
    batching.says("there is no stream other").await?;
    ensure!(
        batching.ended().await?.code() == Some(1),
        "the stream exists"
    );
    let mut produce = world.program(&["produce", "--stream=other", "--records=1"])?;
    produce.says("there is no stream other").await?;
    ensure!(
        produce.ended().await?.code() == Some(1),
        "the stream exists"
    );
    Ok(())
}

/// The SDK does not repeat a put behind the program's back.
#[tokio::test]
async fn records_that_may_be_in_the_stream_twice_are_counted() -> Result<()> {
    let world = World::new(1).await?;
    let server = world.server.as_ref().context("no server")?;
    server.put_without_answer(2);
    let mut produce = world.program(&["produce", "--stream=sensors", "--records=1"])?;
    produce.says("2 of them were sent again").await?;
    ensure!(produce.ended().await?.success(), "the program failed");
    ensure!(server.records() == 3, "{} records", server.records());
    Ok(())
}

/// An object of the last decision that is missing is written again, with the same name and the same bytes.
#[tokio::test]
async fn a_missing_object_of_the_last_decision_is_written_again() -> Result<()> {
    let mut world = World::new(1).await?;
    world.put(250).await?;
    let (streaming, batching) = (world.streaming(&[])?, world.batching(&[])?);
    let loading = world.loading(&[])?;
    world.have_all().await?;
    for process in [streaming, batching, loading] {
        ensure!(process.stop().await?.success(), "a program failed");
    }
    let before = world.objects().await?;
    // The last decision has the last records.
    let last = before
        .iter()
        .max_by_key(|object| object.key.rsplit('-').next().map(str::to_owned))
        .context("no object")?;
    std::fs::remove_file(world.path("bucket").join(&last.key))?;
    let batching = world.batching(&[])?;
    let written = async {
        while world.objects().await? != before {
            tokio::task::yield_now().await;
        }
        Ok::<_, anyhow::Error>(())
    };
    tokio::time::timeout(Duration::from_mins(1), written)
        .await
        .context("the object is not there")??;
    ensure!(batching.stop().await?.success(), "the program failed");
    Ok(())
}
