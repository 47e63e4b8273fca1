//! The reports beside the run: kept up while rows land, and complete once before they are looked at for the last time.

use std::path::Path;

use anyhow::{Context, Result};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::warn;

use crate::live::Board;
use crate::reports::{self, Reports};
use crate::role::{Role, RoleLock};
use crate::screen::in_words;

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
        let open = move || Reports::open(&path, &landing);
        let reports = tokio::task::spawn_blocking(open).await??;
        let writer = board.clone();
        let task = tokio::spawn(async move {
            let kept = reports::keep(reports, stopped, changed).await;
            if let Err(error) = &kept {
                let why = in_words(error.as_ref());
                warn!(error = %why, "the reports are no longer kept up");
                writer.write(|live| live.reports = format!("failed: {why}"));
            }
            kept
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
    /// If they cannot be made, now or since when.
    pub(crate) async fn finish(self) -> Result<()> {
        self.stop.send_replace(true);
        self.task.await.context("the reports' task ended badly")?
    }
}
