//! Streams records of Kinesis into Snowflake, each once, and loads the same records in micro-batches beside it. Without arguments,
//! it shows both with a stream, a bucket and tables on this machine.

use std::env;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;
use snowpipe_connector_support::signals;
use snowpipe_kinesis::Arguments;
use tracing_subscriber::EnvFilter;

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
        return snowpipe_kinesis::demo::run(stop).await;
    }
    snowpipe_kinesis::run(Arguments::parse(), stop).await
}
