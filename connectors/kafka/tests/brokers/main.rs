//! Members on a real broker, with kills of members, brokers and the emulator at random: see `run.sh`, which starts this.
//!
//! Two brokers share their state in a database and have one address, which a proxy in this process serves. The table is compared
//! with the log itself, because a producer whose broker is killed may write a record twice.

mod log;
mod proxy;
mod services;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use tokio::time::sleep;

use self::log::Log;
use self::services::{Brokers, Emulator};
use snowpipe_kafka::demo::landing::TABLE;
use snowpipe_kafka::demo::process::Process;

const TOPIC: &str = "rides";
const PARTITIONS: i32 = 8;
const MEMBERS: usize = 3;
/// nisshi asks for a session of at least six seconds.
const SESSION_MS: &str = "6000";
const PATIENCE: Duration = Duration::from_secs(180);

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let kills: usize = arguments.next().map_or(Ok(12), |kills| kills.parse())?;
    let seed: u64 = arguments
        .next()
        .map_or_else(|| Ok(fastrand::u64(..1_000_000)), |s| s.parse())?;
    println!("seed {seed}");
    let folder = tempfile::TempDir::new()?;
    let brokers = Brokers::start().await?;
    let emulator = Emulator::start(folder.path()).await?;
    let log = Log::new(&brokers.address())?;
    let mut world = World {
        brokers,
        emulator,
        log,
        produced: 0,
    };
    world.takeovers().await?;
    world
        .chaos(kills, seed)
        .await
        .with_context(|| format!("seed {seed}"))?;
    Ok(())
}

struct World {
    brokers: Brokers,
    emulator: Emulator,
    log: Log,
    produced: u64,
}

impl World {
    fn member(&self) -> Result<Process> {
        let options = [
            format!("--brokers={}", self.brokers.address()),
            "--group=resort".to_owned(),
            format!("--topic={TOPIC}={TABLE}"),
            format!("--profile={}", self.emulator.profile().display()),
            format!("--set=session.timeout.ms={SESSION_MS}"),
            "--set=heartbeat.interval.ms=1000".to_owned(),
            "--with-metadata".to_owned(),
        ];
        Process::start(Path::new(env!("CARGO_BIN_EXE_snowpipe-kafka")), &options)
    }

    async fn ride(&mut self, count: u64) -> Result<()> {
        self.log.ride(self.produced..self.produced + count).await?;
        self.produced += count;
        Ok(())
    }

    /// How long partitions stand still after a kill and after a clean end.
    async fn takeovers(&mut self) -> Result<()> {
        let all = usize::try_from(PARTITIONS)?;
        let mut stays = self.member()?;
        stays.streams(all).await?;
        for is_killed in [true, false] {
            let mut ends = self.member()?;
            ends.streams(all / 2).await?;
            self.ride(4_000).await?;
            let ended = Instant::now();
            if is_killed {
                ends.kill().await?;
            } else {
                ensure!(
                    ends.stop().await?.success(),
                    "the member ended with an error"
                );
            }
            stays.streams(all).await?;
            println!(
                "takeover after a {}: {:.1} s, with a session timeout of {SESSION_MS} ms",
                if is_killed { "kill" } else { "clean end" },
                ended.elapsed().as_secs_f64()
            );
        }
        // What a member has not read when it ends is for the next one.
        self.is_exact().await?;
        ensure!(
            stays.stop().await?.success(),
            "the member ended with an error"
        );
        Ok(())
    }

    /// Kills what there is, and compares the table with the log.
    async fn chaos(&mut self, kills: usize, seed: u64) -> Result<()> {
        let mut rng = Rng::with_seed(seed);
        let mut members = (0..MEMBERS)
            .map(|_| self.member())
            .collect::<Result<Vec<_>>>()?;
        let mut done: BTreeMap<&str, usize> = BTreeMap::new();
        for _ in 0..kills {
            self.ride(rng.u64(1_000..5_000)).await?;
            let member = members.get_mut(rng.usize(..MEMBERS)).context("no member")?;
            let pause = Duration::from_millis(rng.u64(200..4_000));
            let event = match rng.u8(..5) {
                0 => {
                    self.brokers.restart(rng.bool(), pause).await?;
                    "broker killed"
                }
                1 => {
                    self.emulator.restart(pause).await?;
                    "emulator killed"
                }
                2 => {
                    member.signal("STOP").await?;
                    // Longer than its session, or shorter.
                    sleep(pause * rng.u32(1..4)).await;
                    member.signal("CONT").await?;
                    "member suspended"
                }
                3 => {
                    ensure!(
                        member.stop().await?.success(),
                        "the member ended with an error"
                    );
                    *member = self.member()?;
                    "member restarted"
                }
                _ => {
                    member.kill().await?;
                    *member = self.member()?;
                    "member killed"
                }
            };
            *done.entry(event).or_default() += 1;
            sleep(Duration::from_millis(rng.u64(200..3_000))).await;
        }
        self.is_exact().await?;
        for member in &mut members {
            ensure!(
                member.stop().await?.success(),
                "a member ended with an error"
            );
        }
        self.is_exact().await?;
        println!(
            "{done:?}: {} rides produced, each record of the log is in the table once",
            self.produced
        );
        Ok(())
    }

    /// Waits until as many rows have landed as the log has records, and compares the two by partition and offset.
    async fn is_exact(&self) -> Result<()> {
        let records = self.log.read().await?;
        let count: usize = records.values().map(Vec::len).sum();
        let until = Instant::now() + PATIENCE;
        let mut landed = self.emulator.landed()?;
        while landed.values().map(Vec::len).sum::<usize>() < count {
            ensure!(
                Instant::now() < until,
                "some of {count} records have not landed"
            );
            // The table is in a file of another process.
            sleep(Duration::from_millis(500)).await;
            landed = self.emulator.landed()?;
        }
        for (partition, records) in &records {
            let landed = landed.get(partition).map_or(&[][..], Vec::as_slice);
            ensure!(
                landed == records,
                "partition {partition} has {} records in the log and {} rows in the table, and they differ",
                records.len(),
                landed.len()
            );
        }
        ensure!(
            landed.len() == records.len(),
            "the table has rows of unknown partitions"
        );
        Ok(())
    }
}
