//! Streams records of Kinesis into Snowflake, each once, and loads the same records in micro-batches beside it. Without arguments,
//! it shows both with a stream, a bucket and tables on this machine.

mod batching;
mod bucket;
mod cli;
mod compare;
mod csv;
mod cursor;
mod demo;
mod discovery;
mod letters;
mod lineage;
mod loading;
mod producer;
mod say;
mod sensor;
mod sequence;
mod stopping;
mod stream;
mod streaming;

use std::env;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;
use snowpipe_connector_support::signals;
use tracing_subscriber::EnvFilter;

use crate::cli::{Arguments, Command};

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    match run().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether everything that was asked for is done and in order.
async fn run() -> Result<bool> {
    let stop = signals::listen()?;
    if env::args_os().len() == 1 {
        return demo::run(stop).await;
    }
    match Arguments::parse().command {
        Command::Stream(args) => streaming::run(args, stop).await,
        Command::Batch(args) => batching::run(&args, stop).await,
        Command::Load(args) => loading::run(args, stop).await,
        Command::Compare(args) => compare::run(args).await,
        Command::Produce(args) => producer::run(&args, stop).await,
    }
}
