//! The poll timer: channels publish their interest in a status poll, and the poller sleeps until the first one is due.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::estimator::{Due, LatencyEstimator};
use super::interest::{CommitSample, PollInterest};

/// The timer that the channels of a client and its poller share. The cost of setting it does not depend on the number of
/// channels.
#[derive(Debug, Default)]
pub(crate) struct PollTimer {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    estimator: LatencyEstimator,
    /// Notified when a poll is due earlier than before.
    moved: Arc<Notify>,
    /// When a poll is due. May be too early if a channel's interest has decreased since; the poller then finds nothing to do.
    due: Option<Due>,
}

impl PollTimer {
    /// A channel's interest has changed. A decrease need not be reported.
    pub(crate) fn set(&self, interest: PollInterest) {
        let mut state = self.lock();
        if state.include(interest) {
            state.moved.notify_one();
        }
    }

    /// Clears the timer and returns the estimator. Interests that are set from here on count again.
    pub(crate) fn take(&self) -> LatencyEstimator {
        let mut state = self.lock();
        state.due = None;
        state.estimator
    }

    /// As [`set`](Self::set) for all channels, by the poller itself.
    pub(crate) fn set_all(&self, interests: impl IntoIterator<Item = PollInterest>) {
        for interest in interests {
            self.lock().include(interest);
        }
    }

    pub(crate) fn learn(&self, sample: CommitSample) {
        self.lock().estimator.learn(sample);
    }

    pub(crate) fn due(&self) -> Option<Due> {
        self.lock().due
    }

    /// What is notified from now on when the timer is set to an earlier time: a poller that still waits for the last one gets no
    /// notification away from its successor.
    pub(crate) fn new_waiter(&self) -> Arc<Notify> {
        let moved = Arc::new(Notify::new());
        self.lock().moved = Arc::clone(&moved);
        moved
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Plain values, each written in one step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Includes an interest, and returns whether a poll is due earlier than before.
    fn include(&mut self, interest: PollInterest) -> bool {
        let Some(due) = self.estimator.due(interest) else {
            return false;
        };
        let earlier = self.due.map_or(due, |before| before.earliest(due));
        self.due.replace(earlier) != Some(earlier)
    }
}
