//! The reports beside the run: kept up while rows land, and complete once before they are looked at for the last time.
//! What fails in between, for lack of space perhaps, is tried again.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::warn;

use crate::live::Board;
use crate::reports::{self, Reports};
use crate::role::{Role, RoleLock};
use crate::screen::in_words;

/// How long reports that failed are left alone before they are tried again.
const PAUSE: Duration = Duration::from_secs(10);

/// Keeps the reports of a landing until it is told to finish.
#[derive(Debug)]
pub(crate) struct Keeper {
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<()>>,
    _lock: RoleLock,
}

impl Keeper {
    /// Begins to keep them. `changed` counts how often they changed.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::misconfigured::Misconfigured) if another process makes them, or the file holds something
    /// else.
    pub(crate) async fn start(
        path: &Path,
        landing: &Path,
        changed: watch::Sender<u64>,
        board: &Board,
    ) -> Result<Self> {
        let lock = RoleLock::take(path, Role::Reporter)?;
        let (stop, stopped) = watch::channel(false);
        let (path, landing) = (path.to_owned(), landing.to_owned());
        let reports = open(&path, &landing).await?;
        let writer = board.clone();
        let task = tokio::spawn(async move {
            let mut opened = Ok(reports);
            loop {
                let kept = match opened {
                    Ok(reports) => reports::keep(reports, stopped.clone(), changed.clone()).await,
                    Err(error) => Err(error),
                };
                let Err(error) = kept else {
                    return Ok(());
                };
                let why = in_words(error.as_ref());
                warn!(error = %why, "the reports are not kept up");
                writer.write(|live| live.reports = format!("failed: {why}"));
                if is_over(&stopped) {
                    return Err(error);
                }
                let mut ended = stopped.clone();
                let _ = timeout(PAUSE, ended.wait_for(|stop| *stop)).await;
                opened = open(&path, &landing).await;
                if opened.is_ok() {
                    writer.write(|live| "current".clone_into(&mut live.reports));
                }
            }
        });
        board.write(|live| "current".clone_into(&mut live.reports));
        Ok(Self {
            stop,
            task,
            _lock: lock,
        })
    }

    /// Brings them up to what has landed by now, and ends.
    ///
    /// # Errors
    /// If they cannot be made now.
    pub(crate) async fn finish(self) -> Result<()> {
        self.stop.send_replace(true);
        self.task.await.context("the reports' task ended badly")?
    }
}

async fn open(path: &Path, landing: &Path) -> Result<Reports> {
    let (path, landing) = (path.to_owned(), landing.to_owned());
    tokio::task::spawn_blocking(move || Reports::open(&path, &landing)).await?
}

/// Whether somebody said that this is the end, or nobody is left who could.
fn is_over(stop: &watch::Receiver<bool>) -> bool {
    *stop.borrow() || stop.has_changed().is_err()
}
