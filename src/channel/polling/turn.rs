//! Which task polls the statuses of a client's channels: one at a time, on the runtime of the last open.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::runtime::{Handle, Id};

/// Whose turn it is to poll.
#[derive(Debug, Default)]
pub(crate) struct PollTurn {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The runtime of the poller; `None` if none runs.
    runtime: Option<Id>,
    /// Counts the pollers.
    number: u64,
}

impl PollTurn {
    /// The runtime on which to start a poller, and its number, if none runs on the caller's runtime. A poller on another one may
    /// never be polled again, although that runtime is alive.
    pub(crate) fn take(&self) -> Option<(Handle, u64)> {
        let runtime = Handle::try_current().ok()?;
        let mut state = self.state();
        if state.runtime == Some(runtime.id()) {
            return None;
        }
        state.runtime = Some(runtime.id());
        state.number += 1;
        Some((runtime, state.number))
    }

    pub(crate) fn is_taken(&self) -> bool {
        self.state().runtime.is_some()
    }

    /// Whether the poller with this number is the current one.
    pub(crate) fn is_of(&self, number: u64) -> bool {
        self.state().number == number
    }

    /// The poller with this number has stopped. Returns whether it was the current one.
    pub(crate) fn end(&self, number: u64) -> bool {
        let mut state = self.state();
        let is_current = state.number == number && state.runtime.is_some();
        if is_current {
            state.runtime = None;
        }
        is_current
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Plain values, each written in one step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
