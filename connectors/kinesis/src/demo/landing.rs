//! The emulator over HTTP with the tables of both paths, and when rows became visible in them.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use snowpipe_streaming_emulator::tables::Catalog;
use snowpipe_streaming_emulator::{DataFile, Ddl, Emulator, Server};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::sensor::Measurement;

/// What takes longer will not happen.
pub const PATIENCE: Duration = Duration::from_mins(2);
/// The table into which records are streamed.
pub const STREAMING: &str = "SENSORS.PUBLIC.KINESIS_SENSORS_STREAMING";
/// The table into which batches are loaded.
pub const MICROBATCH: &str = "SENSORS.PUBLIC.KINESIS_SENSORS_MICROBATCH";
const DDL: &str = include_str!("../../sql/tables.sql");

/// Rows that became visible.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// When.
    pub at: Instant,
    /// The channel that had them.
    pub channel: String,
    /// How many.
    pub rows: usize,
}

/// Those of a table.
pub type Arrivals = Vec<Arrival>;

/// A server with both tables.
#[derive(Debug)]
pub struct Landing {
    /// The emulator that the server serves.
    pub emulator: Emulator,
    server: Server,
    arrivals: watch::Receiver<[Arrivals; 2]>,
}

impl Landing {
    /// Keeps the tables in a file, or in memory.
    ///
    /// # Errors
    /// If the file cannot be used or the server cannot listen.
    pub async fn start(file: Option<&Path>) -> Result<Self> {
        let (arrived, arrivals) = watch::channel([Vec::new(), Vec::new()]);
        let builder = match file {
            Some(file) => {
                let tables = Ddl::Bootstrap(DDL.to_owned());
                Emulator::builder().data_file(DataFile::open(file, &tables)?)
            }
            None => Emulator::builder().catalog(Catalog::from_ddl(DDL)?),
        };
        let emulator = builder
            .on_commit(move |commit| {
                let is_batch = MICROBATCH.ends_with(&*commit.table.name);
                arrived.send_modify(|[streaming, microbatch]| {
                    let table = if is_batch { microbatch } else { streaming };
                    table.push(Arrival {
                        at: Instant::now(),
                        channel: commit.channel.clone(),
                        rows: commit.rows.len(),
                    });
                });
            })
            .build()?;
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::bind(emulator.clone(), any_port).await?;
        Ok(Self {
            emulator,
            server,
            arrivals,
        })
    }

    /// Writes the profile for the programs.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_profile(&self, folder: &Path) -> Result<PathBuf> {
        let path = folder.join("profile.json");
        let profile = self.emulator.profile_json(&self.server.url());
        // It contains a private key.
        let mut file = OpenOptions::new();
        file.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
        let mut file = file.open(&path).context("cannot write the profile")?;
        file.write_all(profile.as_bytes())?;
        Ok(path)
    }

    /// Waits until both tables have this many rows. Cancel safe.
    ///
    /// # Errors
    /// If it takes too long.
    pub async fn have_rows(&mut self, streaming: usize, microbatch: usize) -> Result<()> {
        let are_there = |[streamed, loaded]: &[Arrivals; 2]| {
            count(streamed) >= streaming && count(loaded) >= microbatch
        };
        let reached = timeout(PATIENCE, self.arrivals.wait_for(are_there)).await;
        let is_reached = reached.is_ok_and(|reached| reached.is_ok());
        let [in_streaming, in_microbatch] = self.rows();
        ensure!(
            is_reached,
            "only {in_streaming} of {streaming} rows were streamed, and {in_microbatch} of {microbatch} loaded"
        );
        Ok(())
    }

    /// How many rows the two tables have.
    pub fn rows(&self) -> [usize; 2] {
        self.arrivals.borrow().each_ref().map(count)
    }

    /// The rows that became visible in the two tables so far.
    pub fn arrivals(&self) -> [Arrivals; 2] {
        self.arrivals.borrow().clone()
    }

    /// The rows of a table, sorted.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub fn measurements(&self, table: &str) -> Result<Vec<Measurement>> {
        let measurement = |row: Value| {
            let number = |column: &str| row.get(column).and_then(Value::as_i64);
            Measurement {
                sensor_id: number("SENSORID"),
                current_temperature: number("CURRENTTEMPERATURE"),
                status: row.get("STATUS").and_then(Value::as_str).map(str::to_owned),
            }
        };
        let rows = self.emulator.rows(table)?;
        let mut measurements: Vec<_> = rows.into_iter().map(measurement).collect();
        measurements.sort_unstable();
        Ok(measurements)
    }
}

fn count(arrivals: &Arrivals) -> usize {
    arrivals.iter().map(|arrival| arrival.rows).sum()
}
