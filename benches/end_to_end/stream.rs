//! The runs of the table: rows as fast as the client accepts them, one task per channel.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use snowpipe_streaming::{Channel, StreamingIngestClient};
use tokio::time::Instant;

use crate::client::{self, Span};
use crate::job::{Config, Job, Outcome, SINGLE_ROWS_A_LAP};
use crate::known;
use crate::laps::Laps;
use crate::rows::Pool;

/// Streams the job's rows until all are accepted, and then makes a few single flushes.
pub(crate) async fn stream(
    client: &StreamingIngestClient,
    pool: &Arc<Pool>,
    job: &Job,
) -> Result<Outcome> {
    let mut writers = Vec::new();
    let share = job.config.channels as u64;
    for (i, channel) in (0..).zip(client::open(client, job).await?) {
        let rows = job.config.rows / share + u64::from(i < job.config.rows % share);
        writers.push((channel, rows, Laps::new()?));
    }
    let mut laps = Laps::new()?;

    let span = Span::begin();
    let tasks: Vec<_> = writers
        .into_iter()
        .map(|(channel, rows, laps)| {
            tokio::spawn(write(channel, Arc::clone(pool), rows, job.config, laps))
        })
        .collect();
    let mut written = Vec::new();
    for task in tasks {
        written.push(task.await??);
    }
    let mut outcome = span.end(job.config.rows, client);

    for (_, _, of_one) in &written {
        laps.add(of_one)?;
    }
    outcome.append_p50_us = laps.percentile_us(50.0);
    outcome.append_p99_us = laps.percentile_us(99.0);
    outcome.append_max_us = laps.max_us();
    if let Some((channel, rows, _)) = written.first_mut() {
        outcome.known = known::flushes(channel, pool, *rows, job).await?;
        *rows += outcome.known.len() as u64 * job.config.batch as u64;
    }
    let channels = written.iter();
    outcome.channels = channels
        .map(|(channel, rows, _)| (channel.name().to_owned(), *rows))
        .collect();
    Ok(outcome)
}

async fn write(
    mut channel: Channel,
    pool: Arc<Pool>,
    rows: u64,
    Config { batch, rate, .. }: Config,
    mut laps: Laps,
) -> Result<(Channel, u64, Laps)> {
    // Reading the clock would take a large part of the time of a single row.
    let timed = if batch == 1 { SINGLE_ROWS_A_LAP } else { 1 };
    let begun = Instant::now();
    let mut next = 0;
    let mut appends = 0_u64;
    while next < rows {
        let is_timed = appends.is_multiple_of(timed);
        if is_timed {
            laps.start();
        }
        let left = usize::try_from(rows - next)?;
        let (_, appended) = pool.append(&mut channel, next, batch.min(left)).await?;
        if is_timed {
            laps.lap();
        }
        next += appended;
        appends += 1;
        if let Some(due) = (next * 1_000_000).checked_div(rate) {
            tokio::time::sleep_until(begun + Duration::from_micros(due)).await;
        }
    }
    channel.wait_for_flush().await?;
    Ok((channel, rows, laps))
}
