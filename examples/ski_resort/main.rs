//! The ski-resort pipeline: a generator writes tickets, season passes and lift rides to a durable queue, and a streamer
//! moves them over three channels into three tables.

mod alone;
mod cli;
mod counters;
mod customer;
mod dashboard;
mod files;
mod generator;
mod keeper;
mod landing;
mod live;
mod misconfigured;
mod monitor;
mod page;
mod pipeline;
mod place;
mod produce;
mod progress;
mod queue;
mod reports;
mod resorts;
mod rider;
mod role;
mod rows;
mod screen;
mod speed;
mod stream;
mod summary;
mod table;
mod target;
mod unused_flags;
mod vocabulary;
mod world;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, anyhow};
use jiff::Timestamp;
use snowpipe_connector_support::error_text::with_causes;
use snowpipe_connector_support::signals::{self, INTERRUPTED};
use tokio::sync::watch;

use crate::cli::{Args, Only, Until};
use crate::dashboard::ReportPlace;
use crate::files::{Files, Found};
use crate::keeper::Keeper;
use crate::live::{Board, Phase};
use crate::misconfigured::is_misconfigured;
use crate::monitor::Monitor;
use crate::page::Page;
use crate::pipeline::Outcome;
use crate::produce::Producer;
use crate::queue::{Progress, Queue, Turn};
use crate::role::{Role, RoleLock};
use crate::screen::Screen;
use crate::summary::{Course, Summary};
use crate::target::Target;

const DEFAULT_START: &str = "2026-01-17T14:00:00Z";

const FAILED: u8 = 1;
const MISCONFIGURED: u8 = 2;

/// The most threads for blocking work. The allocator keeps memory for each thread and never returns it. Writes to the queue
/// take turns, so at most one of these threads waits for another process.
const FILE_THREADS: usize = 4;

fn main() -> ExitCode {
    let args = Args::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    let screen = Screen::new();
    screen.take_logs();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(FILE_THREADS)
        .build();
    let result = match &runtime {
        Ok(runtime) => runtime.block_on(bounded(&args, &screen)),
        Err(error) => Err(anyhow!("cannot start threads: {error}")),
    };
    if let Ok(runtime) = runtime {
        // What still reads or writes a file must not delay the end. What it would do is done again by the next run.
        runtime.shutdown_background();
    }
    ExitCode::from(result.unwrap_or_else(|error| {
        screen.note(format!("error: {}", with_causes(error.as_ref())));
        if is_misconfigured(&error) {
            MISCONFIGURED
        } else {
            FAILED
        }
    }))
}

/// Runs, and ends in time after the first Ctrl-C.
async fn bounded(args: &Args, screen: &Screen) -> Result<u8> {
    let stop = signals::listen()?;
    tokio::select! {
        biased;
        code = run(args, screen, stop.clone()) => code,
        () = overdue(stop, args.drain_timeout) => {
            let limit = args.drain_timeout;
            screen.note(format!("not reconciled within the {limit:?} of --drain-timeout; the same command continues"));
            Ok(INTERRUPTED)
        }
    }
}

/// Resolves when the limit has passed since the first Ctrl-C.
async fn overdue(mut stop: watch::Receiver<bool>, limit: Duration) {
    let _ = stop.wait_for(|stop| *stop).await;
    tokio::time::sleep(limit).await;
}

async fn run(args: &Args, screen: &Screen, stop: watch::Receiver<bool>) -> Result<u8> {
    let board = Board::new(args.speed.to_string());
    if let Some(summary) = &args.summary_json {
        place::check_text(summary, "--summary-json")?;
    }
    let files = Files::new(args, Path::new(""));
    if args.only != Only::Reports {
        files.check(is_landing_known(args))?;
    }
    // Before the work, so that the page shows all of it.
    let page = Page::open(args, screen, &board).await?;
    let code = match args.only {
        Only::Generator => generate(args, screen, &files, stop.clone()).await?,
        Only::Reports => alone::report(args, screen, &board, &page, stop.clone()).await?,
        Only::Streamer | Only::All => {
            stream(args, screen, &files, &board, &page, stop.clone()).await?
        }
    };
    page.close(args.serve, screen, stop).await;
    Ok(code)
}

/// Streams the rows of the queue, with or without a generator in this process.
async fn stream(
    args: &Args,
    screen: &Screen,
    files: &Files,
    board: &Board,
    page: &Page,
    stop: watch::Receiver<bool>,
) -> Result<u8> {
    let _roles = take_roles(args, files)?;
    let reporter = is_landing_known(args)
        .then(|| RoleLock::take(&files.reports, Role::Reporter))
        .transpose()?;
    let (mut queue, found) = files.open(args.until())?;
    let progress = claim(args, &mut queue)?;
    if args.profile.is_none() {
        // Connecting takes some time. Meanwhile the page shows the reports of an earlier run.
        let earlier = ReportPlace::Embedded(files.reports.clone());
        page.feed.place.send_replace(earlier);
    }
    let target = Target::open(args, files).await?;
    screen.note(target.describe()?);
    board.write(|live| live.target = target.place().unwrap_or_default());
    announce(screen, args, files, found);
    let keeper = if let (Some(landing), Some(lock)) = (&target.landing, reporter) {
        let feed = page.feed.clone();
        Some(Keeper::start(lock, &files.reports, landing, feed, board).await?)
    } else {
        page.feed
            .place
            .send_replace(ReportPlace::Account(target.sql()?.into()));
        None
    };
    let mut outcome = if found == Found::Finished {
        drop(queue);
        Outcome {
            interrupted: false,
            failures: Vec::new(),
        }
    } else {
        let is_generator = args.only == Only::All;
        let history = progress
            .filter(|_| is_generator)
            .map(|progress| (queue, progress));
        pipeline::run(args, &files.queue, &target, history, stop, screen, board).await?
    };
    board.write(|live| live.phase = Phase::Reconciling);
    screen.note("reconciling the generated rows with the landed rows");
    let target = target.settle().await;
    if let Some(keeper) = keeper
        && let Err(error) = keeper.finish().await
    {
        let why = with_causes(error.as_ref());
        outcome.failures.push(format!("the reports failed: {why}"));
    }
    let course = Course {
        interrupted: outcome.interrupted,
        was_finished: found == Found::Finished,
        elapsed: board.started().elapsed(),
    };
    let summary = Summary::new(args, &files.queue, &target, course).await?;
    summary.write(&target, args.summary_json.as_deref())?;
    let failures = [outcome.failures, summary.failures.clone()].concat();
    for failure in &failures {
        screen.note(failure);
    }
    Monitor::new(board.clone(), &files.queue, target.landing.as_deref())
        .update()
        .await;
    let failed = !summary.is_balanced() || summary.has_rejects() || !failures.is_empty();
    let (phase, code) = match (failed, outcome.interrupted) {
        (true, _) => (Phase::Failed, FAILED),
        (false, true) => (Phase::Interrupted, INTERRUPTED),
        (false, false) => (Phase::Finished, 0),
    };
    let sentences = failures.iter().map(String::as_str);
    let sentences: Vec<_> = std::iter::once(summary.verdict())
        .chain(sentences)
        .collect();
    board.end(phase, sentences.join(" "));
    Ok(code)
}

fn take_roles(args: &Args, files: &Files) -> Result<Vec<RoleLock>> {
    let roles: &[Role] = match args.only {
        Only::Generator => &[Role::Generator],
        Only::Streamer => &[Role::Streamer],
        Only::All => &[Role::Generator, Role::Streamer],
        Only::Reports => &[],
    };
    let take = |role: &Role| RoleLock::take(&files.queue, *role);
    roles.iter().map(take).collect()
}

/// The history of the queue. A generator creates it if the queue is new.
fn claim(args: &Args, queue: &mut Queue) -> Result<Option<Progress>> {
    let is_started = queue.progress()?.is_some();
    if args.only == Only::Streamer && !is_started {
        return Ok(None);
    }
    let default_start: Timestamp = DEFAULT_START.parse()?;
    queue.claim(args.seed, args.start, default_start).map(Some)
}

/// Runs the generator alone.
async fn generate(
    args: &Args,
    screen: &Screen,
    files: &Files,
    stop: watch::Receiver<bool>,
) -> Result<u8> {
    let _roles = take_roles(args, files)?;
    let (mut queue, found) = files.open(args.until())?;
    let progress = claim(args, &mut queue)?;
    announce(screen, args, files, found);
    let Some(progress) = progress else {
        return Ok(0);
    };
    if found == Found::Finished {
        // A generator that was killed at its very end did not record it.
        queue.end()?;
        return Ok(0);
    }
    let resume = move || Producer::resume(queue, &progress, Turn::default());
    let producer = tokio::task::spawn_blocking(resume).await??;
    producer.run(args.speed, args.until(), stop.clone()).await?;
    let stopped = *stop.borrow();
    Ok(if stopped { INTERRUPTED } else { 0 })
}

/// Whether the data file with the landed rows is known.
fn is_landing_known(args: &Args) -> bool {
    args.only != Only::Generator && (args.profile.is_none() || args.landing.is_some())
}

fn announce(screen: &Screen, args: &Args, files: &Files, found: Found) {
    screen.note(format!("queue: {}", files.queue.display()));
    if is_landing_known(args) {
        screen.note(format!("landing: {}", files.landing.display()));
        screen.note(format!("reports: {}", files.reports.display()));
    }
    match (found, args.until()) {
        (Found::Fresh, _) => {}
        (Found::StartedOver, _) => {
            screen.note("the last run is finished and its files are deleted: starting over");
        }
        (Found::Unfinished { next_step }, Until::Step(end)) if next_step < end => screen.note(
            format!("continuing an unfinished run at step {next_step} of {end}"),
        ),
        (Found::Unfinished { next_step }, _) => {
            screen.note(format!("continuing an unfinished run at step {next_step}"));
        }
        (Found::Extended { next_step }, _) => screen.note(format!(
            "the last run is finished: generating more rows from step {next_step} on"
        )),
        (Found::Finished, _) => screen.note("the run is finished: there is nothing to do"),
    }
}
