//! Processes of this same executable: what one of them has used is its own, and the sink's share is not the client's.

use std::env;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::job::Stamp;

/// A sink that runs. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Sink {
    /// Where it is.
    pub(crate) place: Place,
    child: Child,
    /// Its end is the sink's.
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
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
    pub(crate) rows: u64,
    pub(crate) data_requests: u64,
    pub(crate) status_requests: u64,
    /// Of the data requests.
    pub(crate) body_bytes: u64,
    /// Requests whose rows were not those that their tokens promise.
    pub(crate) mismatches: u64,
    pub(crate) cpu_s: f64,
    /// When a request's end token became the committed one.
    pub(crate) commits: Vec<Stamp>,
}

impl Sink {
    /// Starts one with these arguments.
    pub(crate) fn start(args: &[String]) -> Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .arg("sink")
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the sink does not start")?;
        let mut answers = BufReader::new(child.stdout.take().context("it is piped")?);
        let commands = child.stdin.take();
        Ok(Self {
            place: read_line(&mut answers)?,
            child,
            commands,
            answers,
        })
    }

    /// What it has counted.
    pub(crate) fn counts(&mut self) -> Result<Counts> {
        self.ask("stats")
    }

    /// Lets it count from zero.
    pub(crate) fn reset(&mut self) -> Result<()> {
        self.ask::<serde_json::Value>("reset").map(drop)
    }

    fn ask<T: DeserializeOwned>(&mut self, command: &str) -> Result<T> {
        let commands = self.commands.as_mut().context("the sink listens")?;
        writeln!(commands, "{command}")?;
        commands.flush()?;
        read_line(&mut self.answers)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        drop(self.commands.take());
        // It has nothing left to say.
        let _ = self.child.wait();
    }
}

fn read_line<T: DeserializeOwned>(answers: &mut impl BufRead) -> Result<T> {
    let mut line = String::new();
    answers.read_line(&mut line)?;
    serde_json::from_str(&line).with_context(|| format!("the sink says {line:?}"))
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
