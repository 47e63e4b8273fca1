//! Streams topics of Kafka into tables of Snowflake, each record once, on as many machines as you like. Without options, it shows
//! that on brokers and a table in memory.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use snowpipe_connector_support::signals;
use snowpipe_kafka::Args;
use tokio::runtime::Runtime;
use tracing_subscriber::EnvFilter;

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
    #[cfg(feature = "demo")]
    if std::env::args_os().len() == 1 {
        return snowpipe_kafka::demo::run(stop).await;
    }
    snowpipe_kafka::run(Args::parse(), stop).await
}
