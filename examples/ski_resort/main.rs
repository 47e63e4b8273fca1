//! The ski-resort pipeline: a generator writes tickets, season passes and lift rides to a durable queue, and a streamer
//! moves them through three channels into three tables.

mod cli;
mod customer;
mod dice;
mod files;
mod generator;
mod misconfigured;
mod produce;
mod queue;
mod resorts;
mod rider;
mod role;
mod rows;
mod speed;
mod table;
mod vocabulary;
mod world;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use jiff::Timestamp;
use tokio::sync::watch;

use crate::cli::{Args, Until};
use crate::files::{Files, Found};
use crate::misconfigured::Misconfigured;
use crate::produce::Producer;
use crate::role::{Role, RoleLock};

const DEFAULT_START: &str = "2026-01-17T14:00:00Z";

const FAILED: u8 = 1;
const MISCONFIGURED: u8 = 2;
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            let mendable = error.downcast_ref::<Misconfigured>().is_some();
            ExitCode::from(if mendable { MISCONFIGURED } else { FAILED })
        }
    }
}

async fn run(args: &Args) -> Result<ExitCode> {
    let default_start: Timestamp = DEFAULT_START.parse()?;
    let files = Files::new(args, Path::new(""));
    let _role = RoleLock::take(&files.queue, Role::Generator)?;
    let (mut queue, found) = files.open(args.until())?;
    let progress = queue.claim(args.seed, args.start, default_start)?;
    announce(&files, found, args.until());
    if found == Found::Finished {
        return Ok(ExitCode::SUCCESS);
    }
    let producer =
        tokio::task::spawn_blocking(move || Producer::resume(queue, &progress)).await??;
    let (stop, stopped) = watch::channel(false);
    let generator = tokio::spawn(producer.run(args.speed, args.until(), stopped));
    tokio::pin!(generator);
    tokio::select! {
        biased;
        ended = &mut generator => {
            ended??;
            Ok(ExitCode::SUCCESS)
        }
        signal = tokio::signal::ctrl_c() => {
            signal.context("cannot wait for Ctrl-C")?;
            stop.send_replace(true);
            generator.await??;
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}

fn announce(files: &Files, found: Found, until: Until) {
    eprintln!("queue: {}", files.queue.display());
    match (found, until) {
        (Found::Fresh, _) => {}
        (Found::Unfinished { next_step }, Until::Step(end)) => {
            eprintln!("going on with an unfinished run at step {next_step} of {end}");
        }
        (Found::Unfinished { next_step }, _) => {
            eprintln!("going on with an unfinished run at step {next_step}");
        }
        (Found::Finished, _) => eprintln!("the run is finished"),
    }
}
