//! When the caller learns that its rows are committed: after a single flush, and in a steady stream.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use snowpipe_streaming::{Channel, StreamingIngestClient};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::client::{self, Span};
use crate::job::{Job, Outcome, Stamp};
use crate::rows::Pool;

/// The pause between two flushes, so that the polls of one flush do not delay the next.
const PAUSE: Duration = Duration::from_millis(500);
/// The rows that a steady stream appends at every tick: 2,000 a second.
const ROWS_A_TICK: usize = 100;
const TICK: Duration = Duration::from_millis(50);
/// The distance between two receipts that are awaited.
const TICKS_A_RECEIPT: u64 = 2;

/// Appends one batch at a time, starting at row `next`, and waits until it is known to be committed.
pub(crate) async fn flushes(
    channel: &mut Channel,
    pool: &Pool,
    mut next: u64,
    job: &Job,
) -> Result<Vec<Stamp>> {
    let mut known = Vec::new();
    if job.flushes > 0 {
        channel.wait_for_commit().await?;
    }
    for _ in 0..job.flushes {
        sleep(PAUSE).await;
        let mut left = job.config.batch;
        let mut last = None;
        while left > 0 {
            let (receipt, rows) = pool.append(channel, next, left).await?;
            next += rows;
            left -= usize::try_from(rows)?;
            last = Some(receipt);
        }
        channel.initiate_flush();
        let receipt = last.context("a batch has rows")?;
        receipt.committed().await?;
        known.push(stamp(channel.name(), next - 1)?);
    }
    Ok(known)
}

/// Streams the job's rows at 2,000 a second, and awaits a receipt every 100 ms.
pub(crate) async fn steady(
    client: &StreamingIngestClient,
    pool: &Arc<Pool>,
    job: &Job,
) -> Result<Outcome> {
    let mut channels = client::open(client, job).await?;
    let channel = channels.first_mut().context("the job has a channel")?;
    let span = Span::begin();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut waits = Vec::new();
    let mut next = 0;
    let mut tick = 0;
    while next < job.config.rows {
        ticks.tick().await;
        let (receipt, rows) = pool.append(channel, next, ROWS_A_TICK).await?;
        next += rows;
        tick += 1;
        if tick % TICKS_A_RECEIPT == 0 {
            let name = channel.name().to_owned();
            waits.push(tokio::spawn(async move {
                receipt.committed().await?;
                stamp(&name, next - 1)
            }));
        }
    }
    channel.wait_for_commit().await?;
    let mut outcome = span.end(next, client);
    for wait in waits {
        outcome.known.push(wait.await??);
    }
    outcome.channels.insert(channel.name().to_owned(), next);
    Ok(outcome)
}

/// Records that this token is known to be committed now.
fn stamp(channel: &str, token: u64) -> Result<Stamp> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok((
        channel.to_owned(),
        token.to_string(),
        u64::try_from(now.as_micros())?,
    ))
}
