//! Copies tables of MariaDB into Snowflake and follows their changes, each row once. Without arguments, it shows that with a table
//! in SQLite and an emulator on this machine.

use std::env;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use snowpipe_connector_support::signals;
use snowpipe_mysql::Arguments;
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
        return snowpipe_mysql::demo(stop).await;
    }
    snowpipe_mysql::run(Arguments::parse(), stop).await
}
