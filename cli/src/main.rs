//! The `snowpipe` command: finds out why streaming does not work, sends rows, shows channels, and examines accounts.

mod account;
mod conformance_command;
mod dead_letters;
mod doctor;
mod files;
mod input;
mod line;
mod names;
mod row;
mod say;
mod send;
mod signals;
mod source;
mod status;
mod text;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// The exit statuses, as documented in the help of each command.
mod code {
    pub(crate) const FINE: u8 = 0;
    pub(crate) const FINDINGS: u8 = 1;
    pub(crate) const REJECTED: u8 = 1;
    pub(crate) const MISUSED: u8 = 2;
    pub(crate) const NOT_COMMITTED: u8 = 3;
    pub(crate) const NOT_THERE: u8 = 4;
    pub(crate) const REJECTS: u8 = 4;
}

/// Added to errors that the doctor may explain.
const DOCTOR: &str = "\nrun snowpipe doctor with the same profile and target to find the cause";

/// Why a command ends before its work is done.
#[derive(Debug)]
struct Stop {
    code: u8,
    why: String,
}

impl Stop {
    fn misused(why: impl Into<String>) -> Self {
        Self {
            code: code::MISUSED,
            why: why.into(),
        }
    }

    /// Ends the command with an error that occurred before the first row was sent.
    fn before(error: &snowpipe_streaming::Error) -> Self {
        use snowpipe_streaming::ErrorKind as Kind;
        let (code, more) = match error.kind() {
            Kind::Config => (code::MISUSED, ""),
            Kind::Authentication | Kind::Forbidden | Kind::NotFound => (code::MISUSED, DOCTOR),
            _ => (code::NOT_COMMITTED, DOCTOR),
        };
        Self {
            code,
            why: format!("{error}{more}"),
        }
    }
}

/// Streams rows into Snowflake tables over Snowpipe Streaming.
///
/// Every command logs in with a profile: a profile.json of the official SDK, a connection of the Snowflake CLI, or the
/// SNOWFLAKE_* variables. Names follow SQL's rules: they are upper case unless quoted, and database and schema are optional if
/// the profile has them.
#[derive(Debug, Parser)]
#[command(name = "snowpipe", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Conformance(conformance_command::Args),
    Doctor(doctor::Args),
    Send(send::Args),
    Status(status::Args),
}

/// The default for `RUST_LOG`: problems during streaming that the commands do not report themselves.
const LOGGED: &str = "error,snowpipe_streaming::channel::core::responses=warn,snowpipe_streaming::channel::open=warn,\
                    snowpipe_streaming::ingest=warn,snowpipe_streaming::api::clock=warn,snowpipe_streaming::config=warn";

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOGGED));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| say::Log)
        .init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(why) => {
            say::error(&format!("cannot start threads: {why}"));
            return ExitCode::from(code::NOT_COMMITTED);
        }
    };
    let ended = runtime.block_on(async {
        match cli.command {
            Command::Conformance(args) => conformance_command::run(args).await,
            Command::Doctor(args) => doctor::run(args).await,
            Command::Send(args) => send::run(args).await,
            Command::Status(args) => status::run(args).await,
        }
    });
    // A thread may still be reading from a terminal.
    runtime.shutdown_background();
    ExitCode::from(ended.unwrap_or_else(|stop| {
        say::error(&stop.why);
        stop.code
    }))
}
