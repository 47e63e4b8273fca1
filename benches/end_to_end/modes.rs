//! Single measurements, each of one property that the table does not show.

use std::fs::File;

use anyhow::Result;
use clap::ValueEnum;
use serde_json::{Value, json};

use crate::figures::{float, percentile};
use crate::job::{Config, Stamp, Task};
use crate::lab::Lab;
use crate::machine::Machine;
use crate::options::Options;
use crate::rows::Form;

/// The client's default.
const BUDGET: usize = 128 << 20;
/// Longer than any run: the server never answers.
const NEVER_MS: u64 = 600_000;

/// A single measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// The memory of a client whose server has stopped answering
    Stalled,
    /// The requests of a client that has nothing to do
    Idle,
    /// 2,000 channels in one client
    Many,
    /// One channel and a distant server, with pacing and without
    Rtt,
    /// When commits are known in a steady stream
    Steady,
}

/// Runs all measurements with few rows.
pub(crate) fn test_all(options: &Options) -> Result<()> {
    Mode::value_variants()
        .iter()
        .try_for_each(|mode| run(*mode, options))
}

/// Makes one measurement, prints it, and writes it to the file that the options name.
pub(crate) fn run(mode: Mode, options: &Options) -> Result<()> {
    let machine = Machine::look();
    let figures = measure(mode, options)?;
    println!("{mode:?}: {figures:#}");
    if let Some(path) = &options.json {
        let report = json!({ "machine": machine, "figures": figures });
        serde_json::to_writer_pretty(File::create(path)?, &report)?;
    }
    Ok(())
}

fn measure(mode: Mode, options: &Options) -> Result<Value> {
    let lab = Lab::new(options.test)?;
    match mode {
        Mode::Stalled => stalled(lab, options),
        Mode::Idle => idle(lab, options),
        Mode::Many => many(lab, options),
        Mode::Rtt => rtt(lab, options),
        Mode::Steady => Ok(json!({
            "commit_at_once": steady(lab, options)?,
            "commit_after_1_s": steady(Lab::new(options.test)?.commit_after(1_000), options)?,
        })),
    }
}

/// The configuration of the options. The default is one channel without delay and appends of 1,000 rows.
fn config(options: &Options, rows: u64) -> Config {
    Config {
        rows: options.rows.unwrap_or(rows),
        batch: options.batch.unwrap_or(1_000),
        channels: options.channels.unwrap_or(1),
        delay_ms: options.delay_ms.unwrap_or(0),
        form: options.form.unwrap_or(Form::Typed),
        paced: options.paced,
        rate: 0,
        http2: options.http2,
    }
}

fn stalled(mut lab: Lab, options: &Options) -> Result<Value> {
    let delay_ms = options.delay_ms.unwrap_or(NEVER_MS);
    let config = Config {
        delay_ms,
        ..config(options, 0)
    };
    let task = Task::Stalled {
        memory_budget: if options.test { 8 << 20 } else { BUDGET },
    };
    let outcome = lab.run(task, config, 0)?.outcome;
    let grown = outcome.rss_peak.saturating_sub(outcome.rss_before);
    let budget = outcome.metrics.memory_budget;
    Ok(json!({
        "rows_held": outcome.rows,
        "memory_budget_mib": mib(budget),
        "memory_in_use_mib": mib(outcome.metrics.memory_in_use),
        "rss_before_mib": mib(outcome.rss_before),
        "rss_grown_mib": mib(grown),
        "rss_above_budget_mib": mib(grown) - mib(budget),
    }))
}

fn idle(mut lab: Lab, options: &Options) -> Result<Value> {
    let seconds = if options.test { 1 } else { 10 };
    let task = Task::Idle { seconds };
    let outcome = lab.run(task, config(options, 0), 0)?.outcome;
    Ok(json!({
        "seconds": outcome.wall_s,
        "cpu_ms": outcome.cpu_s * 1e3,
        "requests": outcome.metrics.requests,
    }))
}

fn many(mut lab: Lab, options: &Options) -> Result<Value> {
    let (rows, channels) = if options.test {
        (2_000, 20)
    } else {
        (5_000_000, 2_000)
    };
    let one = Config {
        batch: options.batch.unwrap_or(100),
        channels: 1,
        ..config(options, rows)
    };
    let all = Config {
        channels: options.channels.unwrap_or(channels),
        ..one
    };
    let of_one = lab.run(Task::Many, one, 0)?;
    let of_all = lab.run(Task::Many, all, 0)?;
    let outcome = &of_all.outcome;
    Ok(json!({
        "channels": all.channels,
        "open_s": outcome.open_s,
        "kib_per_idle_channel": float(outcome.rss_of_channels) / 1024.0 / float(all.channels as u64),
        "rows_per_s": of_all.rows_per_s(),
        "cpu_us_per_row": of_all.cpu_us_per_row(),
        "cpu_us_per_row_of_one_channel": of_one.cpu_us_per_row(),
        "times_one_channel": of_all.cpu_us_per_row() / of_one.cpu_us_per_row(),
        "requests": outcome.metrics.requests,
    }))
}

fn rtt(mut lab: Lab, options: &Options) -> Result<Value> {
    let mut rate = |rows, paced| {
        let config = Config {
            delay_ms: options.delay_ms.unwrap_or(50),
            paced,
            ..config(options, if options.test { 50_000 } else { rows })
        };
        let sample = lab.run(Task::Stream, config, 0)?;
        let bytes = sample.outcome.metrics.bytes_accepted;
        let bytes_per_row = float(bytes) / float(sample.outcome.rows);
        let rows_per_s = sustained(&sample.counts.commits);
        anyhow::Ok(rows_per_s.map(|rows| rows * bytes_per_row / 1e6))
    };
    let paced = rate(1_000_000, true)?;
    let unpaced = rate(3_000_000, false)?;
    Ok(json!({
        "paced_mb_per_s": paced,
        "unpaced_mb_per_s": unpaced,
        "times": unpaced.zip(paced).map(|(unpaced, paced)| unpaced / paced),
    }))
}

/// Rows per second of one channel after the first quarter of the time, when the burst is used up. A request waits until the
/// pacing allows for the one before it, so each time is compared with the rows of the request before. `None` if there are too
/// few requests.
fn sustained(commits: &[Stamp]) -> Option<f64> {
    let row = |at: usize| commits.get(at)?.1.parse::<u64>().ok();
    let (_, _, first) = commits.first()?;
    let end = commits.len().checked_sub(1)?;
    let (_, _, last) = commits.get(end)?;
    let settled = first + (last - first) / 4;
    let from = commits.iter().position(|(_, _, at)| *at >= settled)?.max(1);
    let (_, _, since) = commits.get(from)?;
    let rows = row(end.checked_sub(1)?)? - row(from - 1)?;
    (last > since).then(|| float(rows) * 1e6 / float(last - since))
}

fn steady(mut lab: Lab, options: &Options) -> Result<Value> {
    let rows = if options.test { 500 } else { 10_000 };
    let sample = lab.run(Task::Steady, config(options, rows), 0)?;
    let known = || sample.known_ms();
    Ok(json!({
        "receipts": known().len(),
        "known_p50_ms": percentile(known(), 50),
        "known_p95_ms": percentile(known(), 95),
        "known_max_ms": percentile(known(), 100),
        "status_requests_per_s": float(sample.counts.status_requests) / sample.outcome.wall_s,
    }))
}

fn mib(bytes: u64) -> f64 {
    float(bytes) / f64::from(1 << 20)
}
