//! Streams topics of Kafka into tables of Snowflake, each record once, on as many machines as you like. Without options, it shows
//! that on brokers and a table in memory.

use std::process::ExitCode;

use clap::Parser as _;
use snowpipe_connector_support::program;
use snowpipe_kafka::Args;

fn main() -> ExitCode {
    program::run(async |stop| {
        #[cfg(feature = "demo")]
        if std::env::args_os().len() == 1 {
            return snowpipe_kafka::demo::run(stop).await;
        }
        snowpipe_kafka::run(Args::parse(), stop).await
    })
}
