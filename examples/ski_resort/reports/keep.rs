//! Keeps the reports while rows land.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{CHUNK_ROWS, Reports, Taken};

/// How often the visits are brought up to the landing, and the tables up to the visits.
const VISITS: Duration = Duration::from_secs(1);
const TABLES: Duration = Duration::from_secs(2);
/// How many chunks are taken in before the tables and `stop` are looked at again: a long landing shows as it comes in.
const CHUNKS_AT_ONCE: u32 = 5;

/// Keeps the reports: visits at most every second and tables at most every two until `stop` turns true, and then both once
/// more. `changed` counts the refreshes that changed something.
pub(crate) async fn keep(
    path: PathBuf,
    landing: PathBuf,
    mut stop: watch::Receiver<bool>,
    changed: watch::Sender<u64>,
) -> Result<()> {
    let count = |has_changed: bool| {
        if has_changed {
            changed.send_modify(|changes| *changes += 1);
        }
    };
    let open = move || Reports::open(&path, &landing);
    let mut reports = tokio::task::spawn_blocking(open).await??;
    let mut ticks = interval(VISITS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut tables_due = Instant::now();
    let mut behind = false;
    loop {
        tokio::select! {
            biased;
            // It also ends when nobody is left who could say so.
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

/// Does something with the reports where it keeps nobody else from running.
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
