//! Updates the reports while rows land.

use std::time::Duration;

use anyhow::Result;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{CHUNK_ROWS, Reports, Taken};

/// How often the visits are updated from the landing, and the tables from the visits.
const VISITS: Duration = Duration::from_secs(1);
const TABLES: Duration = Duration::from_secs(2);
/// How many chunks are included before the tables and `stop` are checked again, so that the reports show progress on a large
/// landing.
const CHUNKS_AT_ONCE: u32 = 5;

/// Updates the visits at most every second and the tables at most every two seconds until `stop` becomes true, and then both
/// once more. `changed` counts the updates with changes.
pub(crate) async fn keep(
    mut reports: Reports,
    mut stop: watch::Receiver<bool>,
    changed: watch::Sender<u64>,
) -> Result<()> {
    let count = |has_changed: bool| {
        if has_changed {
            changed.send_modify(|changes| *changes += 1);
        }
    };
    let mut ticks = interval(VISITS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut tables_due = Instant::now();
    let mut behind = false;
    loop {
        tokio::select! {
            biased;
            // A dropped sender also means stop.
            _ = stop.wait_for(|stop| *stop) => break,
            () = std::future::ready(()), if behind => {}
            _ = ticks.tick() => {}
        }
        let taken;
        (reports, taken) = aside(reports, take_some).await?;
        count(taken.changed);
        behind = taken.behind;
        if tables_due <= Instant::now() {
            let refreshed;
            (reports, refreshed) = aside(reports, Reports::refresh_tables).await?;
            count(refreshed);
            tables_due = Instant::now() + TABLES;
        }
    }
    let (reports, refreshed) = aside(reports, Reports::refresh_visits).await?;
    count(refreshed);
    let (_, refreshed) = aside(reports, Reports::refresh_tables).await?;
    count(refreshed);
    Ok(())
}

fn take_some(reports: &mut Reports) -> Result<Taken> {
    let mut taken = reports.take_chunk(CHUNK_ROWS)?;
    for _ in 1..CHUNKS_AT_ONCE {
        if !taken.behind {
            break;
        }
        taken = reports.take_chunk(CHUNK_ROWS)?;
        taken.changed = true;
    }
    Ok(taken)
}

/// Runs work on the reports on a blocking thread.
async fn aside<T: Send + 'static>(
    mut reports: Reports,
    work: impl FnOnce(&mut Reports) -> Result<T> + Send + 'static,
) -> Result<(Reports, T)> {
    tokio::task::spawn_blocking(move || {
        let done = work(&mut reports)?;
        Ok((reports, done))
    })
    .await?
}
