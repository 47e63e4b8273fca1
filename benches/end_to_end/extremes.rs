//! Extreme situations: a stalled server, an idle client, and thousands of channels.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use snowpipe_streaming::{Channel, Error, ErrorKind, StreamingIngestClient};

use crate::client::{self, Span, metrics};
use crate::job::{Job, Outcome};
use crate::rows::Pool;
use crate::usage;

/// Appends until the client accepts no more rows.
pub(crate) async fn stalled(
    client: &StreamingIngestClient,
    pool: &Pool,
    job: &Job,
) -> Result<Outcome> {
    let mut channels = client::open(client, job).await?;
    let channel = channels.first_mut().context("the job has a channel")?;
    let span = Span::begin();
    let mut next = 0;
    loop {
        match pool.append(channel, next, job.config.batch).await {
            Ok((_, rows)) => next += rows,
            Err(error) if is_full(&error) => return Ok(span.end(next, client)),
            Err(error) => return Err(error),
        }
    }
}

fn is_full(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<Error>();
    error.is_some_and(|error| error.kind() == ErrorKind::Backpressure)
}

/// Sends one batch and then leaves the client idle for `seconds`. The outcome counts the requests of that time.
pub(crate) async fn idle(
    client: &StreamingIngestClient,
    pool: &Pool,
    job: &Job,
    seconds: u64,
) -> Result<Outcome> {
    let mut channels = client::open(client, job).await?;
    let channel = channels.first_mut().context("the job has a channel")?;
    let (_, rows) = pool.append(channel, 0, job.config.batch).await?;
    channel.wait_for_commit().await?;
    let before = metrics(client).requests;

    let span = Span::begin();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let mut outcome = span.end(rows, client);
    for (endpoint, total) in &mut outcome.metrics.requests {
        *total -= before.get(endpoint).copied().unwrap_or(0);
    }
    outcome.metrics.requests.retain(|_, total| *total > 0);
    outcome.channels.insert(channel.name().to_owned(), rows);
    Ok(outcome)
}

/// Opens all channels at once, and streams the rows to them in turn.
pub(crate) async fn many(
    client: &StreamingIngestClient,
    pool: &Pool,
    job: &Job,
) -> Result<Outcome> {
    let rss = usage::rss_bytes().unwrap_or(0);
    let started = Instant::now();
    let mut channels = client::open(client, job).await?;
    let open_s = started.elapsed().as_secs_f64();
    let rss_of_channels = usage::rss_bytes().unwrap_or(0).saturating_sub(rss);

    let span = Span::begin();
    // All channels have the same number of rows.
    let mut next = 0;
    let mut rows = 0;
    while rows < job.config.rows {
        let mut appended = 0;
        for channel in &mut channels {
            (_, appended) = pool.append(channel, next, job.config.batch).await?;
            rows += appended;
        }
        next += appended;
    }
    try_join_all(channels.iter().map(Channel::wait_for_flush)).await?;
    let outcome = span.end(rows, client);
    Ok(Outcome {
        open_s,
        rss_of_channels,
        channels: channels
            .iter()
            .map(|channel| (channel.name().to_owned(), next))
            .collect(),
        ..outcome
    })
}
