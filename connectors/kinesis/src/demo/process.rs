//! This program as a process that can be killed, and what it says.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

use super::landing::PATIENCE;

/// The most lines that are kept of a process.
const LINES: usize = 1_000;

type Lines = watch::Receiver<VecDeque<String>>;

/// A process that is killed when this value is dropped.
pub struct Process {
    child: Child,
    lines: Lines,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Process {
    /// Starts the program.
    ///
    /// # Errors
    /// If the program cannot be started.
    pub fn start(
        program: &Path,
        arguments: &[String],
        environment: &[(String, String)],
    ) -> Result<Self> {
        let (child, lines) = spawn(program, arguments, environment)?;
        Ok(Self {
            child,
            lines,
            program: program.to_owned(),
            arguments: arguments.to_vec(),
            environment: environment.to_vec(),
        })
    }

    /// Kills the process, which cannot do anything about it, and starts it again.
    ///
    /// # Errors
    /// If it cannot be killed or started.
    pub async fn restart(&mut self) -> Result<()> {
        self.child.kill().await?;
        (self.child, self.lines) = spawn(&self.program, &self.arguments, &self.environment)?;
        Ok(())
    }

    /// Waits until the process has printed a line with this text.
    ///
    /// # Errors
    /// If it ends before, or it takes too long.
    pub async fn says(&mut self, text: &str) -> Result<()> {
        let has_it = |lines: &VecDeque<String>| lines.iter().any(|line| line.contains(text));
        let said = timeout(PATIENCE, self.lines.wait_for(has_it)).await;
        let is_said = said.is_ok_and(|said| said.is_ok());
        ensure!(
            is_said,
            "the program has not said {text:?}, but {:?}",
            self.lines.borrow()
        );
        Ok(())
    }

    /// Asks the process to end, once it has said something, and waits until it has ended. Before, a signal may still kill it.
    ///
    /// # Errors
    /// If it says nothing, or cannot be asked.
    pub async fn stop(mut self) -> Result<ExitStatus> {
        self.says("").await?;
        let id = self.child.id().context("the process has ended")?;
        // The shell's own command: there may be no other.
        let kill = Command::new("sh")
            .args(["-c", "kill -TERM $0", &id.to_string()])
            .status();
        ensure!(kill.await?.success(), "cannot signal the process {id}");
        self.ended().await
    }

    /// As [`stop`](Self::stop), of a process that has nothing to complain about.
    ///
    /// # Errors
    /// If it fails, with what it has said.
    pub async fn drain(self) -> Result<()> {
        let lines = self.lines.clone();
        let arguments = self.arguments.clone();
        let status = self.stop().await?;
        ensure!(
            status.success(),
            "{arguments:?} ends with {status}, and has said {:?}",
            lines.borrow()
        );
        Ok(())
    }

    /// Waits until the process has ended.
    ///
    /// # Errors
    /// If it takes too long.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        let ended = timeout(PATIENCE, self.child.wait()).await;
        Ok(ended.context("the process does not end")??)
    }
}

fn spawn(
    program: &Path,
    arguments: &[String],
    environment: &[(String, String)],
) -> Result<(Child, Lines)> {
    let mut child = Command::new(program)
        .args(arguments)
        .envs(environment.iter().cloned())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let (sender, lines) = watch::channel(VecDeque::new());
    let errors = child.stderr.take().context("the process has no output")?;
    tokio::spawn(follow(errors, sender.clone()));
    let output = child.stdout.take().context("the process has no output")?;
    tokio::spawn(follow(output, sender));
    Ok((child, lines))
}

/// Reads what a process says until it has ended.
async fn follow(output: impl AsyncRead + Unpin, sender: watch::Sender<VecDeque<String>>) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        sender.send_modify(|lines| {
            lines.push_back(line);
            if lines.len() > LINES {
                lines.pop_front();
            }
        });
    }
}
