//! Compares this crate and the official SDK, with the same rows and the same sink. `benches/official/run.sh` sets it up.
//!
//! First each runs once against a sink that reads and compares every row; these runs are not measured. Then they run in pairs, and
//! take turns in running first. Each ratio has two statistics, and the comparison fails if these contradict each other, or if a
//! requirement is not met.

pub(crate) mod compare;
mod print;
pub(crate) mod require;

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use serde::Serialize;
use serde_json::Value;

use self::compare::{Compared, Figures};
use self::require::Requirement;
use crate::floor::Floors;
use crate::job::{Config, Job, Outcome, Task};
use crate::lab::{Lab, Sample};
use crate::machine::{self, Machine};
use crate::process;
use crate::rows::Form;

/// Batch, channels, delay and rate of the configurations. At the rate of the last one both keep up on a small machine, so that
/// the duration of an append contains no wait for the processor.
const CONFIGURATIONS: [(usize, usize, u64, u64); 7] = [
    (1, 1, 0, 0),
    (100, 1, 0, 0),
    (1_000, 1, 0, 0),
    (10_000, 1, 0, 0),
    (1_000, 4, 0, 0),
    (1_000, 1, 50, 0),
    (1_000, 1, 0, 200_000),
];

/// Rows for a floor, unless the runs have fewer.
const FLOOR_ROWS: u64 = 500_000;

/// The command line of the comparison.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct OfficialArgs {
    /// A Python interpreter with the official SDK
    #[arg(long)]
    python: PathBuf,
    /// The script that runs it
    #[arg(long)]
    script: PathBuf,
    /// Rows of a run
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// Runs of each side; with an even number each runs first equally often
    #[arg(long, default_value_t = 6)]
    pairs: usize,
    /// Single flushes after each run, for the time until a commit is known
    #[arg(long, default_value_t = 3)]
    flushes: u32,
    /// Measure only the configurations with this many rows per append
    #[arg(long)]
    batch: Option<usize>,
    /// `[CONFIGURATION:]FIGURE>=VALUE` or `<=`, as in `1000:cpu_us_per_row<=0.5`: fail unless both statistics meet it
    #[arg(long)]
    require: Vec<Requirement>,
    /// The file to which the figures are written as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

/// The results of the comparison.
#[derive(Debug, Serialize)]
struct Comparison {
    machine: Machine,
    load_after: Option<f64>,
    rows: u64,
    pairs: usize,
    floors: Option<Floors>,
    configurations: Vec<Compared>,
}

/// One of the two that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Ours,
    Official,
}

/// Measures both sides, prints the comparison and writes it to a file.
pub(crate) fn run(args: &OfficialArgs) -> Result<()> {
    ensure!(args.pairs > 0, "without a pair there is nothing to compare");
    let machine = Machine::look();
    let configs = configs(args);
    ensure!(!configs.is_empty(), "no configuration has that batch");
    for requirement in &args.require {
        requirement.is_possible(&configs)?;
    }
    check(&configs, args)?;
    let mut lab = Lab::new(false)?;
    let mut floors = Vec::new();
    let mut pairs: Vec<Vec<[Figures; 2]>> = configs.iter().map(|_| Vec::new()).collect();
    // All configurations in turn, so that other load on the machine affects each of them.
    for pair in 0..args.pairs {
        floors.push(lab.floors(Form::Typed, args.rows.min(FLOOR_ROWS))?);
        for (index, (config, pairs)) in configs.iter().zip(&mut pairs).enumerate() {
            eprintln!("pair {} of {}: {config:?}", pair + 1, args.pairs);
            let mut measure = |side| measure(side, &mut lab, *config, args);
            pairs.push(match order(pair + index) {
                [Side::Ours, _] => {
                    let ours = measure(Side::Ours)?;
                    [ours, measure(Side::Official)?]
                }
                [Side::Official, _] => {
                    let official = measure(Side::Official)?;
                    [measure(Side::Ours)?, official]
                }
            });
        }
    }
    let floors = Floors::middle(&floors);
    let comparison = Comparison {
        machine,
        load_after: machine::load(),
        rows: args.rows,
        pairs: args.pairs,
        configurations: configs
            .iter()
            .zip(&pairs)
            .map(|(config, pairs)| Compared::of(*config, pairs, floors.as_ref()))
            .collect(),
        floors,
    };
    comparison.print();
    // The file is written even if there are contradictions.
    if let Some(path) = &args.json {
        serde_json::to_writer_pretty(File::create(path)?, &comparison)?;
    }
    agree(&comparison.configurations)?;
    meet(&comparison.configurations, &args.require)
}

fn configs(args: &OfficialArgs) -> Vec<Config> {
    let chosen = |batch: &usize| args.batch.is_none_or(|only| only == *batch);
    CONFIGURATIONS
        .into_iter()
        .filter(|(batch, ..)| chosen(batch))
        .map(|(batch, channels, delay_ms, rate)| Config {
            rows: args.rows,
            batch,
            channels,
            delay_ms,
            rate,
            form: Form::Typed,
            paced: false,
            // The official SDK does not support it.
            http2: false,
        })
        .collect()
}

/// The order of the two sides in this turn.
pub(crate) fn order(turn: usize) -> [Side; 2] {
    if turn.is_multiple_of(2) {
        [Side::Ours, Side::Official]
    } else {
        [Side::Official, Side::Ours]
    }
}

/// Runs both once against a sink that reads every row: both have to send exactly the lines of the pool.
fn check(configs: &[Config], args: &OfficialArgs) -> Result<()> {
    let mut lab = Lab::new(true)?;
    for config in configs {
        for side in [Side::Ours, Side::Official] {
            let (sample, _) = run_side(side, &mut lab, *config, args)?;
            let (read, rewritten) = (sample.counts.rows_read, sample.counts.rewritten);
            ensure!(
                rewritten == 0,
                "{side:?} wrote {rewritten} of {read} rows as other JSON"
            );
            eprintln!("{side:?} sent the right {read} rows, each once and in order: {config:?}");
        }
    }
    Ok(())
}

fn measure(side: Side, lab: &mut Lab, config: Config, args: &OfficialArgs) -> Result<Figures> {
    let (sample, refused) = run_side(side, lab, config, args)?;
    Ok(Figures::of(&sample, refused))
}

/// One run, and how often an append was refused.
fn run_side(
    side: Side,
    lab: &mut Lab,
    config: Config,
    args: &OfficialArgs,
) -> Result<(Sample, u64)> {
    match side {
        Side::Ours => Ok((lab.run(Task::Stream, config, args.flushes)?, 0)),
        Side::Official => {
            let mut refused = 0;
            let sample = lab.run_with(Task::Stream, config, args.flushes, |job| {
                let said: Value = process::run(&mut command(job, args))?;
                refused = said.get("refused").and_then(Value::as_u64).unwrap_or(0);
                Ok(serde_json::from_value::<Outcome>(said)?)
            })?;
            Ok((sample, refused))
        }
    }
}

fn command(job: &Job, args: &OfficialArgs) -> Command {
    let mut command = Command::new(&args.python);
    command
        .arg(&args.script)
        .arg("--profile")
        .arg(&job.profile)
        .arg("--pool")
        .arg(&job.pool)
        .args(["--name", &job.name])
        .args(["--rows", &job.config.rows.to_string()])
        .args(["--batch", &job.config.batch.to_string()])
        .args(["--channels", &job.config.channels.to_string()])
        .args(["--rate", &job.config.rate.to_string()])
        .args(["--flushes", &job.flushes.to_string()])
        .env("SSL_CERT_FILE", &job.ca)
        .env("AWS_ENDPOINT_URL", &job.url)
        .env("NO_PROXY", "127.0.0.1")
        .env("SS_LOG_LEVEL", "error")
        .env_remove("SSL_CERT_DIR");
    command
}

/// Fails if the two statistics of a ratio contradict each other. Such a ratio must not be quoted.
pub(crate) fn agree(compared: &[Compared]) -> Result<()> {
    let found = compared.iter().flat_map(|one| &one.contradictions);
    let found: Vec<String> = found.map(ToString::to_string).collect();
    ensure!(
        found.is_empty(),
        "the median of the pairs' ratios and the ratio of the medians contradict each other; measure again on a quieter machine, or \
         with more pairs:\n{}",
        found.join("\n")
    );
    Ok(())
}

/// Fails if a requirement is not met.
pub(crate) fn meet(compared: &[Compared], required: &[Requirement]) -> Result<()> {
    let unmet: Vec<String> = required
        .iter()
        .flat_map(|one| one.unmet(compared))
        .collect();
    ensure!(
        unmet.is_empty(),
        "requirements are not met:\n{}",
        unmet.join("\n")
    );
    Ok(())
}
