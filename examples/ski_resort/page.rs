//! The dashboard's page beside the run: there before everything else, and after it for as long as somebody looks.

use anyhow::{Context, Result};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::debug;

use crate::cli::{Args, Only, Serve};
use crate::dashboard::{Dashboard, Where};
use crate::error_text::with_causes;
use crate::live::Board;
use crate::screen::Screen;

/// The page, or, without one, what it would be told.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) told: Told,
    served: Option<Served>,
}

/// What the page is told about the reports.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// Where they are.
    pub(crate) reports: watch::Sender<Where>,
    /// Counts how often they changed.
    pub(crate) changed: watch::Sender<u64>,
}

#[derive(Debug)]
struct Served {
    url: String,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<()>>,
}

impl Page {
    /// Serves the page, unless it is not wanted.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::misconfigured::Misconfigured) if the port that was asked for cannot be had.
    pub(crate) async fn open(args: &Args, screen: &Screen, board: &Board) -> Result<Self> {
        let (reports, is_where) = watch::channel(Where::Nowhere);
        let (changed, count) = watch::channel(0);
        let mut page = Self {
            told: Told { reports, changed },
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
            debug!(%error, "no browser");
            screen.note("no browser could be opened: open that address yourself");
        }
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(dashboard.serve(board.subscribe(), is_where, count, stopped));
        page.served = Some(Served { url, stop, task });
        Ok(page)
    }

    /// Whether the page is to stay when the work is done.
    pub(crate) fn stays(&self, serve: Serve, screen: &Screen) -> bool {
        let wanted = match serve {
            Serve::Auto => screen.is_terminal(),
            Serve::Always => true,
            Serve::Never => false,
        };
        wanted && self.served.is_some()
    }

    /// Leaves the page up until somebody stops the program, if it is to stay, and takes it down.
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
        let ended = served.task.await.context("its task was stopped");
        if let Err(error) = ended.flatten() {
            screen.note(format!("the page failed: {}", with_causes(error.as_ref())));
        }
    }
}
