//! The frame of a program: its log, its runtime and its exit code.

use std::future::Future;
use std::io;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use crate::signals;

/// Logs to standard error what `RUST_LOG` names, and warnings if it names nothing. Call this once.
pub fn log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
}

/// Runs a program, with a flag that becomes true at Ctrl-C or SIGTERM. The program returns whether everything that was asked for is
/// done and in order; if not, or after an error, the exit code is 1.
///
/// Blocking calls that the program has left behind do not delay the end of the process.
pub fn run<F>(program: impl FnOnce(watch::Receiver<bool>) -> F) -> ExitCode
where
    F: Future<Output = Result<bool>>,
{
    log();
    let ended = Runtime::new()
        .context("the runtime cannot be started")
        .and_then(|runtime| {
            let ended = runtime.block_on(async { program(signals::listen()?).await });
            runtime.shutdown_background();
            ended
        });
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
