//! The alarm: channels say what they want, and the poller sleeps until the first of them wants it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::core::polling::{Due, Rhythm, Sighting, Want};

/// What the channels of a client and its poller share. To set it costs the same however many channels there are.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    state: Mutex<State>,
    moved: Notify,
}

#[derive(Debug, Default)]
struct State {
    rhythm: Rhythm,
    /// Earlier than any channel's, if some want less by now: then it is looked for in vain once.
    due: Option<Due>,
}

impl Alarm {
    /// A channel wants this from now on. That it wants less than before needs no telling.
    pub(crate) fn set(&self, want: Want) {
        if self.lock().include(want) {
            self.moved.notify_one();
        }
    }

    /// Takes all that was set. What is set from here on counts again.
    pub(crate) fn take(&self) -> Rhythm {
        let mut state = self.lock();
        state.due = None;
        state.rhythm
    }

    /// As [`set`](Self::set) for all channels, by the poller itself.
    pub(crate) fn set_all(&self, wants: impl IntoIterator<Item = Want>) {
        for want in wants {
            self.lock().include(want);
        }
    }

    pub(crate) fn learn(&self, sighting: Sighting) {
        self.lock().rhythm.learn(sighting);
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
    fn include(&mut self, want: Want) -> bool {
        let Some(due) = self.rhythm.due(want) else {
            return false;
        };
        let earlier = self.due.map_or(due, |before| before.earliest(due));
        self.due.replace(earlier) != Some(earlier)
    }
}
