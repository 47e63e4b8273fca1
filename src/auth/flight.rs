//! Single flight: one task does the work that many callers wait for, and continues if all of them are cancelled.
//!
//! The work has its own deadlines. Otherwise a status call, which waits for 15 seconds, would never succeed with a slower
//! account host.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::Notify;

use crate::types::error::{Error, ErrorKind};

/// The work did not complete: its runtime shut down, or it panicked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopped;

impl From<Stopped> for Error {
    fn from(_: Stopped) -> Self {
        Self::new(
            ErrorKind::Unreachable,
            "the task that fetches a token was stopped: its runtime shut down, or the transport or the credential panicked",
        )
    }
}

/// Runs one piece of work at a time, in a separate task. All callers that arrive meanwhile share its result.
pub(crate) struct SingleFlight<T, E> {
    last: Mutex<Option<Arc<Flight<T, E>>>>,
}

/// One piece of work and its result.
struct Flight<T, E> {
    /// `None` if the work was stopped.
    outcome: OnceLock<Option<Result<T, E>>>,
    landed: Notify,
}

impl<T, E> Default for SingleFlight<T, E> {
    fn default() -> Self {
        Self {
            last: Mutex::default(),
        }
    }
}

impl<T, E> fmt::Debug for SingleFlight<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleFlight").finish_non_exhaustive()
    }
}

impl<T, E> SingleFlight<T, E>
where
    T: Clone + Send + Sync + 'static,
    E: Clone + From<Stopped> + Send + Sync + 'static,
{
    /// Returns the result of the work that is running. If none is running, returns the value of `ready`, or else runs `work`.
    /// `work` stores its result where `ready` finds it.
    ///
    /// Cancel safe: the work continues.
    pub(crate) async fn run<R, F, Fut>(&self, ready: R, work: F) -> Result<T, E>
    where
        R: Fn() -> Option<T>,
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        loop {
            let (flight, is_started_here) = match self.join(&ready, &work) {
                Joined::Ready(value) => return Ok(value),
                Joined::Flight(flight, is_started_here) => (flight, is_started_here),
            };
            match flight.outcome().await {
                Some(result) => return result,
                None if is_started_here => return Err(Stopped.into()),
                // Another caller's work was stopped, for example with its runtime: try again.
                None => {}
            }
        }
    }

    /// Starts `work`, unless some is running.
    pub(crate) fn start<F, Fut>(&self, work: F)
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        self.join(|| None, work);
    }

    fn join<R, F, Fut>(&self, ready: R, work: F) -> Joined<T, E>
    where
        R: Fn() -> Option<T>,
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = last.as_ref().filter(|flight| flight.is_running()) {
            return Joined::Flight(Arc::clone(flight), false);
        }
        // Checked after the check for running work: work that has just finished must not be repeated.
        if let Some(value) = ready() {
            return Joined::Ready(value);
        }
        let flight = Arc::new(Flight {
            outcome: OnceLock::new(),
            landed: Notify::new(),
        });
        let (landing, work) = (Landing(Arc::clone(&flight)), work());
        tokio::spawn(async move { landing.finish(work.await) });
        *last = Some(Arc::clone(&flight));
        Joined::Flight(flight, true)
    }
}

enum Joined<T, E> {
    Ready(T),
    /// The running work, and whether this caller started it.
    Flight(Arc<Flight<T, E>>, bool),
}

impl<T: Clone, E: Clone> Flight<T, E> {
    fn is_running(&self) -> bool {
        self.outcome.get().is_none()
    }

    async fn outcome(&self) -> Option<Result<T, E>> {
        loop {
            let landed = self.landed.notified();
            tokio::pin!(landed);
            // Registers before the check, so that an outcome set in between is not missed.
            landed.as_mut().enable();
            if let Some(outcome) = self.outcome.get() {
                return outcome.clone();
            }
            landed.await;
        }
    }
}

/// Sets the outcome of a piece of work: its result, or `None` if it is dropped.
struct Landing<T, E>(Arc<Flight<T, E>>);

impl<T, E> Landing<T, E> {
    fn finish(self, result: Result<T, E>) {
        // Cannot fail: only the drop sets the outcome as well, and it runs later.
        let _ = self.0.outcome.set(Some(result));
    }
}

impl<T, E> Drop for Landing<T, E> {
    fn drop(&mut self) {
        let _ = self.0.outcome.set(None);
        self.0.landed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Numbers = SingleFlight<u32, Error>;

    #[tokio::test]
    async fn a_panic_is_a_retryable_error() {
        let flight = Numbers::default();
        let panics = || async { panic!("on purpose") };
        let error = flight.run(|| None, panics).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
        assert!(error.is_retryable());
        assert_eq!(flight.run(|| None, || async { Ok(1) }).await.unwrap(), 1);
    }

    #[test]
    fn work_that_stops_with_its_runtime_is_repeated_by_the_waiting_caller() {
        let runtime = || {
            tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap()
        };
        let flight = Numbers::default();
        let (first, second) = (runtime(), runtime());
        first.block_on(async { flight.start(std::future::pending) });
        let waiting = flight.run(|| None, || async { Ok(2) });
        let both = async {
            tokio::pin!(waiting);
            assert!(futures_util::poll!(&mut waiting).is_pending());
            first.shutdown_background();
            waiting.await
        };
        assert_eq!(second.block_on(both).unwrap(), 2);
    }

    #[tokio::test]
    async fn debug_output_contains_no_result() {
        let flight = Numbers::default();
        flight.run(|| None, || async { Ok(71) }).await.unwrap();
        assert_eq!(format!("{flight:?}"), "SingleFlight { .. }");
    }

    #[tokio::test]
    async fn a_ready_value_is_returned_without_work() {
        let flight = Numbers::default();
        let never = || async { panic!("there was no need") };
        assert_eq!(flight.run(|| Some(3), never).await.unwrap(), 3);
    }
}
