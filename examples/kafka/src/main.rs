//! Streams topics of Kafka into tables of Snowflake, each record once, on as many machines as you like. Without options, it shows
//! that on brokers and a table in memory.

mod cli;
mod demo;

mod letters;
mod log;
mod member;
mod metrics;
mod owner;
mod partition;
mod place;
mod program;
mod reading;
mod row;
mod screen;
mod settings;
mod status;

use std::env;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use snowpipe_connector_support::signals;
use tokio::runtime::Runtime;
use tracing_subscriber::EnvFilter;

use crate::cli::Args;

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the runtime cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(run());
    // Calls to librdkafka that still wait for brokers must not delay the end.
    runtime.shutdown_background();
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<bool> {
    let stop = signals::listen()?;
    if env::args_os().len() == 1 {
        demo::run(stop).await
    } else {
        program::run(Args::parse(), stop).await
    }
}
