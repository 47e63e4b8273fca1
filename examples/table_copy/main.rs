//! Copies a table of people from SQLite to Snowflake, each row once, and compares the two row by row.
//!
//! `source.rs` is the part that another table would need, with `connectors/support/src/keyset.rs`. The rest makes it a program that runs
//! without preparation.

mod check;
mod source;
mod target;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use snowpipe_connector_support::data_file::create_parent;
use snowpipe_connector_support::people;
use snowpipe_connector_support::signals::INTERRUPTED;
use snowpipe_streaming::ingest::{self, Finish};
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tracing_subscriber::EnvFilter;

use crate::check::Comparison;
use crate::target::Target;

const DIRECTORY: &str = "table_copy_data";
/// How many rows are read at once, and how many may be uncommitted. Small, so that an interrupted copy ends quickly.
const BATCH: usize = 5_000;
const MOST_IN_FLIGHT: u64 = 20_000;
const FAILED: u8 = 1;

/// Copies a table of people from SQLite to Snowflake, each row once, and compares the two row by row.
///
/// Without --profile everything stays on this machine: the people are generated, and the rows go over loopback HTTP to a
/// local emulator of Snowpipe Streaming whose tables are in a SQLite file. A second run copies only new rows.
#[derive(Debug, Parser)]
#[command(name = "table_copy")]
struct Args {
    /// The SQLite file with the table `PEOPLE_100K`; a missing or empty file is filled with 100,000 generated people
    #[arg(long, value_name = "FILE", default_value = "table_copy_data/source.db")]
    source: PathBuf,

    /// Generate people until the source has this many
    #[arg(long)]
    rows: Option<u32>,

    /// Copy to an account: a profile.json, or "env" for the SNOWFLAKE_* variables
    #[arg(long, value_name = "FILE|env")]
    profile: Option<PathBuf>,

    /// The emulator's tables [default: `table_copy_data/landing.db`]; with --profile, the tables of the emulator that it
    /// leads to, for the comparison
    #[arg(long, value_name = "FILE")]
    landing: Option<PathBuf>,

    /// The channel, which stores how far the table has been copied
    #[arg(long, default_value = "DWLOAD_CHANNEL")]
    channel: String,

    /// The SQLite file for batches with rejected rows, in the table REJECTS
    #[arg(
        long,
        value_name = "FILE",
        default_value = "table_copy_data/rejects.db"
    )]
    rejects: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    ExitCode::from(run(Args::parse()).await.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        FAILED
    }))
}

/// Copies, compares, and gives the exit code.
async fn run(args: Args) -> Result<u8> {
    create_parent(&args.rejects)?;
    let new = people::generate(&args.source, args.rows)?;
    println!("source: {}, {new} new people", args.source.display());

    let (target, landing) = if let Some(profile) = args.profile {
        (Target::profile(&profile)?, args.landing)
    } else {
        let default = || Path::new(DIRECTORY).join("landing.db");
        let landing = args.landing.unwrap_or_else(default);
        create_parent(&landing)?;
        (Target::emulator(&landing).await?, Some(landing))
    };
    println!("target: {}", target.describe()?);

    let started = Instant::now();
    let client = target.client().await?;
    let mut people = source::open(&args.source, &args.rejects, target.name())?;
    let report = ingest::run(&client, args.channel, &mut people)
        .batch_rows(BATCH)
        .max_in_flight(MOST_IN_FLIGHT)
        .until(interrupt())
        .await?;
    client.close().await?;
    let elapsed = started.elapsed();
    target.close().await;
    let start = match report.resumed_after {
        Some(row) => format!("after row {row}"),
        None => "from the first row".to_owned(),
    };
    println!(
        "copied: {} rows, {start}, in {:.1} s; {} committed, {} rejected",
        report.rows_appended,
        elapsed.as_secs_f64(),
        report.rows_committed,
        report.rows_rejected
    );
    match people.pages.missing_keys() {
        0 => {}
        missing => {
            println!("keys without a row in the source, between the copied rows: {missing}");
        }
    }
    if report.rows_rejected > 0 {
        println!(
            "the batches with rejected rows are in {}",
            args.rejects.display()
        );
    }
    if report.finish == Finish::Stopped {
        println!("interrupted: run the example again to continue");
        return Ok(INTERRUPTED);
    }
    let Some(landing) = landing else {
        println!("not compared: an account is not queried here");
        return Ok(if report.rows_rejected > 0 { FAILED } else { 0 });
    };
    let comparison = spawn_blocking(move || Comparison::of(&args.source, &landing)).await??;
    println!("{comparison}");
    Ok(if comparison.is_equal() { 0 } else { FAILED })
}

/// Waits for Ctrl-C.
async fn interrupt() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        tracing::warn!(%error, "cannot handle Ctrl-C: kill the program instead, the next run continues");
        std::future::pending::<()>().await;
    }
}
