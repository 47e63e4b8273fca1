//! The ski-resort pipeline: a generator writes tickets, season passes and lift rides to a durable queue, and a streamer
//! moves them through three channels into three tables.

mod cli;
mod counters;
mod customer;
mod dashboard;
mod dice;
mod files;
mod generator;
mod landing;
mod live;
mod misconfigured;
mod monitor;
mod pipeline;
mod produce;
mod progress;
mod queue;
mod reports;
mod resorts;
mod rider;
mod role;
mod rows;
mod screen;
mod signals;
mod speed;
mod stream;
mod summary;
mod table;
mod target;
mod vocabulary;
mod world;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use jiff::Timestamp;
use tokio::sync::watch;

use crate::cli::{Args, Only, Until};
use crate::dashboard::{Dashboard, Where};
use crate::files::{Files, Found};
use crate::live::Board;
use crate::misconfigured::{Misconfigured, is_misconfigured};
use crate::pipeline::Ended;
use crate::produce::Producer;
use crate::queue::{Progress, Queue};
use crate::role::{Role, RoleLock};
use crate::screen::{Screen, in_words};
use crate::summary::{Course, Summary};
use crate::target::Target;

const DEFAULT_START: &str = "2026-01-17T14:00:00Z";

const FAILED: u8 = 1;
const MISCONFIGURED: u8 = 2;
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let screen = Screen::new();
    screen.take_logs();
    let code = match run(&args, &screen).await {
        Ok(code) => code,
        Err(error) => {
            screen.note(format!("error: {}", in_words(error.as_ref())));
            if is_misconfigured(&error) {
                MISCONFIGURED
            } else {
                FAILED
            }
        }
    };
    ExitCode::from(code)
}

async fn run(args: &Args, screen: &Screen) -> Result<u8> {
    let board = Board::new(args.speed.to_string());
    let stop = signals::listen()?;
    let dashboard = Dashboard::bind(None).await?;
    screen.note(format!("dashboard: {}", dashboard.url()));
    let reports = Path::new("ski_resort_data/reports.db").to_owned();
    let (_reports, places) = watch::channel(Where::Embedded(reports));
    let (_changed, changed) = watch::channel(0);
    let served = dashboard.serve(board.subscribe(), places, changed, stop.clone());
    let served = tokio::spawn(served);
    let files = Files::new(args, Path::new(""));
    let _roles = take_roles(args, &files)?;
    let (mut queue, found) = files.open(args.until())?;
    let progress = claim(args, &mut queue)?;
    if args.only == Only::Generator {
        announce(screen, args, &files, found);
        return generate(args, queue, progress, found, stop).await;
    }

    let target = Target::open(args, &files).await?;
    screen.note(target.describe()?);
    announce(screen, args, &files, found);
    let ended = if found == Found::Finished {
        drop(queue);
        Ended {
            interrupted: false,
            failures: Vec::new(),
        }
    } else {
        let producer = match progress {
            Some(progress) if args.only == Only::All => Some(resume(queue, progress).await?),
            _ => None,
        };
        pipeline::run(args, &files.queue, &target, producer, stop, screen, &board).await?
    };
    let target = target.settle().await;
    let course = Course {
        interrupted: ended.interrupted,
        was_finished: found == Found::Finished,
        elapsed: board.began().elapsed(),
    };
    let summary = Summary::new(args, &files.queue, &target, course).await?;
    summary.write(&target, args.summary_json.as_deref())?;
    let failures = [ended.failures, summary.failures.clone()].concat();
    for failure in &failures {
        screen.note(failure);
    }
    served.await??;
    Ok(
        if !summary.is_balanced() || summary.has_rejects() || !failures.is_empty() {
            FAILED
        } else if ended.interrupted {
            INTERRUPTED
        } else {
            0
        },
    )
}

fn take_roles(args: &Args, files: &Files) -> Result<Vec<RoleLock>> {
    let roles: &[Role] = match args.only {
        Only::Generator => &[Role::Generator],
        Only::Streamer => &[Role::Streamer],
        Only::All => &[Role::Generator, Role::Streamer],
    };
    let take = |role: &Role| RoleLock::take(&files.queue, *role);
    roles.iter().map(take).collect()
}

/// The history of the queue, which a generator gives it.
fn claim(args: &Args, queue: &mut Queue) -> Result<Option<Progress>> {
    let is_begun = queue.progress()?.is_some();
    if args.only == Only::Streamer && !is_begun {
        return Ok(None);
    }
    let default_start: Timestamp = DEFAULT_START.parse()?;
    queue.claim(args.seed, args.start, default_start).map(Some)
}

async fn resume(queue: Queue, progress: Progress) -> Result<Producer> {
    tokio::task::spawn_blocking(move || Producer::resume(queue, &progress)).await?
}

/// Runs the generator alone.
async fn generate(
    args: &Args,
    mut queue: Queue,
    progress: Option<Progress>,
    found: Found,
    stop: watch::Receiver<bool>,
) -> Result<u8> {
    if args.summary_json.is_some() {
        return Err(Misconfigured::new(
            "a generator has nothing to reconcile: give --summary-json to the streamer",
        ));
    }
    let Some(progress) = progress else {
        return Ok(0);
    };
    if found == Found::Finished {
        // A generator that was killed in its last moment did not say so.
        queue.end()?;
        return Ok(0);
    }
    let producer = resume(queue, progress).await?;
    producer.run(args.speed, args.until(), stop.clone()).await?;
    let stopped = *stop.borrow();
    Ok(if stopped { INTERRUPTED } else { 0 })
}

fn announce(screen: &Screen, args: &Args, files: &Files, found: Found) {
    screen.note(format!("queue: {}", files.queue.display()));
    if args.only != Only::Generator && args.profile.is_none() {
        screen.note(format!("landing: {}", files.landing.display()));
    }
    match (found, args.until()) {
        (Found::Fresh, _) => {}
        (Found::StartedOver, _) => {
            screen.note("the last run is finished and deleted: starting over");
        }
        (Found::Unfinished { next_step }, Until::Step(end)) if next_step < end => screen.note(
            format!("going on with an unfinished run at step {next_step} of {end}"),
        ),
        (Found::Unfinished { next_step }, _) => {
            screen.note(format!(
                "going on with an unfinished run at step {next_step}"
            ));
        }
        (Found::Finished, _) => screen.note("the run is finished: nothing is left to do"),
    }
}
