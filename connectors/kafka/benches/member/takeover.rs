//! How long partitions stand still when their member is killed, and when it ends cleanly: from the signal until the other
//! member streams all of them.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use snowpipe_streaming_emulator::Emulator;
use tempfile::TempDir;

use snowpipe_kafka::demo::cluster::Cluster;
use snowpipe_kafka::demo::landing::{Landing, TABLE};
use snowpipe_kafka::demo::process::Process;

const TOPIC: &str = "rides";
const PARTITIONS: i32 = 12;

/// Prints the times.
///
/// # Errors
/// If a member fails.
pub(crate) async fn measure(count: u32) -> Result<()> {
    for (end, is_killed) in [("kill", true), ("clean end", false)] {
        let mut times = Vec::new();
        for _ in 0..count {
            times.push(format!("{:.1}", takeover(is_killed).await?));
        }
        println!(
            "takeover after a {end}, session timeout 4 s, in seconds: {}",
            times.join(", ")
        );
    }
    Ok(())
}

async fn takeover(is_killed: bool) -> Result<f64> {
    let landing = Landing::start(Emulator::builder()).await?;
    let folder = TempDir::new()?;
    let profile = landing.write_profile(folder.path())?;
    let cluster = Cluster::start(TOPIC, PARTITIONS)?;
    let options = [
        format!("--brokers={}", cluster.brokers.bootstrap_servers()),
        "--group=resort".to_owned(),
        format!("--topic={TOPIC}={TABLE}"),
        format!("--profile={}", profile.display()),
        "--set=session.timeout.ms=4000".to_owned(),
        "--set=heartbeat.interval.ms=500".to_owned(),
    ];
    let program = Path::new(env!("CARGO_BIN_EXE_snowpipe-kafka"));
    let mut stays = Process::start(program, &options)?;
    let mut ends = Process::start(program, &options)?;
    tokio::try_join!(stays.streams(1), ends.streams(1))?;
    let ended = Instant::now();
    if is_killed {
        ends.kill().await?;
    } else {
        ends.signal("TERM").await?;
    }
    let all = usize::try_from(PARTITIONS)?;
    stays.streams(all).await?;
    Ok(ended.elapsed().as_secs_f64())
}
