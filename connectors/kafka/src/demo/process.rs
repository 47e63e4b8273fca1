//! A member as a process, whose states of partitions this process follows.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::watch;
use tokio::time::timeout;

use super::landing::PATIENCE;

/// The last state of each partition, with the reason of a failure.
pub type States = BTreeMap<String, String>;

/// A process that is killed when this value is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    states: watch::Receiver<States>,
}

impl Process {
    /// Starts the program with options.
    ///
    /// # Errors
    /// If the program cannot be started.
    pub fn start(program: &Path, options: &[String]) -> Result<Self> {
        let mut child = Command::new(program)
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let stdout = child.stdout.take().context("the process has no output")?;
        let (follower, states) = watch::channel(States::new());
        tokio::spawn(follow(stdout, follower));
        Ok(Self { child, states })
    }

    /// The last state of each partition.
    pub fn states(&self) -> States {
        self.states.borrow().clone()
    }

    /// How many partitions stream.
    pub fn streaming(&self) -> usize {
        streaming(&self.states.borrow())
    }

    /// Waits until `count` partitions stream. Cancel safe.
    ///
    /// # Errors
    /// If the process ends before, or it takes too long.
    pub async fn streams(&mut self, count: usize) -> Result<()> {
        self.until(|states| streaming(states) >= count).await
    }

    /// Waits until the states are as wanted. Cancel safe.
    ///
    /// # Errors
    /// If the process ends before, or it takes too long.
    pub async fn until(&mut self, mut wanted: impl FnMut(&States) -> bool) -> Result<()> {
        let reached = self.states.wait_for(|states| wanted(states));
        match timeout(PATIENCE, reached)
            .await
            .map(|reached| reached.is_ok())
        {
            Ok(true) => Ok(()),
            Ok(false) => bail!("the member has ended, with {:?}", self.states()),
            Err(_) => bail!("the member stays with {:?}", self.states()),
        }
    }

    /// Kills the process, which cannot do anything about it, and waits until it is gone.
    ///
    /// # Errors
    /// If it cannot be killed.
    pub async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Sends a signal: `TERM`, `STOP` or `CONT`.
    ///
    /// # Errors
    /// If there is no such process.
    pub async fn signal(&self, signal: &str) -> Result<()> {
        let id = self.child.id().context("the member has ended")?;
        // The shell's own command: there may be no other.
        let kill = Command::new("sh")
            .args(["-c", "kill -$0 $1", signal, &id.to_string()])
            .status();
        ensure!(kill.await?.success(), "cannot signal the member {id}");
        Ok(())
    }

    /// Asks the process to drain, and waits until it has ended.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        self.signal("TERM").await?;
        Ok(self.child.wait().await?)
    }
}

fn streaming(states: &States) -> usize {
    states
        .values()
        .filter(|state| *state == "streaming")
        .count()
}

/// Reads the lines of a member until it has ended.
async fn follow(stdout: ChildStdout, states: watch::Sender<States>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some((partition, state)) = line.split_once(' ') {
            states.send_modify(|states| {
                states.insert(partition.to_owned(), state.to_owned());
            });
        }
    }
}
