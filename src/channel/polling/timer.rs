//! The poll timer: channels publish why their status is wanted and how late a commit was found, and the poller sleeps until the first
//! poll is due.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::estimator::{Due, LatencyEstimator};

/// The interval at which an idle channel is polled to notice its invalidation.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(30);

/// Why, and until when, a channel is to be included in a status call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PollInterest {
    /// No call is needed.
    Nothing,
    /// By this time, to notice an invalidation.
    Heartbeat(Instant),
    /// At this time, whatever the other channels need.
    At(Instant),
    /// To learn that rows are committed.
    Commit {
        /// When the rows were accepted.
        accepted: Instant,
        /// When the last poll was sent. It may be from before the accept.
        asked: Instant,
        /// Whether the rows followed a pause. Then a caller may be waiting for exactly these rows, and polls for them are
        /// worth more than polls for a steady stream.
        is_lone: bool,
    },
}

/// How long after their accept rows were found to be committed: the poll after `missed` did not show it, the next one,
/// after `seen`, did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CommitSample {
    pub(crate) missed: Duration,
    pub(crate) seen: Duration,
}

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
