//! Updates the reports in the background while rows land, and completes them at the end of the run. Failures, for example a full
//! disk, are retried. The run does not wait while a large file is checked.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use snowpipe_connector_support::error_text::with_causes;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::warn;

use crate::dashboard::ReportPlace;
use crate::live::Board;
use crate::page::ReportFeed;
use crate::reports::{self, Claimed, Reports};
use crate::role::RoleLock;

/// The pause before failed reports are retried.
const PAUSE: Duration = Duration::from_secs(10);

/// The task that updates the reports of a landing.
#[derive(Debug)]
pub(crate) struct Keeper {
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<()>>,
    _lock: RoleLock,
}

impl Keeper {
    /// Starts the updates under the reporter's lock, and publishes the place of the reports, so that the page can show those of
    /// an earlier run meanwhile.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::misconfigured::Misconfigured) if the file holds other data.
    pub(crate) async fn start(
        lock: RoleLock,
        path: &Path,
        landing: &Path,
        feed: ReportFeed,
        board: &Board,
    ) -> Result<Self> {
        let (path, landing) = (path.to_owned(), landing.to_owned());
        let place = ReportPlace::Embedded(path.clone());
        let claim = move || Reports::claim(&path, &landing);
        let claimed = tokio::task::spawn_blocking(claim.clone()).await??;
        feed.place.send_replace(place);
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(keep(claimed, claim, feed, stopped, board.clone()));
        Ok(Self {
            stop,
            task,
            _lock: lock,
        })
    }

    /// Updates the reports to the rows landed so far, and ends the task.
    ///
    /// # Errors
    /// If the reports cannot be computed.
    pub(crate) async fn finish(self) -> Result<()> {
        self.stop.send_replace(true);
        self.task.await.context("the reports' task failed")?
    }
}

async fn keep(
    claimed: Claimed,
    claim: impl Fn() -> Result<Claimed> + Clone + Send + 'static,
    feed: ReportFeed,
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
                // The page may show older reports.
                feed.changed.send_modify(|changes| *changes += 1);
                reports::keep(reports, stopped.clone(), feed.changed.clone()).await
            }
            Err(error) => Err(error),
        };
        let Err(error) = kept else {
            return Ok(());
        };
        let why = with_causes(error.as_ref());
        warn!(error = %why, "cannot update the reports");
        board.write(|live| live.reports = format!("failed: {why}"));
        if is_over(&stopped) {
            return Err(error);
        }
        let mut stopped = stopped.clone();
        let _ = timeout(PAUSE, stopped.wait_for(|stop| *stop)).await;
    }
}

/// Whether the task is to end: `stop` is true or its sender is dropped.
fn is_over(stop: &watch::Receiver<bool>) -> bool {
    *stop.borrow() || stop.has_changed().is_err()
}
