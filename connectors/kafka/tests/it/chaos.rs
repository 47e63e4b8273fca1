//! Members that are killed, suspended and started at random, from a seed.

use std::env;
use std::time::Duration;

use anyhow::{Context, Result};
use snowpipe_streaming_emulator::{Emulator, Endpoint, Fault};
use tokio::time::sleep;

use crate::world::{SOURCE_ID, TOPIC, World, stop};
use snowpipe_kafka::demo::process::Process;

const PARTITIONS: i32 = 8;
const STEPS: usize = 6;

/// The member of one number, and whether it is suspended.
struct Slot {
    member: Process,
    is_suspended: bool,
}

impl Slot {
    fn start(world: &World) -> Result<Self> {
        Ok(Self {
            member: world.member(&[])?,
            is_suspended: false,
        })
    }
}

async fn run(seed: u64) -> Result<()> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let emulator = Emulator::builder().commit_delay(Duration::from_millis(rng.u64(100..800)));
    let mut world = World::with(PARTITIONS, emulator).await?;
    let mut slots = (0..3)
        .map(|_| Slot::start(&world))
        .collect::<Result<Vec<_>>>()?;
    // A channel that is invalidated four times without a commit in between fails, so each has its faults once.
    let mut partitions: Vec<_> = (0..PARTITIONS).collect();
    rng.shuffle(&mut partitions);
    for partition in partitions.into_iter().take(STEPS) {
        let channel = format!("{SOURCE_ID}:{TOPIC}:{partition}");
        let faults = world.landing.emulator.faults();
        faults.push(
            rng.choice([Fault::ApplyThenLose, Fault::Lose, Fault::FailedOver])
                .context("none")?
                .on(Endpoint::Append)
                .channel(&channel),
        );
        faults.push(
            rng.choice([Fault::Zombie, Fault::ApplyThenLose])
                .context("none")?
                .on(Endpoint::Open)
                .channel(&channel),
        );
        world.ride(rng.u64(500..3_000)).await?;
        let at = rng.usize(..slots.len());
        let slot = slots.get_mut(at).context("no member")?;
        if slot.is_suspended {
            slot.member.signal("CONT").await?;
            slot.is_suspended = false;
        } else if rng.u8(..4) == 0 {
            // Perhaps the coordinator of the group.
            let broker = rng.i32(1..=3);
            world.cluster.brokers.broker_down(broker)?;
            sleep(Duration::from_millis(rng.u64(500..5_000))).await;
            world.cluster.brokers.broker_up(broker)?;
        } else if rng.bool() {
            slot.member.kill().await?;
            *slot = Slot::start(&world)?;
        } else {
            slot.member.signal("STOP").await?;
            slot.is_suspended = true;
        }
        // The events of a run at random happen at times at random.
        sleep(Duration::from_millis(rng.u64(500..3_000))).await;
    }
    for slot in &mut slots {
        if slot.is_suspended {
            slot.member.signal("CONT").await?;
        }
    }
    world.ride(1_000).await?;
    world.lands().await?;
    for slot in slots {
        stop(slot.member).await?;
    }
    world.is_exact()
}

/// Five seeds, or those that `KAFKA_SEEDS` says: how many, or from one to another as in `7-9`.
#[tokio::test(flavor = "multi_thread")]
async fn members_are_killed_and_suspended_at_random() -> Result<()> {
    let seeds = env::var("KAFKA_SEEDS").unwrap_or_else(|_| "5".to_owned());
    let (first, last) = seeds.split_once('-').unwrap_or(("1", &seeds));
    for seed in first.parse()?..=last.parse()? {
        run(seed).await.with_context(|| format!("seed {seed}"))?;
        eprintln!("seed {seed} is exact");
    }
    Ok(())
}
