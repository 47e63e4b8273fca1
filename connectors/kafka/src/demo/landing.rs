//! The emulator over HTTP, whose table tells what has landed.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use snowpipe_streaming_emulator::tables::Catalog;
use snowpipe_streaming_emulator::{Emulator, EmulatorBuilder, Server};
use tokio::sync::watch;
use tokio::time::timeout;

use super::cluster::Rides;

/// What takes longer will not happen.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// The table that the server has.
pub const TABLE: &str = "RESORT.PUBLIC.LIFT_RIDE";
const DDL: &str = "CREATE TABLE RESORT.PUBLIC.LIFT_RIDE
    (RIDE_ID NUMBER, LIFT VARCHAR, PASS NUMBER, RECORD_CONTENT VARIANT, RECORD_METADATA VARIANT)";

/// A server with the table.
#[derive(Debug)]
pub struct Landing {
    /// The emulator that the server serves.
    pub emulator: Emulator,
    server: Server,
    rows: watch::Receiver<u64>,
}

/// What the table has of one partition, compared with what was produced.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Records that the brokers took.
    pub produced: usize,
    /// Records up to the committed token.
    pub committed: usize,
    /// Rows in the table, repetitions included.
    pub landed: usize,
    /// Whether each record landed once, and in order.
    pub is_exact: bool,
}

impl Landing {
    /// Starts the server on a free port.
    ///
    /// # Errors
    /// If the server cannot listen.
    pub async fn start(builder: EmulatorBuilder) -> Result<Self> {
        let (counted, rows) = watch::channel(0);
        let emulator = builder
            .catalog(Catalog::from_ddl(DDL)?)
            .on_commit(move |commit| {
                counted.send_modify(|count| *count += commit.rows.len() as u64);
            })
            .build()?;
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::bind(emulator.clone(), any_port).await?;
        Ok(Self {
            emulator,
            server,
            rows,
        })
    }

    /// Writes the profile for members.
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

    /// Waits until the table has this many rows.
    ///
    /// # Errors
    /// If it takes too long.
    pub async fn has_rows(&mut self, count: u64) -> Result<()> {
        let reached = self.rows.wait_for(|rows| *rows >= count);
        let is_reached = timeout(PATIENCE, reached).await.is_ok();
        ensure!(
            is_reached,
            "only {} of {count} rows have landed",
            self.rows()
        );
        Ok(())
    }

    /// How many rows the table has.
    pub fn rows(&self) -> u64 {
        *self.rows.borrow()
    }

    /// Compares the table with what was produced, by partition and offset.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub fn reconcile(
        &self,
        source_id: &str,
        topic: &str,
        produced: &Rides,
    ) -> Result<BTreeMap<i32, Reconciled>> {
        let mut landed: BTreeMap<i32, Vec<(i64, u64)>> = BTreeMap::new();
        for row in self.emulator.rows(TABLE)? {
            let metadata = row.get("RECORD_METADATA").context("a row of no record")?;
            let parsed;
            let metadata = match metadata {
                // A VARIANT is shown as its text.
                Value::String(text) => {
                    parsed = serde_json::from_str(text)?;
                    &parsed
                }
                metadata => metadata,
            };
            let number = |of: &Value, field: &str| {
                let number = of.get(field).and_then(Value::as_i64);
                number.with_context(|| format!("no {field} in {row}"))
            };
            let partition = i32::try_from(number(metadata, "partition")?)?;
            let ride = u64::try_from(number(&row, "RIDE_ID")?)?;
            let rows = landed.entry(partition).or_default();
            rows.push((number(metadata, "offset")?, ride));
        }
        let mut all = BTreeMap::new();
        for (partition, rides) in produced {
            let landed = landed.remove(partition).unwrap_or_default();
            let channel = self
                .emulator
                .channel(&format!("{source_id}:{topic}:{partition}"));
            let token = channel.and_then(|channel| channel.offset_token);
            let through = token.map_or(Ok(-1), |token| token.parse::<i64>())?;
            let reconciled = Reconciled {
                produced: rides.len(),
                committed: rides.range(..=through).count(),
                landed: landed.len(),
                is_exact: landed
                    .iter()
                    .copied()
                    .eq(rides.iter().map(|(o, r)| (*o, *r))),
            };
            all.insert(*partition, reconciled);
        }
        for (partition, unknown) in landed {
            let landed = unknown.len();
            let reconciled = Reconciled {
                landed,
                ..Reconciled::default()
            };
            all.insert(partition, reconciled);
        }
        Ok(all)
    }
}
