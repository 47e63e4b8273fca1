//! Streams records of Kinesis into Snowflake, each once, and loads the same records in micro-batches beside it. Without arguments,
//! it shows both with a stream, a bucket and tables on this machine.

use std::env;
use std::process::ExitCode;

use clap::Parser as _;
use snowpipe_connector_support::program;
use snowpipe_kinesis::Arguments;

fn main() -> ExitCode {
    program::run(async |stop| {
        if env::args_os().len() == 1 {
            return snowpipe_kinesis::demo::run(stop).await;
        }
        snowpipe_kinesis::run(Arguments::parse(), stop).await
    })
}
