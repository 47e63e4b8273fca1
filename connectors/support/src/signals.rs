//! Ctrl-C and SIGTERM: the first one stops the run in an orderly way, the second one exits at once.

use std::io;

use anyhow::{Context, Result};
use tokio::sync::watch;

/// The exit code after a second signal: that of a shell whose command Ctrl-C has ended.
pub const INTERRUPTED: u8 = 130;

/// A flag that becomes true at the first signal. Call this once, inside the runtime. The second signal exits with the code
/// [`INTERRUPTED`].
///
/// # Errors
/// If signals cannot be received.
pub fn listen() -> Result<watch::Receiver<bool>> {
    let mut signals = Signals::new().context("cannot wait for signals")?;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        signals.next().await;
        stop.send_replace(true);
        signals.next().await;
        std::process::exit(INTERRUPTED.into());
    });
    Ok(stopped)
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(windows)]
struct Signals {
    interrupt: tokio::signal::windows::CtrlC,
}

#[cfg(windows)]
impl Signals {
    fn new() -> io::Result<Self> {
        let interrupt = tokio::signal::windows::ctrl_c()?;
        Ok(Self { interrupt })
    }

    async fn next(&mut self) {
        self.interrupt.recv().await;
    }
}
