//! The member and the client alone in turn, with the same rows into the same sink.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::brokers::{Brokers, TOPIC};
use crate::sink::{Counts, Sink};
use crate::usage::Usage;

/// The result of one run.
struct Sample {
    rows_per_s: f64,
    cpu_us_per_row: f64,
    sink_us_per_row: f64,
    brokers_us_per_row: f64,
    peak_mib: f64,
}

/// Runs both so often, and prints the medians.
///
/// # Errors
/// If a run fails, or a row is missing.
pub(crate) async fn compare(
    pool: &Path,
    partitions: u32,
    rows: u64,
    pairs: u32,
    test: bool,
) -> Result<()> {
    let mut sink = Sink::start(test).await?;
    let brokers = Brokers::start(pool, partitions, rows).await?;
    let all = rows * u64::from(partitions);
    println!("{all} rows, {partitions} partitions, median of {pairs}");
    let (mut alone, mut member) = (Vec::new(), Vec::new());
    for pair in 0..pairs {
        let client = client_alone(&mut sink, pool, partitions, rows);
        alone.push(client.await.context("the client alone")?);
        let streamed = one_member(&mut sink, &brokers, all, pair);
        member.push(streamed.await.context("the member")?);
    }
    println!(
        "{:<8} {:>10} {:>12} {:>12} {:>14} {:>10}",
        "", "rows/s", "CPU us/row", "sink us/row", "brokers us/row", "peak MiB"
    );
    for (name, samples) in [("alone", &alone), ("member", &member)] {
        println!(
            "{name:<8} {:>10.0} {:>12.2} {:>12.2} {:>14.2} {:>10.0}",
            median(samples, |sample| sample.rows_per_s),
            median(samples, |sample| sample.cpu_us_per_row),
            median(samples, |sample| sample.sink_us_per_row),
            median(samples, |sample| sample.brokers_us_per_row),
            median(samples, |sample| sample.peak_mib),
        );
    }
    let pairs = member.iter().zip(&alone);
    let ratios: Vec<_> = pairs
        .map(|(member, alone)| member.rows_per_s / alone.rows_per_s)
        .collect();
    println!(
        "member / alone: {:.0} % of the rows/s\n",
        100.0 * median(&ratios, |ratio| *ratio)
    );
    Ok(())
}

async fn client_alone(sink: &mut Sink, pool: &Path, channels: u32, rows: u64) -> Result<Sample> {
    sink.reset().await?;
    let output = Command::new(std::env::current_exe()?)
        .arg("alone")
        .args([pool, &sink.place.profile])
        .args([channels.to_string(), rows.to_string()])
        .env("SSL_CERT_FILE", &sink.place.ca)
        .stderr(Stdio::inherit())
        .output()
        .await?;
    ensure!(output.status.success(), "it ended with {}", output.status);
    let used: Usage = serde_json::from_slice(&output.stdout)?;
    let rows = rows * u64::from(channels);
    sample(rows, &sink.has(rows).await?, used, 0.0)
}

async fn one_member(sink: &mut Sink, brokers: &Brokers, rows: u64, run: u32) -> Result<Sample> {
    sink.reset().await?;
    let brokers_before = Usage::of(brokers.id())?.cpu_s;
    let mut member = Command::new(env!("CARGO_BIN_EXE_snowpipe-kafka"))
        .arg(format!("--brokers={}", brokers.addresses))
        // Another group and other channels in each run: nothing is committed.
        .args([
            format!("--group=run-{run}"),
            format!("--topic={TOPIC}=RESORT.PUBLIC.LIFT_RIDE"),
        ])
        .arg("--profile")
        .arg(&sink.place.profile)
        .args([
            "--set=session.timeout.ms=4000",
            "--set=heartbeat.interval.ms=500",
        ])
        .env("SSL_CERT_FILE", &sink.place.ca)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let counts = sink.has(rows).await?;
    let used = Usage::of(member.id().context("the member has ended")?)?;
    let brokers_cpu = Usage::of(brokers.id())?.cpu_s - brokers_before;
    member.kill().await?;
    sample(rows, &counts, used, brokers_cpu)
}

fn sample(rows: u64, counts: &Counts, used: Usage, brokers_cpu: f64) -> Result<Sample> {
    let rows = float(rows);
    Ok(Sample {
        rows_per_s: rows / counts.seconds()?,
        cpu_us_per_row: used.cpu_s * 1e6 / rows,
        sink_us_per_row: counts.cpu_s * 1e6 / rows,
        brokers_us_per_row: brokers_cpu * 1e6 / rows,
        peak_mib: used.peak_mib,
    })
}

fn median<T>(samples: &[T], of: impl Fn(&T) -> f64) -> f64 {
    let mut figures: Vec<f64> = samples.iter().map(of).collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

#[expect(clippy::cast_precision_loss, reason = "the counts are far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}
