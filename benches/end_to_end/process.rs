//! Child processes of this executable, so that the resource usage of the sink is not counted as the client's.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::job::Stamp;

/// A child process that runs until this is dropped.
#[derive(Debug)]
pub(crate) struct Companion {
    child: Child,
    /// The process ends when this is closed.
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// A running sink.
#[derive(Debug)]
pub(crate) struct Sink {
    /// Its address.
    pub(crate) place: Place,
    companion: Companion,
}

/// What a client needs to connect to a sink.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) ca: PathBuf,
    pub(crate) profile: PathBuf,
}

/// The counters of a sink since its last reset.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Counts {
    /// The rows of each channel.
    pub(crate) channels: BTreeMap<String, u64>,
    /// Rows that were compared with the expected ones, and how many of them are the same JSON in other bytes.
    pub(crate) rows_read: u64,
    pub(crate) rewritten: u64,
    /// Refused requests with rows, and the reasons of the first of them.
    pub(crate) fault_count: u64,
    pub(crate) faults: Vec<String>,
    pub(crate) data_requests: u64,
    pub(crate) status_requests: u64,
    /// The bytes of data requests.
    pub(crate) body_bytes: u64,
    pub(crate) cpu_s: f64,
    /// When the end token of each request became the committed token.
    pub(crate) commits: Vec<Stamp>,
}

impl Counts {
    /// The rows of all channels.
    pub(crate) fn rows(&self) -> u64 {
        self.channels.values().sum()
    }

    /// A message about the refused requests.
    pub(crate) fn refused(&self) -> String {
        format!(
            "the sink refused {} requests with rows: {:?}",
            self.fault_count, self.faults
        )
    }
}

impl Companion {
    /// Starts a process in this role, and reads its first line.
    pub(crate) fn start<T: DeserializeOwned>(role: &str, args: &[OsString]) -> Result<(Self, T)> {
        let mut child = Command::new(env::current_exe()?)
            .arg(role)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("the {role} does not start"))?;
        let answers = child.stdout.take().context("it is piped")?;
        let mut companion = Self {
            commands: child.stdin.take(),
            answers: BufReader::new(answers),
            child,
        };
        let first = companion.read_line()?;
        Ok((companion, first))
    }

    fn ask<T: DeserializeOwned>(&mut self, command: &str) -> Result<T> {
        let commands = self.commands.as_mut().context("it listens")?;
        writeln!(commands, "{command}")?;
        commands.flush()?;
        self.read_line()
    }

    fn read_line<T: DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        serde_json::from_str(&line)
            .with_context(|| format!("process {} says {line:?}", self.child.id()))
    }
}

impl Sink {
    /// Starts a sink with these arguments.
    pub(crate) fn start(args: &[OsString]) -> Result<Self> {
        let (companion, place) = Companion::start("sink", args)?;
        Ok(Self { place, companion })
    }

    /// Reads the counters.
    pub(crate) fn counts(&mut self) -> Result<Counts> {
        self.companion.ask("stats")
    }

    /// Resets the counters.
    pub(crate) fn reset(&mut self) -> Result<()> {
        self.companion.ask::<serde_json::Value>("reset").map(drop)
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        drop(self.commands.take());
        // Its output is not needed any more.
        let _ = self.child.wait();
    }
}

/// Runs this executable as a `client` or a `floor`, and reads what it prints.
pub(crate) fn run_child<T: DeserializeOwned>(role: &str, job: &impl Serialize) -> Result<T> {
    let job = serde_json::to_string(job)?;
    run(Command::new(env::current_exe()?).args([OsStr::new(role), job.as_ref()]))
}

/// Runs a program to its end, and reads the JSON that it prints.
pub(crate) fn run<T: DeserializeOwned>(command: &mut Command) -> Result<T> {
    let output = command.stderr(Stdio::inherit()).output()?;
    ensure!(
        output.status.success(),
        "{command:?} failed: {}",
        output.status
    );
    serde_json::from_slice(&output.stdout).with_context(|| {
        let said = String::from_utf8_lossy(&output.stdout);
        format!("{command:?} printed {said:?}")
    })
}
