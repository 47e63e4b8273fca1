//! The reports beside the run: kept up while rows land, and complete once before they are looked at for the last time.
//! What fails in between, for lack of space perhaps, is tried again. Nobody waits for a large file to be looked through.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::warn;

use crate::dashboard::Where;
use crate::error_text::with_causes;
use crate::live::Board;
use crate::page::Told;
use crate::reports::{self, Claimed, Reports};
use crate::role::RoleLock;

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
    /// Begins to keep them under the reporter's lock, and tells the page where they are: what an earlier run left can be read meanwhile.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::misconfigured::Misconfigured) if the file holds something else.
    pub(crate) async fn start(
        lock: RoleLock,
        path: &Path,
        landing: &Path,
        told: Told,
        board: &Board,
    ) -> Result<Self> {
        let (path, landing) = (path.to_owned(), landing.to_owned());
        let place = Where::Embedded(path.clone());
        let claim = move || Reports::claim(&path, &landing);
        let claimed = tokio::task::spawn_blocking(claim.clone()).await??;
        told.reports.send_replace(place);
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(keep(claimed, claim, told, stopped, board.clone()));
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

async fn keep(
    claimed: Claimed,
    claim: impl Fn() -> Result<Claimed> + Clone + Send + 'static,
    told: Told,
    stopped: watch::Receiver<bool>,
    board: Board,
) -> Result<()> {
    let mut claimed = Some(claimed);
    loop {
        let claim = claim.clone();
        let claimed = claimed.take();
        let open = move || claimed.map_or_else(claim, Ok)?.open();
        let kept = match tokio::task::spawn_blocking(open).await? {
            Ok(reports) => {
                board.write(|live| "current".clone_into(&mut live.reports));
                // What was made again is not what the page may have seen.
                told.changed.send_modify(|changes| *changes += 1);
                reports::keep(reports, stopped.clone(), told.changed.clone()).await
            }
            Err(error) => Err(error),
        };
        let Err(error) = kept else {
            return Ok(());
        };
        let why = with_causes(error.as_ref());
        warn!(error = %why, "the reports are not kept up");
        board.write(|live| live.reports = format!("failed: {why}"));
        if is_over(&stopped) {
            return Err(error);
        }
        let mut ended = stopped.clone();
        let _ = timeout(PAUSE, ended.wait_for(|stop| *stop)).await;
    }
}

/// Whether somebody said that this is the end, or nobody is left who could.
fn is_over(stop: &watch::Receiver<bool>) -> bool {
    *stop.borrow() || stop.has_changed().is_err()
}
