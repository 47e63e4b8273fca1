//! Ctrl-C and SIGTERM: the first signal ends the work gracefully, the second at once.

use std::io;

use tokio::sync::watch;

use crate::Stop;
use crate::code::NOT_COMMITTED;

/// Returns a flag that becomes true at the first signal. Call it once, inside the runtime.
pub(crate) fn listen() -> Result<watch::Receiver<bool>, Stop> {
    let mut signals = Signals::new().map_err(|why| Stop {
        code: NOT_COMMITTED,
        why: format!("cannot wait for signals: {why}"),
    })?;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        signals.next().await;
        stop.send_replace(true);
        signals.next().await;
        std::process::exit(NOT_COMMITTED.into());
    });
    Ok(stopped)
}

/// Waits for the first signal.
pub(crate) async fn stopped(mut stop: watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg_attr(
        not(unix),
        expect(clippy::unnecessary_wraps, reason = "it can fail elsewhere")
    )]
    fn new() -> io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            terminate: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        #[cfg(unix)]
        let terminated = self.terminate.recv();
        #[cfg(not(unix))]
        let terminated = std::future::pending::<()>();
        tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated => {}
        }
    }
}
