//! The run: the generator and the three streams side by side, until all is done or somebody stops them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::cli::{Args, Until};
use crate::counters::{Counters, Publisher};
use crate::misconfigured::is_misconfigured;
use crate::produce::Producer;
use crate::progress;
use crate::queue::Queue;
use crate::screen::{Screen, in_words};
use crate::speed::Speed;
use crate::stream::{Finish, Stream};
use crate::table::Table;
use crate::target::Target;

/// How often a streamer without a generator of its own looks whether everything was generated.
const PAUSE: Duration = Duration::from_millis(250);

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Whether somebody stopped it before it was done.
    pub(crate) interrupted: bool,
    /// What failed, and with it what it left undone.
    pub(crate) failures: Vec<String>,
}

/// The name of a table's channel.
pub(crate) fn channel(args: &Args, queue_id: &str, table: Table) -> String {
    let default = || format!("{}-{queue_id}", table.name());
    args.channel.clone().unwrap_or_else(default)
}

/// Streams what is in the queue, and what `producer` or another process adds to it.
///
/// # Errors
/// [`Misconfigured`](crate::misconfigured::Misconfigured) if a channel and the queue do not belong together; nothing was
/// streamed or deleted then. Everything else that fails is told in what is returned.
pub(crate) async fn run(
    args: &Args,
    queue: &Path,
    target: &Target,
    producer: Option<Producer>,
    mut stop: watch::Receiver<bool>,
    screen: &Screen,
) -> Result<Ended> {
    let mut failures = Vec::new();
    let mut observers = BTreeMap::new();
    let mut opening = Vec::new();
    for table in Table::ALL {
        let (publisher, observer) = watch::channel(Counters::default());
        observers.insert(table, observer);
        opening.push(open(args, queue, target, table, publisher));
    }
    let mut streams = Vec::new();
    let opened = tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => {
            return Ok(Ended { interrupted: true, failures });
        }
        opened = futures_util::future::join_all(opening) => opened,
    };
    for (table, result) in Table::ALL.into_iter().zip(opened) {
        match result {
            Ok(stream) => streams.push((table, stream)),
            Err(error) if is_misconfigured(&error) => return Err(error),
            Err(error) => report(screen, &mut failures, table.name(), &error),
        }
    }

    let (generated_sender, generated) = watch::channel(false);
    let (halt, halted) = watch::channel(false);
    let mut generator = tokio::spawn(generate(
        producer,
        queue.to_owned(),
        args.speed,
        args.until(),
        halted.clone(),
    ));
    let mut running = JoinSet::new();
    for (table, stream) in streams {
        let stream = stream.run(generated.clone(), halted.clone(), args.drain_timeout);
        running.spawn(async move { (table, stream.await) });
    }
    let shown = tokio::spawn(progress::show(
        screen.clone(),
        queue.to_owned(),
        target.landing.clone(),
        observers,
    ));

    let mut interrupted = false;
    let mut is_generating = true;
    while is_generating || !running.is_empty() {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop), if !*halt.borrow() => {
                screen.note("stopping: what was appended is being committed");
                halt.send_replace(true);
            }
            result = &mut generator, if is_generating => {
                is_generating = false;
                match result.context("the generator ended badly").and_then(|result| result) {
                    Ok(Finish::Done) => {}
                    Ok(Finish::Stopped) => interrupted = true,
                    Err(error) => report(screen, &mut failures, "the generator", &error),
                }
                if !*halt.borrow() {
                    generated_sender.send_replace(true);
                }
            }
            Some(result) = running.join_next(), if !running.is_empty() => {
                let (table, result) = result.context("a stream ended badly")?;
                match result {
                    Ok(Finish::Done) => {}
                    Ok(Finish::Stopped) => interrupted = true,
                    Err(error) => report(screen, &mut failures, table.name(), &error),
                }
                if running.is_empty() && is_generating && !failures.is_empty() {
                    // Nobody is left to generate for.
                    halt.send_replace(true);
                }
            }
        }
    }
    shown.abort();
    let _ = shown.await;
    Ok(Ended {
        interrupted: interrupted && *stop.borrow(),
        failures,
    })
}

async fn open(
    args: &Args,
    queue: &Path,
    target: &Target,
    table: Table,
    counters: Publisher,
) -> Result<Stream> {
    let path = queue.to_owned();
    let queue = tokio::task::spawn_blocking(move || Queue::open(&path)).await??;
    let client = target.client(table).await?;
    let name = channel(args, queue.id(), table);
    Stream::open(table, client, &name, queue, counters).await
}

/// Generates, or waits until another process has.
async fn generate(
    producer: Option<Producer>,
    queue: PathBuf,
    speed: Speed,
    until: Until,
    mut halted: watch::Receiver<bool>,
) -> Result<Finish> {
    if let Some(producer) = producer {
        producer.run(speed, until, halted.clone()).await?;
        return Ok(if *halted.borrow() {
            Finish::Stopped
        } else {
            Finish::Done
        });
    }
    loop {
        let path = queue.clone();
        let look = move || Queue::open(&path)?.is_generated(until);
        if tokio::task::spawn_blocking(look).await?? {
            return Ok(Finish::Done);
        }
        tokio::select! {
            biased;
            _ = halted.wait_for(|halted| *halted) => return Ok(Finish::Stopped),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

fn report(screen: &Screen, failures: &mut Vec<String>, what: &str, error: &anyhow::Error) {
    let failure = format!("{what} failed: {}", in_words(error.as_ref()));
    screen.note(&failure);
    failures.push(failure);
}
