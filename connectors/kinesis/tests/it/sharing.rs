//! Several programs at one stream.

use anyhow::{Context as _, Result, ensure};

use crate::scenarios;
use crate::world::World;

#[tokio::test]
async fn programs_share_the_shards_and_children_wait_for_parents_elsewhere() -> Result<()> {
    let mut world = World::new(2).await?;
    let mut programs = Vec::new();
    for share in ["--worker=1/2", "--worker=2/2"] {
        programs.push(world.streaming(&[share])?);
        programs.push(world.batching(&[share])?);
    }
    programs.push(world.loading(&[])?);
    for _ in 0..3 {
        world.put(1_000).await?;
        world.split().await?;
    }
    world.put(1_000).await?;
    world.merge().await?;
    world.put(1_000).await?;
    world.have_all().await?;
    for program in programs {
        program.drain().await?;
    }
    world.are_exact()?;
    scenarios::parents_come_first(&world).await
}

/// A shard with two owners by mistake: the server accepts the rows of one of them, and the objects are the same.
#[tokio::test]
async fn two_programs_at_the_same_shard_lose_and_double_nothing() -> Result<()> {
    let mut world = World::new(1).await?;
    let mut first = world.streaming(&[])?;
    first.says("streaming").await?;
    world.put(500).await?;
    let mut second = world.streaming(&[])?;
    second.says("streaming").await?;
    let batching = [world.batching(&[])?, world.batching(&[])?];
    let loading = world.loading(&[])?;
    for _ in 0..5 {
        world.put(500).await?;
    }
    world.have_all().await?;
    let ended = [
        first.stop().await?.success(),
        second.stop().await?.success(),
    ];
    ensure!(ended != [false, false], "both programs have failed");
    for program in batching {
        program.drain().await?;
    }
    loading.drain().await?;
    world.are_exact()
}

/// The end of a parent whose last records are malformed is known although they are not committed.
#[tokio::test]
async fn malformed_records_at_the_end_of_a_shard_do_not_stop_its_children() -> Result<()> {
    let mut world = World::new(1).await?;
    let mut programs = Vec::new();
    for share in ["--worker=1/2", "--worker=2/2"] {
        programs.push(world.streaming(&[share])?);
        programs.push(world.batching(&[share])?);
    }
    programs.push(world.loading(&[])?);
    world.put(300).await?;
    world
        .put_records(vec![("1".to_owned(), "{".into()); 3])
        .await?;
    world.split().await?;
    world.put(300).await?;
    world.have_all().await?;
    for program in programs {
        program.drain().await?;
    }
    world.are_exact()?;
    for path in ["stream", "batch"] {
        let letters = world.letters(path)?;
        ensure!(letters.len() == 3, "{path}: {letters:?}");
    }
    Ok(())
}

/// Kinesis may answer without records where there are some, and before the end of a closed shard.
#[tokio::test]
async fn answers_without_records_do_not_hide_the_end_of_a_parent_elsewhere() -> Result<()> {
    let mut world = World::new(1).await?;
    let server = world.server.as_ref().context("no server")?;
    server.answer_without_records_first(2);
    let mut programs = Vec::new();
    for share in ["--worker=1/2", "--worker=2/2"] {
        programs.push(world.streaming(&[share])?);
    }
    world.put(300).await?;
    world.split().await?;
    world.put(300).await?;
    world.landing.have_rows(600, 0).await?;
    for program in programs {
        program.drain().await?;
    }
    scenarios::parents_come_first(&world).await
}

/// A program whose only shard is streamed by another one ends, so that it is noticed.
#[tokio::test]
async fn a_program_without_shards_that_it_may_stream_ends() -> Result<()> {
    let mut world = World::new(1).await?;
    let mut first = world.streaming(&[])?;
    first.says("streaming").await?;
    let mut second = world.streaming(&[])?;
    second.says("streaming").await?;
    // Each takes the channel back a few times, as long as rows arrive.
    let text = "no shard is streamed any more";
    let ended = {
        let ended = async {
            tokio::select! {
                said = first.says(text) => said.map(|()| 0),
                said = second.says(text) => said.map(|()| 1),
            }
        };
        tokio::pin!(ended);
        loop {
            tokio::select! {
                ended = &mut ended => break ended?,
                put = world.put(100) => put?,
            }
        }
    };
    let mut ended = if ended == 0 { first } else { second };
    ensure!(
        ended.ended().await?.code() == Some(1),
        "the program has not failed"
    );
    Ok(())
}
