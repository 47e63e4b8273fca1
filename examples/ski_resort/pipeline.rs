//! Runs the generator and the three streams concurrently, until all rows are streamed or the run is stopped.

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::future::join_all;
use snowpipe_connector_support::error_text::with_causes;
use snowpipe_streaming::ingest::{self, Finish};
use snowpipe_streaming::{ErrorKind, StreamingIngestClient};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracing::warn;

use crate::cli::{Args, Until};
use crate::counters::{Counters, Publisher};
use crate::live::{Board, Phase, State};
use crate::misconfigured::{Misconfigured, is_misconfigured};
use crate::monitor::Monitor;
use crate::produce::Producer;
use crate::progress;
use crate::queue::{Progress, Queue, Turn};
use crate::screen::Screen;
use crate::speed::Speed;
use crate::stream::{Gate, QueueError, Stream};
use crate::table::Table;
use crate::target::Target;

/// How often a streamer without a generator checks whether the generator in another process has ended.
const PAUSE: Duration = Duration::from_millis(250);

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Whether the run was stopped before it was complete.
    pub(crate) interrupted: bool,
    /// A message for each part that failed.
    pub(crate) failures: Vec<String>,
}

/// The name of a table's channel.
pub(crate) fn channel(args: &Args, queue_id: &str, table: Table) -> String {
    let default = || format!("{}-{queue_id}", table.name());
    args.channel.clone().unwrap_or_else(default)
}

/// Streams the rows of the queue, and those that a generator or another process adds. The generator continues from `history`
/// while rows are streamed.
///
/// # Errors
/// [`Misconfigured`](crate::misconfigured::Misconfigured) if a channel and the queue do not belong together; then nothing was
/// streamed or deleted. Other failures are in the returned outcome.
pub(crate) async fn run(
    args: &Args,
    queue: &Path,
    target: &Target,
    history: Option<(Queue, Progress)>,
    mut stop: watch::Receiver<bool>,
    screen: &Screen,
    board: &Board,
) -> Result<Outcome> {
    let mut failures = Vec::new();
    let (generated_sender, generated) = watch::channel(false);
    let (halt, halted) = watch::channel(false);
    let (gate, open) = watch::channel(false);
    let (ready, mut are_ready) = mpsc::channel(Table::ALL.len());
    let gated = Gate { ready, open };
    let turn = Turn::default();
    let opening = open_all(queue, target, &turn, &generated, &gated);
    let opened = tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => {
            return Ok(Outcome { interrupted: true, failures });
        }
        opened = opening => opened,
    };
    let mut monitor = Monitor::new(board.clone(), queue, target.landing.as_deref());
    let mut running = JoinSet::new();
    let mut failed = |table: Table, error: &anyhow::Error| {
        board.channel(table, State::Failed);
        report(screen, &mut failures, table.name(), error);
    };
    for (table, result) in Table::ALL.into_iter().zip(opened) {
        match result {
            Ok(opened) => {
                let (publisher, observer) = watch::channel(Counters::default());
                let name = channel(args, &opened.queue_id, table);
                monitor.add(table, opened.client.clone(), observer, &name);
                let run = stream(opened, name, halted.clone(), args.drain(), publisher);
                running.spawn(async move { (table, run.await) });
            }
            Err(error) if is_misconfigured(&error) => return Err(error),
            Err(error) => failed(table, &error),
        }
    }
    let matching = all_match(&mut running, &mut are_ready, &mut failed);
    tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => {
            return Ok(Outcome { interrupted: true, failures });
        }
        result = matching => result?,
    }
    gate.send_replace(true);
    board.write(|live| live.phase = Phase::Running);

    let mut generator = tokio::spawn(generate(
        history,
        queue.to_owned(),
        turn,
        args.speed,
        args.until(),
        halted.clone(),
    ));
    let (stop_monitor, monitor_stopped) = oneshot::channel();
    let monitoring = tokio::spawn(monitor.run(monitor_stopped));
    let shown = tokio::spawn(progress::show(screen.clone(), board.subscribe()));

    let mut interrupted = false;
    let mut is_generating = true;
    while is_generating || !running.is_empty() {
        if running.is_empty() {
            // Without a stream, the generator would only fill the queue. This includes runs in which no stream could start.
            halt.send_replace(true);
        }
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop), if !*halt.borrow() => {
                screen.note("stopping: waiting for the commit of the appended rows");
                halt.send_replace(true);
            }
            result = &mut generator, if is_generating => {
                is_generating = false;
                match result.context("the generator's task failed").and_then(|result| result) {
                    Ok(has_ended) => interrupted |= !has_ended,
                    Err(error) => report(screen, &mut failures, "the generator", &error),
                }
                if !*halt.borrow() {
                    generated_sender.send_replace(true);
                }
            }
            Some(result) = running.join_next(), if !running.is_empty() => {
                let (table, result) = result.context("a stream's task failed")?;
                let state = if result.is_ok() { State::Closed } else { State::Failed };
                board.channel(table, state);
                match result {
                    Ok(finish) => interrupted |= finish == Finish::Stopped,
                    Err(error) => report(screen, &mut failures, table.name(), &error),
                }
            }
        }
    }
    drop(stop_monitor);
    let _ = monitoring.await;
    board.stop_flows();
    shown.abort();
    let _ = shown.await;
    Ok(Outcome {
        interrupted: interrupted && *stop.borrow(),
        failures,
    })
}

/// Waits until each stream has either checked that its channel belongs to the queue, or failed. Nothing is streamed or deleted
/// before.
async fn all_match(
    running: &mut JoinSet<(Table, Result<Finish>)>,
    are_ready: &mut mpsc::Receiver<()>,
    failed: &mut impl FnMut(Table, &anyhow::Error),
) -> Result<()> {
    for _ in 0..running.len() {
        tokio::select! {
            biased;
            Some(()) = are_ready.recv() => {}
            Some(result) = running.join_next() => {
                let (table, result) = result.context("a stream's task failed")?;
                match result {
                    Ok(_) => {}
                    Err(error) if is_misconfigured(&error) => return Err(error),
                    Err(error) => failed(table, &error),
                }
            }
        }
    }
    Ok(())
}

/// The parts of one table's stream.
struct Opened {
    client: StreamingIngestClient,
    source: Stream,
    queue_id: String,
}

/// Opens the parts of each table's stream, in the order of the tables.
async fn open_all(
    queue: &Path,
    target: &Target,
    turn: &Turn,
    generated: &watch::Receiver<bool>,
    gate: &Gate,
) -> Vec<Result<Opened>> {
    let opening = Table::ALL.map(|table| {
        let (turn, generated, gate) = (turn.clone(), generated.clone(), gate.clone());
        open(queue, target, table, turn, generated, gate)
    });
    join_all(opening).await
}

async fn open(
    queue: &Path,
    target: &Target,
    table: Table,
    turn: Turn,
    generated: watch::Receiver<bool>,
    gate: Gate,
) -> Result<Opened> {
    let path = queue.to_owned();
    let queue = turn.write(move || Queue::open(&path)).await?;
    Ok(Opened {
        client: target.client(table).await?,
        queue_id: queue.id().to_owned(),
        source: Stream::new(table, queue, turn, generated, gate),
    })
}

/// Streams until all generated rows are committed, or until the stream is halted.
async fn stream(
    mut opened: Opened,
    channel: String,
    mut halted: watch::Receiver<bool>,
    drain: Duration,
    counters: Publisher,
) -> Result<Finish> {
    let report = ingest::run(&opened.client, &channel, &mut opened.source)
        .until(async {
            let _ = halted.wait_for(|halted| *halted).await;
        })
        .drain_timeout(drain)
        .observe(|progress| {
            counters.send_replace(progress.into());
        })
        .await
        .map_err(|error| explain(error, &channel))?;
    for (channel, uncommitted) in &report.uncommitted {
        let ranges: Vec<_> = uncommitted.iter().map(ToString::to_string).collect();
        warn!(channel, uncommitted = %ranges.join(", "), "some rows were not committed in time");
    }
    Ok(report.finish)
}

/// Turns errors with a remedy on the command line into [`Misconfigured`].
fn explain(error: snowpipe_streaming::Error, channel: &str) -> anyhow::Error {
    let source = error.source().and_then(|source| source.downcast_ref());
    if let Some(misconfigured) = source.and_then(QueueError::misconfigured) {
        return misconfigured.into();
    }
    if error.kind() == ErrorKind::InvalidOffset {
        return Misconfigured::new(format!(
            "the channel {channel} does not belong to this pipeline: {error}; give another --channel"
        ));
    }
    error.into()
}

/// Generates rows, or waits until another process has generated them. False if halted before the end.
async fn generate(
    history: Option<(Queue, Progress)>,
    queue: PathBuf,
    turn: Turn,
    speed: Speed,
    until: Until,
    mut halted: watch::Receiver<bool>,
) -> Result<bool> {
    if let Some((queue, progress)) = history {
        let resume = move || Producer::resume(queue, &progress, turn);
        let resume = tokio::task::spawn_blocking(resume);
        let producer = tokio::select! {
            biased;
            _ = halted.wait_for(|halted| *halted) => return Ok(false),
            resumed = resume => resumed??,
        };
        producer.run(speed, until, halted.clone()).await?;
        return Ok(!*halted.borrow());
    }
    let mut queue = tokio::task::spawn_blocking(move || Queue::open(&queue)).await??;
    loop {
        let is_generated;
        (queue, is_generated) = tokio::task::spawn_blocking(move || {
            let is_generated = queue.is_generated(until)?;
            anyhow::Ok((queue, is_generated))
        })
        .await??;
        if is_generated {
            return Ok(true);
        }
        tokio::select! {
            biased;
            _ = halted.wait_for(|halted| *halted) => return Ok(false),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

fn report(screen: &Screen, failures: &mut Vec<String>, what: &str, error: &anyhow::Error) {
    let failure = format!("{what} failed: {}", with_causes(error.as_ref()));
    screen.note(&failure);
    failures.push(failure);
}
