//! The stop signal of a run, and the drain timeout that follows it.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::options::Stop;
use crate::types::error::Error;

/// Why a step of a run did not finish.
#[derive(Debug)]
pub(super) enum StopReason {
    /// The run was asked to stop or, while draining, its drain timeout has passed.
    Interrupted,
    /// The run has failed.
    Failed(Error),
}

impl From<Error> for StopReason {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// The state of the stop signal. Its futures are cancel safe.
pub(super) struct Shutdown<'a> {
    signal: Stop<'a>,
    drain_timeout: Duration,
    deadline: Option<Instant>,
    is_draining: bool,
}

impl<'a> Shutdown<'a> {
    pub(super) fn new(signal: Stop<'a>, drain_timeout: Duration) -> Self {
        Self {
            signal,
            drain_timeout,
            deadline: None,
            is_draining: false,
        }
    }

    /// Resolves when the run is asked to stop, and immediately after that.
    pub(super) async fn requested(&mut self) {
        if self.deadline.is_none() {
            self.signal.as_mut().await;
            self.deadline = Some(Instant::now() + self.drain_timeout);
        }
    }

    /// Resolves when the drain timeout has passed.
    pub(super) async fn timed_out(&mut self) {
        self.requested().await;
        sleep_until(self.until()).await;
    }

    /// Switches to draining: from now on the run is interrupted only by the drain timeout.
    pub(super) fn begin_draining(&mut self) {
        self.is_draining = true;
    }

    /// Resolves when the current step has to be interrupted.
    pub(super) async fn interrupted(&mut self) {
        if self.is_draining {
            self.timed_out().await;
        } else {
            self.requested().await;
        }
    }

    /// The result of `work`, unless it is interrupted before.
    pub(super) async fn interrupting<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Result<T, StopReason> {
        tokio::select! {
            biased;
            () = self.interrupted() => Err(StopReason::Interrupted),
            result = work => Ok(result),
        }
    }

    /// When the drain timeout passes: now, if the run was not asked to stop.
    pub(super) fn until(&self) -> Instant {
        self.deadline.unwrap_or_else(Instant::now)
    }
}
