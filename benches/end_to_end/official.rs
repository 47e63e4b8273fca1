//! This crate and the official SDK in turn, A B A B, with the same rows and the same sink: the medians of both, and those of the
//! ratios of each pair. `benches/official/run.sh` sets it up.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use serde::Serialize;
use serde_json::Value;

use crate::figures::{float, median, percentile};
use crate::job::{Config, Job, Outcome, Task};
use crate::lab::{Lab, Sample};
use crate::machine::{self, Machine};
use crate::process;
use crate::report::print_aligned;
use crate::rows::Form;

/// Batch, channels, delay and rate of what is compared. At the rate of the last one both keep up on a small machine, so that
/// what an append takes is no wait for the processor.
const CONFIGURATIONS: [(usize, usize, u64, u64); 7] = [
    (1, 1, 0, 0),
    (100, 1, 0, 0),
    (1_000, 1, 0, 0),
    (10_000, 1, 0, 0),
    (1_000, 4, 0, 0),
    (1_000, 1, 50, 0),
    (1_000, 1, 0, 200_000),
];

/// What may be asked of the comparison.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct OfficialArgs {
    /// A Python that has the official SDK
    #[arg(long)]
    python: PathBuf,
    /// The script that runs it
    #[arg(long)]
    script: PathBuf,
    /// Rows of a run
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// How often each of the two runs
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// Lone flushes after each run, for the time until a commit is known
    #[arg(long, default_value_t = 3)]
    flushes: u32,
    /// Rows of one append, to measure nothing but that
    #[arg(long)]
    batch: Option<usize>,
    /// Have the sink decompress and count the rows that are not in files
    #[arg(long)]
    check: bool,
    /// Where the figures go as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

/// All that was measured.
#[derive(Debug, Serialize)]
struct Comparison {
    machine: Machine,
    load_after: Option<f64>,
    rows: u64,
    pairs: usize,
    configurations: Vec<Compared>,
}

/// One configuration.
#[derive(Debug, Serialize)]
struct Compared {
    batch: usize,
    channels: usize,
    delay_ms: u64,
    /// Rows a second of each channel; 0 for as many as are taken.
    rate: u64,
    ours: Figures,
    official: Figures,
    /// Ours by the official SDK's.
    ratios: Ratios,
}

/// One run, or the medians of several.
#[derive(Debug, Serialize)]
struct Figures {
    rows_per_s: f64,
    cpu_us_per_row: f64,
    /// Bodies of requests with rows, a row.
    wire_bytes: f64,
    peak_rss: f64,
    /// How far the peak is above what was resident with all rows made and none appended.
    rss_above_rows: f64,
    append_p50_us: f64,
    append_p99_us: f64,
    /// Of several runs the longest.
    append_max_us: f64,
    /// From the server's commit of a lone flush until the caller knows.
    commit_known_s: f64,
    sink_cpu_us_per_row: f64,
    data_requests: f64,
    status_requests: f64,
    /// How often an append was refused for want of room, and tried again.
    refused: f64,
}

/// Medians of the ratios of each pair.
#[derive(Debug, Serialize)]
struct Ratios {
    rows_per_s: f64,
    cpu_us_per_row: f64,
    wire_bytes: f64,
    peak_rss: f64,
    rss_above_rows: f64,
    append_p99: f64,
    commit_known_s: f64,
}

/// Measures both, prints it and writes it down.
pub(crate) fn run(args: &OfficialArgs) -> Result<()> {
    ensure!(args.pairs > 0, "without a pair there is nothing to compare");
    let machine = Machine::look();
    let mut lab = Lab::new(args.check)?;
    let chosen = |batch: &usize| args.batch.is_none_or(|only| only == *batch);
    let configs: Vec<Config> = CONFIGURATIONS
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
            // The official SDK does not speak it.
            http2: false,
        })
        .collect();
    let mut pairs: Vec<Vec<[Figures; 2]>> = configs.iter().map(|_| Vec::new()).collect();
    // All configurations in turn: what else the machine does meanwhile meets each of them.
    for pair in 1..=args.pairs {
        for (config, pairs) in configs.iter().zip(&mut pairs) {
            eprintln!("pair {pair} of {}: {config:?}", args.pairs);
            let ours = lab.run(Task::Stream, *config, args.flushes)?;
            let (official, refused) = official(&mut lab, *config, args)?;
            pairs.push([Figures::of(&ours, 0), Figures::of(&official, refused)]);
        }
    }
    let comparison = Comparison {
        machine,
        load_after: machine::load(),
        rows: args.rows,
        pairs: args.pairs,
        configurations: configs
            .iter()
            .zip(&pairs)
            .map(|(config, pairs)| Compared::of(*config, pairs))
            .collect(),
    };
    comparison.print();
    if let Some(path) = &args.json {
        serde_json::to_writer_pretty(File::create(path)?, &comparison)?;
    }
    Ok(())
}

/// A run of the official SDK, and how often it refused an append.
fn official(lab: &mut Lab, config: Config, args: &OfficialArgs) -> Result<(Sample, u64)> {
    let mut refused = 0;
    let sample = lab.run_with(Task::Stream, config, args.flushes, |job| {
        let said: Value = process::run(&mut command(job, args))?;
        refused = said.get("refused").and_then(Value::as_u64).unwrap_or(0);
        Ok(serde_json::from_value::<Outcome>(said)?)
    })?;
    sample.is_complete()?;
    Ok((sample, refused))
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

impl Figures {
    fn of(sample: &Sample, refused: u64) -> Self {
        let outcome = &sample.outcome;
        Self {
            rows_per_s: sample.rows_per_s(),
            cpu_us_per_row: sample.cpu_us_per_row(),
            wire_bytes: sample.wire_bytes_per_row(),
            peak_rss: float(outcome.rss_peak),
            rss_above_rows: float(outcome.rss_peak.saturating_sub(outcome.rss_before)),
            append_p50_us: outcome.append_p50_us,
            append_p99_us: outcome.append_p99_us,
            append_max_us: outcome.append_max_us,
            commit_known_s: median(sample.known_ms()) / 1e3,
            sink_cpu_us_per_row: sample.sink_cpu_us_per_row(),
            data_requests: float(sample.counts.data_requests),
            status_requests: float(sample.counts.status_requests),
            refused: float(refused),
        }
    }

    fn medians(runs: &[&Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| median(runs.iter().map(|run| figure(run)));
        Self {
            rows_per_s: of(|run| run.rows_per_s),
            cpu_us_per_row: of(|run| run.cpu_us_per_row),
            wire_bytes: of(|run| run.wire_bytes),
            peak_rss: of(|run| run.peak_rss),
            rss_above_rows: of(|run| run.rss_above_rows),
            append_p50_us: of(|run| run.append_p50_us),
            append_p99_us: of(|run| run.append_p99_us),
            append_max_us: percentile(runs.iter().map(|run| run.append_max_us), 100),
            commit_known_s: of(|run| run.commit_known_s),
            sink_cpu_us_per_row: of(|run| run.sink_cpu_us_per_row),
            data_requests: of(|run| run.data_requests),
            status_requests: of(|run| run.status_requests),
            refused: of(|run| run.refused),
        }
    }
}

impl Compared {
    fn of(config: Config, pairs: &[[Figures; 2]]) -> Self {
        let ratio = |figure: fn(&Figures) -> f64| {
            let ratios = pairs.iter();
            median(ratios.map(|[ours, official]| figure(ours) / figure(official)))
        };
        Self {
            batch: config.batch,
            channels: config.channels,
            delay_ms: config.delay_ms,
            rate: config.rate,
            ours: Figures::medians(&pairs.iter().map(|[ours, _]| ours).collect::<Vec<_>>()),
            official: Figures::medians(
                &pairs
                    .iter()
                    .map(|[_, official]| official)
                    .collect::<Vec<_>>(),
            ),
            ratios: Ratios {
                rows_per_s: ratio(|run| run.rows_per_s),
                cpu_us_per_row: ratio(|run| run.cpu_us_per_row),
                wire_bytes: ratio(|run| run.wire_bytes),
                peak_rss: ratio(|run| run.peak_rss),
                rss_above_rows: ratio(|run| run.rss_above_rows),
                append_p99: ratio(|run| run.append_p99_us),
                commit_known_s: ratio(|run| run.commit_known_s),
            },
        }
    }

    /// Ours, the official SDK's, and ours by the official SDK's.
    fn cells(&self) -> [[String; 13]; 3] {
        let line = |who: &str, figures: &Figures| {
            let mib = |bytes: f64| format!("{:.0}", bytes / f64::from(1 << 20));
            [
                self.batch.to_string(),
                self.channels.to_string(),
                self.delay_ms.to_string(),
                who.to_owned(),
                format!("{:.0}", figures.rows_per_s),
                format!("{:.2}", figures.cpu_us_per_row),
                format!("{:.1}", figures.wire_bytes),
                mib(figures.peak_rss),
                mib(figures.rss_above_rows),
                format!("{:.1}", figures.append_p50_us),
                format!("{:.1}", figures.append_p99_us),
                format!("{:.3}", figures.commit_known_s),
                format!("{:.3}", figures.sink_cpu_us_per_row),
            ]
        };
        let ratios = &self.ratios;
        let ratio = |ratio: f64| format!("{ratio:.2}");
        let blank = String::new;
        [
            line("ours", &self.ours),
            line("official", &self.official),
            [
                blank(),
                blank(),
                blank(),
                "ratio".to_owned(),
                ratio(ratios.rows_per_s),
                ratio(ratios.cpu_us_per_row),
                ratio(ratios.wire_bytes),
                ratio(ratios.peak_rss),
                ratio(ratios.rss_above_rows),
                blank(),
                ratio(ratios.append_p99),
                ratio(ratios.commit_known_s),
                blank(),
            ],
        ]
    }
}

const HEADS: [[&str; 13]; 2] = [
    [
        "",
        "",
        "delay",
        "",
        "",
        "CPU us",
        "wire B",
        "peak",
        "above",
        "append us",
        "append us",
        "known",
        "sink us",
    ],
    [
        "batch", "channels", "ms", "", "rows/s", "a row", "a row", "MiB", "rows", "p50", "p99",
        "s", "a row",
    ],
];

impl Comparison {
    /// Prints it for people.
    fn print(&self) {
        println!(
            "\nsnowpipe-streaming {} beside the official SDK: {} rows a run, {} pairs; {}, {} cores",
            self.machine.crate_version,
            self.rows,
            self.pairs,
            self.machine.rustc,
            self.machine.cores
        );
        if !self.machine.optimized {
            println!("Built without optimization: the figures say nothing.");
        }
        println!("Medians; a ratio is ours by the official SDK's, the median of the pairs'.\n");
        let heads = HEADS.map(|head| head.map(str::to_owned));
        let lines = self.configurations.iter().flat_map(Compared::cells);
        let table: Vec<_> = heads.into_iter().chain(lines).collect();
        print_aligned(&table);
    }
}
