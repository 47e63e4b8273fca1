//! Processes of this same executable: what one of them has used is its own, and the sink's share is not the client's.

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

/// A process of this executable that runs until this is dropped.
#[derive(Debug)]
pub(crate) struct Companion {
    child: Child,
    /// Its end is the process's.
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// A sink that runs.
#[derive(Debug)]
pub(crate) struct Sink {
    /// Where it is.
    pub(crate) place: Place,
    companion: Companion,
}

/// What a client has to know of a sink.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) ca: PathBuf,
    pub(crate) profile: PathBuf,
}

/// What a sink has counted since it was last reset.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Counts {
    /// The rows of each channel.
    pub(crate) channels: BTreeMap<String, u64>,
    /// Rows that were compared with what they should be; how many of them are the same JSON in other bytes.
    pub(crate) rows_read: u64,
    pub(crate) rewritten: u64,
    /// Requests with rows that were refused, and why the first of them were.
    pub(crate) fault_count: u64,
    pub(crate) faults: Vec<String>,
    pub(crate) data_requests: u64,
    pub(crate) status_requests: u64,
    /// Of the data requests.
    pub(crate) body_bytes: u64,
    pub(crate) cpu_s: f64,
    /// When a request's end token became the committed one.
    pub(crate) commits: Vec<Stamp>,
}

impl Counts {
    /// The rows of all channels.
    pub(crate) fn rows(&self) -> u64 {
        self.channels.values().sum()
    }

    /// What the sink has refused, in words.
    pub(crate) fn refused(&self) -> String {
        format!(
            "the sink refused {} requests with rows: {:?}",
            self.fault_count, self.faults
        )
    }
}

impl Companion {
    /// Starts one in a role, and reads what it says first.
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
    /// Starts one with these arguments.
    pub(crate) fn start(args: &[OsString]) -> Result<Self> {
        let (companion, place) = Companion::start("sink", args)?;
        Ok(Self { place, companion })
    }

    /// What it has counted.
    pub(crate) fn counts(&mut self) -> Result<Counts> {
        self.companion.ask("stats")
    }

    /// Lets it count from zero.
    pub(crate) fn reset(&mut self) -> Result<()> {
        self.companion.ask::<serde_json::Value>("reset").map(drop)
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        drop(self.commands.take());
        // It has nothing left to say.
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
