//! Measures the emulator: how many rows a second it lands in memory and in a SQLite file, and what they cost.
//! `cargo bench --bench landing -- --help` lists the options.

#[path = "../end_to_end/usage.rs"]
#[expect(dead_code, reason = "end_to_end asks for the current memory too")]
mod usage;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use serde::Serialize;
use snowpipe_streaming::{Channel, PipePath, Profile, StreamingIngestClient};
use snowpipe_streaming_emulator::tables::Catalog;
use snowpipe_streaming_emulator::{DataFile, Ddl, Emulator, Limits, Server};
use tokio::task::JoinSet;

const DDL: &str = "CREATE TABLE LAB.PUBLIC.RIDES (
  ID NUMBER(38,0) NOT NULL, LIFT VARCHAR(40), PRICE NUMBER(10,2), RIDDEN_AT TIMESTAMP_NTZ, DAY DATE,
  IS_SEASON_PASS BOOLEAN, SPEED FLOAT, NOTE VARCHAR
);";
const LIFTS: [&str; 4] = ["Elkhorn", "Centennial", "Larkspur", "Cinch"];
/// How long a run may take, in seconds for each million rows.
const PATIENCE: u64 = 600;

/// Measures how fast the emulator lands rows of eight columns
#[derive(Debug, Clone, Parser)]
struct Options {
    /// Rows of a run
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    rows: u64,
    /// Channels, each with a task that appends to it
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=2_000))]
    channels: u64,
    /// Rows of an append
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    batch: u64,
    /// Where rows land; without it, one run of each
    #[arg(long = "in")]
    place: Option<Place>,
    /// One short run of each, as in CI
    #[arg(long)]
    test: bool,
    /// A filter of other benches
    #[arg(hide = true)]
    other: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Place {
    Memory,
    Sqlite,
}

/// Different rows, which are sent again and again: making them costs as much as landing them.
const POOL: u64 = 8_192;

/// A row of eight columns.
#[derive(Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
struct Ride {
    id: u64,
    lift: &'static str,
    price: String,
    ridden_at: String,
    day: &'static str,
    is_season_pass: bool,
    speed: f64,
    note: &'static str,
}

fn main() -> Result<()> {
    // Cargo passes this to every bench.
    let arguments = std::env::args_os().filter(|argument| argument != "--bench");
    let mut options = Options::parse_from(arguments);
    if options.other.is_some() {
        return Ok(());
    }
    if options.test {
        options.rows = 5_000;
    }
    let places = match options.place {
        Some(place) => vec![place],
        None => vec![Place::Memory, Place::Sqlite],
    };
    println!("{} rows, {} channels", options.rows, options.channels);
    println!("place     rows/s   CPU µs/row   peak MB");
    for place in places {
        run(&options, place)?;
    }
    Ok(())
}

fn run(options: &Options, place: Place) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let emulator = emulator(place, &directory.path().join("landing.db"))?;
    let runtime = tokio::runtime::Runtime::new()?;
    usage::forget_peak();
    let (cpu, start) = (usage::cpu_seconds(), Instant::now());
    runtime.block_on(stream(options, emulator.clone()))?;
    let (cpu, seconds) = (usage::cpu_seconds() - cpu, start.elapsed().as_secs_f64());
    let channels = (0..options.channels).map(|number| emulator.channel(&name(number)));
    let landed: u64 = channels
        .flatten()
        .map(|channel| channel.rows_inserted)
        .sum();
    anyhow::ensure!(landed == options.rows, "{landed} rows landed");
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let (rows, peak) = (
        options.rows as f64,
        usage::peak_rss_bytes().unwrap_or(0) as f64,
    );
    println!(
        "{:<7} {:>8.0} {:>12.2} {:>9.0}",
        format!("{place:?}").to_lowercase(),
        rows / seconds,
        cpu / rows * 1e6,
        peak / 1e6
    );
    Ok(())
}

fn emulator(place: Place, file: &Path) -> Result<Emulator> {
    let builder = match place {
        Place::Memory => Emulator::builder().catalog(Catalog::from_ddl(DDL)?),
        Place::Sqlite => {
            Emulator::builder().data_file(DataFile::open(file, &Ddl::Bootstrap(DDL.to_owned()))?)
        }
    };
    Ok(builder.limits(Limits::default()).build()?)
}

fn name(channel: u64) -> String {
    format!("landing-{channel}")
}

/// Streams all rows, and waits until they are committed.
async fn stream(options: &Options, emulator: Emulator) -> Result<()> {
    let server = Server::bind(emulator, ([127, 0, 0, 1], 0).into()).await?;
    let profile = Profile::from_json(&server.emulator().profile_json(&server.url()))?;
    let pipe = PipePath::new("LAB", "PUBLIC", "RIDES-STREAMING")?;
    let client = StreamingIngestClient::builder(profile, pipe)
        .build()
        .await?;
    let batches = POOL.div_ceil(options.batch);
    let batch = |number| {
        let first = number * options.batch;
        (first..first + options.batch).map(ride).collect()
    };
    let pool: Arc<[Vec<Ride>]> = (0..batches).map(batch).collect();
    let mut tasks = JoinSet::new();
    for number in 0..options.channels {
        let share =
            options.rows / options.channels + u64::from(number < options.rows % options.channels);
        let channel = client.open_channel(name(number)).await?;
        tasks.spawn(fill(channel, share, pool.clone()));
    }
    let patience = Duration::from_secs(PATIENCE * options.rows.div_ceil(1_000_000));
    let filled = async {
        while let Some(filled) = tasks.join_next().await {
            filled??;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(patience, filled)
        .await
        .context("the rows have not landed in time")??;
    client.close().await?;
    server.shutdown().await;
    Ok(())
}

async fn fill(mut channel: Channel, rows: u64, pool: Arc<[Vec<Ride>]>) -> Result<()> {
    let mut first = 0;
    for batch in pool.iter().cycle() {
        let left = usize::try_from(rows - first).unwrap_or(usize::MAX);
        let rides = batch.get(..left).unwrap_or(batch);
        channel.append_rows(rides, first..).await?;
        first += rides.len() as u64;
        if first == rows {
            break;
        }
    }
    channel.close().await?;
    Ok(())
}

fn ride(id: u64) -> Ride {
    let second = id % 60;
    #[expect(clippy::cast_precision_loss, reason = "a speed need not be exact")]
    let speed = (id % 1_000) as f64 / 8.0;
    let lift = usize::try_from(id).unwrap_or_default() % LIFTS.len();
    Ride {
        id,
        lift: LIFTS.get(lift).copied().unwrap_or_default(),
        price: format!("{}.{:02}", id % 90, id % 100),
        ridden_at: format!(
            "2026-01-17T{:02}:{:02}:{second:02}.{:03}",
            id % 24,
            id / 60 % 60,
            id % 1_000
        ),
        day: "2026-01-17",
        is_season_pass: id.is_multiple_of(3),
        speed,
        note: "powder in the morning, windy at the top",
    }
}
