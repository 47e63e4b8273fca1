//! The reports of a landing without streaming, and their page.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use snowpipe_connector_support::error_text::with_causes;
use tokio::sync::watch;

use crate::cli::Args;
use crate::files::Files;
use crate::keeper::Keeper;
use crate::landing;
use crate::live::{Board, Phase};
use crate::misconfigured::Misconfigured;
use crate::page::Page;
use crate::role::{Role, RoleLock};
use crate::screen::Screen;
use crate::table::Table;

/// How often a landing without tables is checked.
const PAUSE: Duration = Duration::from_secs(1);

/// Computes the reports of a landing, and updates them while the page is served.
///
/// # Errors
/// [`Misconfigured`] if the file is not a landing, or does not become one while the page is served.
pub(crate) async fn report(
    args: &Args,
    screen: &Screen,
    board: &Board,
    page: &Page,
    mut stop: watch::Receiver<bool>,
) -> Result<u8> {
    let files = Files::new(args, Path::new(""));
    let missing = missing_tables(&files.landing).await?;
    screen.note(format!("landing: {}", files.landing.display()));
    screen.note(format!("reports: {}", files.reports.display()));
    board.write(|live| live.target = format!("the landing {}", files.landing.display()));
    let stays = page.stays(args.serve, screen);
    if !stays && !missing.is_empty() {
        return Err(useless(&lacks(&files.landing, &missing)));
    }
    let lock = RoleLock::take(&files.reports, Role::Reporter)?;
    let feed = page.feed.clone();
    let keeper = Keeper::start(lock, &files.reports, &files.landing, feed, board).await?;
    if stays {
        await_tables(&files.landing, missing, screen, board, stop.clone()).await?;
        board.write(|live| live.phase = Phase::Running);
        let _ = stop.wait_for(|stop| *stop).await;
        screen.note("completing the reports; a second Ctrl-C exits at once");
    }
    keeper.finish().await?;
    Ok(0)
}

/// Waits until the emulator has created the tables, which it does when it starts.
async fn await_tables(
    landing: &Path,
    mut missing: Vec<Table>,
    screen: &Screen,
    board: &Board,
    mut stop: watch::Receiver<bool>,
) -> Result<()> {
    let mut reported = String::new();
    while !missing.is_empty() {
        let sentence = lacks(landing, &missing);
        if reported != sentence {
            let waiting = format!("{sentence}: waiting for its emulator to create them");
            screen.note(&waiting);
            board.write(|live| live.message = Some(waiting));
            reported = sentence;
        }
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return Err(useless(&reported)),
            () = tokio::time::sleep(PAUSE) => {}
        }
        // A failure may be temporary while the emulator creates the file.
        missing = missing_tables(landing).await.unwrap_or(missing);
    }
    board.write(|live| live.message = None);
    Ok(())
}

/// The tables that the landing does not have.
async fn missing_tables(landing: &Path) -> Result<Vec<Table>> {
    let path = landing.to_owned();
    if !path.exists() {
        return Err(useless(&format!("there is no landing {}", path.display())));
    }
    let missing = tokio::task::spawn_blocking(move || landing::missing(&path)).await?;
    missing.map_err(|error| useless(&with_causes(error.as_ref())))
}

fn lacks(landing: &Path, missing: &[Table]) -> String {
    let names: Vec<_> = missing.iter().map(|table| table.name()).collect();
    format!(
        "the landing {} has no {}",
        landing.display(),
        names.join(", no ")
    )
}

fn useless(why: &str) -> anyhow::Error {
    Misconfigured::new(format!(
        "{why}: give the data file of an emulator with --landing"
    ))
}
