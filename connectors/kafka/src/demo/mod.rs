//! The run without options: brokers and a table in this process, two members as processes, one of which is killed.

pub mod cluster;
pub mod landing;
pub mod process;

use std::env;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use snowpipe_streaming_emulator::Emulator;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::interval;

use self::cluster::{Cluster, Rides};
use self::landing::{Landing, Reconciled};
use self::process::Process;

const TOPIC: &str = "rides";
const PARTITIONS: i32 = 12;
const SOURCE_ID: &str = "resort";
const RIDES: u64 = 60_000;
/// How many rides are produced at once, and how often.
const STEP: u64 = 400;
const STEP_EVERY: Duration = Duration::from_millis(100);
/// When so many have landed, a member is killed.
const KILL_AT: u64 = 15_000;

/// Runs the demo until its end or until `stop` is true. Returns whether each ride landed once.
///
/// # Errors
/// If a part of it cannot be started or does not answer, and if it is stopped.
pub async fn run(mut stop: watch::Receiver<bool>) -> Result<bool> {
    tokio::select! {
        shown = show() => shown,
        _ = stop.wait_for(|stop| *stop) => bail!("interrupted"),
    }
}

async fn show() -> Result<bool> {
    let mut landing = Landing::start(Emulator::builder()).await?;
    let folder = TempDir::new().context("cannot create a folder for the profile")?;
    let profile = landing.write_profile(folder.path())?;
    let rides = stream(&mut landing, &profile).await?;

    println!(
        "\n{:<12} {:>9} {:>9} {:>9}  once",
        "partition", "produced", "committed", "landed"
    );
    let mut is_exact = true;
    for (partition, reconciled) in landing.reconcile(SOURCE_ID, TOPIC, &rides)? {
        let Reconciled {
            produced,
            committed,
            landed,
            ..
        } = reconciled;
        let is_once = reconciled.is_exact && committed == produced;
        is_exact &= is_once;
        let once = if is_once { "yes" } else { "NO" };
        println!("{TOPIC}:{partition:<6} {produced:>9} {committed:>9} {landed:>9}  {once}");
    }
    println!(
        "{}",
        if is_exact {
            "every ride is in the table, exactly once"
        } else {
            "the table is not what was produced"
        }
    );
    Ok(is_exact)
}

/// Produces and streams all rides, with a kill in the middle. Returns what was produced.
async fn stream(landing: &mut Landing, profile: &Path) -> Result<Rides> {
    let cluster = Cluster::start(TOPIC, PARTITIONS)?;
    println!("three brokers, topic {TOPIC} with {PARTITIONS} partitions, {RIDES} rides");
    let options = [
        format!("--brokers={}", cluster.brokers.bootstrap_servers()),
        "--group=resort".to_owned(),
        format!("--source-id={SOURCE_ID}"),
        format!("--topic={TOPIC}={}", landing::TABLE),
        format!("--profile={}", profile.display()),
        "--with-metadata".to_owned(),
        // The brokers miss a killed member after this time.
        "--set=session.timeout.ms=4000".to_owned(),
        "--set=heartbeat.interval.ms=500".to_owned(),
    ];
    let program = env::current_exe().context("where is this program?")?;
    let mut stays = Process::start(&program, &options)?;
    let mut dies = Process::start(&program, &options)?;
    println!("two members join the group");

    let mut rides = Rides::new();
    let streamed = async {
        tokio::try_join!(stays.streams(1), dies.streams(1))?;
        landing.has_rows(KILL_AT).await?;
        dies.kill().await?;
        let killed = Instant::now();
        println!(
            "killed the second member with {} of 12 partitions, after {} rides had landed",
            dies.streaming(),
            landing.rows()
        );
        stays.streams(PARTITIONS.unsigned_abs() as usize).await?;
        println!(
            "the first member streams all {PARTITIONS} partitions after {:.1} s",
            killed.elapsed().as_secs_f64()
        );
        landing.has_rows(RIDES).await?;
        println!("all rides have landed; the first member leaves the group");
        let ended = stays.stop().await?;
        anyhow::ensure!(ended.success(), "the first member ended with {ended}");
        Ok(())
    };
    tokio::try_join!(produce(&cluster, &mut rides), streamed)?;
    Ok(rides)
}

async fn produce(cluster: &Cluster, rides: &mut Rides) -> Result<()> {
    let mut interval = interval(STEP_EVERY);
    for first in (0..RIDES).step_by(usize::try_from(STEP)?) {
        interval.tick().await;
        let numbers = first..(first + STEP).min(RIDES);
        cluster.ride(TOPIC, PARTITIONS, numbers, rides).await?;
    }
    Ok(())
}
