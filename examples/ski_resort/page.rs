//! The dashboard's page of a run: served from the start, and after the run until Ctrl-C.

use anyhow::{Context, Result};
use snowpipe_connector_support::error_text::with_causes;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::debug;

use crate::cli::{Args, Only, Serve};
use crate::dashboard::{Dashboard, ReportPlace};
use crate::live::Board;
use crate::screen::Screen;

/// The page, which may be turned off, and the state of the reports.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) feed: ReportFeed,
    served: Option<Served>,
}

/// Publishes the state of the reports to the page.
#[derive(Debug, Clone)]
pub(crate) struct ReportFeed {
    /// Where the reports are.
    pub(crate) place: watch::Sender<ReportPlace>,
    /// How often the reports have changed.
    pub(crate) changed: watch::Sender<u64>,
}

#[derive(Debug)]
struct Served {
    url: String,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<()>>,
}

impl Page {
    /// Serves the page, unless it is turned off.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::misconfigured::Misconfigured) if the given port cannot be used.
    pub(crate) async fn open(args: &Args, screen: &Screen, board: &Board) -> Result<Self> {
        let (place, places) = watch::channel(ReportPlace::Unknown);
        let (changed, count) = watch::channel(0);
        let mut page = Self {
            feed: ReportFeed { place, changed },
            served: None,
        };
        if args.no_dashboard || args.only == Only::Generator {
            return Ok(page);
        }
        let dashboard = Dashboard::bind(args.port).await?;
        let url = dashboard.url();
        screen.note(format!("dashboard: {url}"));
        if args.open
            && let Err(error) = open::that_detached(&url)
        {
            debug!(%error, "cannot open a browser");
            screen.note("cannot open a browser: open that address yourself");
        }
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(dashboard.serve(board.subscribe(), places, count, stopped));
        page.served = Some(Served { url, stop, task });
        Ok(page)
    }

    /// Whether the page is served after the work is done.
    pub(crate) fn stays(&self, serve: Serve, screen: &Screen) -> bool {
        let wanted = match serve {
            Serve::Auto => screen.is_terminal(),
            Serve::Always => true,
            Serve::Never => false,
        };
        wanted && self.served.is_some()
    }

    /// Closes the page; waits for Ctrl-C first, if the page stays.
    pub(crate) async fn close(
        self,
        serve: Serve,
        screen: &Screen,
        mut stop: watch::Receiver<bool>,
    ) {
        let stays = self.stays(serve, screen);
        let Some(served) = self.served else {
            return;
        };
        if stays && !*stop.borrow() {
            screen.note(format!("the page stays at {} until Ctrl-C", served.url));
            let _ = stop.wait_for(|stop| *stop).await;
        }
        served.stop.send_replace(true);
        let result = served.task.await.context("its task was stopped");
        if let Err(error) = result.flatten() {
            screen.note(format!("the page failed: {}", with_causes(error.as_ref())));
        }
    }
}
