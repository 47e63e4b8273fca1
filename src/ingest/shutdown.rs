//! How a run is told to stop, and how long it may go on after that.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::run::Stop;
use crate::types::error::Error;

/// Why a step of a run was not finished.
#[derive(Debug)]
pub(super) enum StopReason {
    /// The run was told to stop; or, if it was draining, its time is up.
    Interrupted,
    /// It cannot go on.
    Failed(Error),
}

impl From<Error> for StopReason {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Told to stop, or not yet. Its futures are cancel safe.
pub(super) struct Shutdown<'a> {
    told: Stop<'a>,
    drain_timeout: Duration,
    deadline: Option<Instant>,
    is_draining: bool,
}

impl<'a> Shutdown<'a> {
    pub(super) fn new(told: Stop<'a>, drain_timeout: Duration) -> Self {
        Self {
            told,
            drain_timeout,
            deadline: None,
            is_draining: false,
        }
    }

    /// Resolves when the run is told to stop, and ever after.
    pub(super) async fn pulled(&mut self) {
        if self.deadline.is_none() {
            self.told.as_mut().await;
            self.deadline = Some(Instant::now() + self.drain_timeout);
        }
    }

    /// Resolves when the time to drain is up.
    pub(super) async fn spent(&mut self) {
        self.pulled().await;
        sleep_until(self.until()).await;
    }

    /// From now on the run drains: it is interrupted only when its time is up.
    pub(super) fn begin_draining(&mut self) {
        self.is_draining = true;
    }

    /// Resolves when what is under way has to be left.
    pub(super) async fn halted(&mut self) {
        if self.is_draining {
            self.spent().await;
        } else {
            self.pulled().await;
        }
    }

    /// The result of `work`, unless it has to be left before.
    pub(super) async fn interrupting<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Result<T, StopReason> {
        tokio::select! {
            biased;
            () = self.halted() => Err(StopReason::Interrupted),
            result = work => Ok(result),
        }
    }

    /// When the time to drain is up: now, if the run was not told to stop.
    pub(super) fn until(&self) -> Instant {
        self.deadline.unwrap_or_else(Instant::now)
    }
}
