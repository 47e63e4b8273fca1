//! The sink of the crate's bench `end_to_end`, which this bench builds and starts.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, interval};

const CRATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
const TIMEOUT: Duration = Duration::from_secs(300);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A running sink. The process ends when this is dropped.
pub(crate) struct Sink {
    pub(crate) place: Place,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

/// What a client needs to connect to a sink.
#[derive(Debug, Deserialize)]
pub(crate) struct Place {
    pub(crate) ca: PathBuf,
    pub(crate) profile: PathBuf,
}

/// The counters of a sink since its last reset.
#[derive(Debug, Deserialize)]
pub(crate) struct Counts {
    /// The rows of each channel.
    channels: BTreeMap<String, u64>,
    fault_count: u64,
    faults: Vec<String>,
    pub(crate) cpu_s: f64,
    /// Channel, offset token, and when it was committed, in microseconds.
    commits: Vec<(String, String, u64)>,
}

impl Counts {
    /// The time from the first commit to the last one.
    pub(crate) fn seconds(&self) -> Result<f64> {
        let times = || self.commits.iter().map(|(.., at)| *at);
        let (first, last) = times().min().zip(times().max()).context("no commits")?;
        Ok(Duration::from_micros(last - first).as_secs_f64())
    }
}

impl Sink {
    /// Builds the sink as this bench was built, and starts it.
    ///
    /// # Errors
    /// If that fails.
    pub(crate) async fn start(test: bool) -> Result<Self> {
        let mut child = Command::new(build(test).await?)
            .arg("sink")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("the sink does not start")?;
        let output = child.stdout.take().context("it is piped")?;
        let mut answers = BufReader::new(output).lines();
        Ok(Self {
            place: read(&mut answers).await?,
            commands: child.stdin.take().context("it is piped")?,
            answers,
            _child: child,
        })
    }

    /// # Errors
    /// If the sink has ended.
    pub(crate) async fn reset(&mut self) -> Result<()> {
        self.ask::<serde_json::Value>("reset").await.map(drop)
    }

    /// Waits until this many rows were committed.
    ///
    /// # Errors
    /// If the sink has refused rows, or it takes too long.
    pub(crate) async fn has(&mut self, rows: u64) -> Result<Counts> {
        let until = Instant::now() + TIMEOUT;
        let mut looks = interval(LOOK_EVERY);
        loop {
            looks.tick().await;
            let counts: Counts = self.ask("stats").await?;
            ensure!(
                counts.fault_count == 0,
                "the sink has refused: {:?}",
                counts.faults
            );
            let found: u64 = counts.channels.values().sum();
            if found >= rows {
                ensure!(found == rows, "{found} rows arrived of {rows}");
                return Ok(counts);
            }
            ensure!(
                Instant::now() < until,
                "only {found} of {rows} rows have arrived"
            );
        }
    }

    async fn ask<T: DeserializeOwned>(&mut self, command: &str) -> Result<T> {
        self.commands
            .write_all(format!("{command}\n").as_bytes())
            .await?;
        read(&mut self.answers).await
    }
}

async fn read<T: DeserializeOwned>(answers: &mut Lines<BufReader<ChildStdout>>) -> Result<T> {
    let line = answers.next_line().await?.context("the sink has ended")?;
    serde_json::from_str(&line).with_context(|| format!("the sink says {line:?}"))
}

/// Compiles the crate's bench, and returns its executable.
async fn build(test: bool) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .current_dir(CRATE)
        .args(["bench", "--locked", "--no-run", "--bench=end_to_end"])
        .args(["--message-format=json-render-diagnostics"])
        .args(test.then_some("--profile=dev"))
        .stderr(Stdio::inherit())
        .output()
        .await?;
    ensure!(built.status.success(), "the sink cannot be built");
    let messages = String::from_utf8(built.stdout)?;
    let executable = messages.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_sink = message.pointer("/target/name")?.as_str()? == "end_to_end";
        let executable = message.get("executable")?.as_str()?;
        is_sink.then(|| PathBuf::from(executable))
    });
    executable.context("cargo names no executable of the sink")
}
