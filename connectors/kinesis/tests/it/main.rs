//! The programs as processes on a stream in this process, a folder and the emulator. Each test compares the tables with what was put.

#![cfg(test)]

mod faults;
mod loads;
mod scenarios;
mod sharing;
mod snowpipe;
mod world;

use std::env;

use anyhow::Result;

use self::world::World;
use snowpipe_kinesis::demo::server::Faults;

#[tokio::test]
async fn a_batch_has_at_most_a_hundred_records_and_nothing_is_written_twice() -> Result<()> {
    scenarios::batches_of_a_hundred(World::new(1).await?).await
}

#[tokio::test]
async fn shards_are_split_and_merged_while_records_flow() -> Result<()> {
    scenarios::shards_come_and_go(World::new(2).await?).await
}

#[tokio::test]
async fn malformed_records_are_dead_letters_and_odd_ones_land_as_they_are() -> Result<()> {
    scenarios::odd_records(World::new(1).await?).await
}

/// `KINESIS_SEEDS` says how many; each has four kills.
#[tokio::test]
async fn programs_are_killed_at_random() -> Result<()> {
    let seeds = env::var("KINESIS_SEEDS")
        .ok()
        .and_then(|seeds| seeds.parse().ok());
    for seed in 1..=seeds.unwrap_or(5_u64) {
        println!("seed {seed}");
        let faults = Faults { rate: 0.05, seed };
        let life = std::time::Duration::from_mins(5);
        let world = World::with(1 + usize::try_from(seed % 3)?, life, Some(faults)).await?;
        scenarios::killed_at_random(world, seed, 4).await?;
    }
    Ok(())
}
