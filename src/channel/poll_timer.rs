//! The alarm: channels say what they want, and the poller sleeps until the first of them wants it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::core::polling::{CommitSample, Due, LatencyEstimator, PollInterest};

/// What the channels of a client and its poller share. To set it costs the same however many channels there are.
#[derive(Debug, Default)]
pub(crate) struct PollTimer {
    state: Mutex<State>,
    moved: Notify,
}

#[derive(Debug, Default)]
struct State {
    estimator: LatencyEstimator,
    /// Earlier than any channel's, if some want less by now: then it is looked for in vain once.
    due: Option<Due>,
}

impl PollTimer {
    /// A channel wants this from now on. That it wants less than before needs no telling.
    pub(crate) fn set(&self, interest: PollInterest) {
        if self.lock().include(interest) {
            self.moved.notify_one();
        }
    }

    /// Takes all that was set. What is set from here on counts again.
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

    /// Resolves when it is set to an earlier time.
    pub(crate) async fn moved(&self) {
        self.moved.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Plain values, each written in one step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether something is due earlier now.
    fn include(&mut self, interest: PollInterest) -> bool {
        let Some(due) = self.estimator.due(interest) else {
            return false;
        };
        let earlier = self.due.map_or(due, |before| before.earliest(due));
        self.due.replace(earlier) != Some(earlier)
    }
}
