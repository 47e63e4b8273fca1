//! Copies tables of MariaDB into Snowflake and follows their changes, each row once. Without arguments, it shows that with a table
//! in SQLite and an emulator on this machine.

use std::env;
use std::process::ExitCode;

use clap::Parser as _;
use snowpipe_connector_support::program;
use snowpipe_mysql::Arguments;

fn main() -> ExitCode {
    program::run(async |stop| {
        if env::args_os().len() == 1 {
            return snowpipe_mysql::demo(stop).await;
        }
        snowpipe_mysql::run(Arguments::parse(), stop).await
    })
}
