//! The state of an open channel, shared by its handle, its driver, its receipts and the status poller.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::core::Core;
use super::core::progress::Progress;
use super::polling::timer::PollTimer;
use crate::base::budget::Share;
use crate::base::metrics::Counters;
use crate::base::watched::Watched;
use crate::types::error::Error;
use crate::types::reject_window::RejectWindow;
use crate::types::uncommitted_rows::UncommittedRows;

/// The core behind a lock that is held briefly, and the means to notify others of its changes.
pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) share: Share,
    core: Mutex<Core>,
    progress: Watched<Progress>,
    driver: Notify,
    /// Notified when the driver has taken a batch to compress, or cannot for now.
    caught_up: Notify,
    poll_timer: Arc<PollTimer>,
    counters: Arc<Counters>,
    /// The reject windows that a call has returned as an error, identified by their totals.
    reported: Mutex<BTreeSet<u64>>,
}

/// What observers and senders of a channel follow across reopens.
pub(crate) struct Latest {
    /// The shared state since the last open.
    pub(crate) shared: Arc<Shared>,
    /// Whether the handle is dropped, so that the channel is never reopened.
    pub(crate) is_final: bool,
}

impl Latest {
    pub(crate) fn new(shared: Arc<Shared>) -> Arc<Watched<Self>> {
        Arc::new(Watched::new(Self {
            shared,
            is_final: false,
        }))
    }
}

/// Omits rows and continuation tokens.
impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let progress = self.progress.value();
        f.debug_struct("Channel")
            .field("name", &self.name)
            .field("accepted", &progress.accepted)
            .field("committed", &progress.committed)
            .field("end", &progress.end.as_ref().map(|end| end.error.kind()))
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn new(
        name: String,
        core: Core,
        share: Share,
        poll_timer: Arc<PollTimer>,
        counters: Arc<Counters>,
    ) -> Arc<Self> {
        Arc::new(Self {
            name,
            share,
            progress: Watched::new(core.progress()),
            core: Mutex::new(core),
            driver: Notify::new(),
            caught_up: Notify::new(),
            poll_timer,
            counters,
            reported: Mutex::default(),
        })
    }

    /// Locks the core. The caller must not take another lock or await while it holds the guard.
    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        // The core's methods do not panic half-way; a poisoned lock holds a consistent core.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the core and publishes the result: metrics, progress, and the poll interest if it changed.
    pub(crate) fn update<R>(&self, change: impl FnOnce(&mut Core, Instant) -> R) -> R {
        let now = Instant::now();
        let mut core = self.core();
        let interest_before = core.poll_interest();
        let before = core.counters();
        let result = change(&mut core, now);
        self.counters.moved(before, core.counters());
        let progress = core.progress();
        self.progress.change(|old| {
            let changed = *old != progress;
            if changed {
                *old = progress;
            }
            changed
        });
        let interest = core.poll_interest();
        drop(core);
        if interest != interest_before {
            self.poll_timer.set(interest);
        }
        result
    }

    /// As [`update`](Self::update), and wakes the driver.
    pub(crate) fn update_and_wake<R>(&self, change: impl FnOnce(&mut Core, Instant) -> R) -> R {
        let result = self.update(change);
        self.driver.notify_one();
        result
    }

    pub(crate) fn wake_driver(&self) {
        self.driver.notify_one();
    }

    pub(crate) async fn woken(&self) {
        self.driver.notified().await;
    }

    /// Wakes the appends that wait for the driver.
    pub(crate) fn signal_caught_up(&self) {
        self.caught_up.notify_waiters();
    }

    /// Waits until an append of `len` bytes need not wait for the driver.
    pub(crate) async fn has_caught_up(&self, len: usize) {
        loop {
            let signal = self.caught_up.notified();
            tokio::pin!(signal);
            // Registered before the core is asked. Otherwise the only signal could come between the two.
            signal.as_mut().enable();
            if !self.core().is_behind(len) {
                return;
            }
            signal.await;
        }
    }

    pub(crate) fn progress(&self) -> Progress {
        self.progress.value().clone()
    }

    /// Waits until `outcome` returns a result for the published progress.
    pub(crate) async fn wait<R>(&self, outcome: impl FnMut(&Progress) -> Option<R>) -> R {
        self.progress.wait(outcome).await
    }

    /// Takes the rows that were given up, as soon as none of them is being compressed.
    pub(crate) async fn take_uncommitted_rows(&self) -> UncommittedRows {
        loop {
            let is_complete = |p: &Progress| p.end.is_none() || p.has_given_up();
            self.wait(|p| is_complete(p).then_some(())).await;
            // The channel may have ended since.
            if let Some(rows) = self.update(|core, _| core.take_uncommitted_rows()) {
                return rows;
            }
        }
    }

    /// Resolves when the channel accepts no more rows.
    pub(crate) async fn refused(&self) -> Error {
        let error = self.wait(Progress::refusal).await;
        error.with_committed_token(self.core().committed_token())
    }

    /// Records that a call has returned this window as an error.
    pub(crate) fn mark_reported(&self, window: &RejectWindow) {
        let rejects = Arc::clone(&self.progress.value().rejects);
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        reported.insert(window.total);
        // Drop the totals of windows that have been merged since.
        if reported.len() > rejects.len() {
            reported.retain(|total| rejects.binary_search_by_key(total, |w| w.total).is_ok());
        }
    }

    /// The windows that no call has returned yet, oldest first.
    pub(crate) fn unreported(&self, progress: &Progress) -> Vec<RejectWindow> {
        let reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let unreported = progress.rejects.iter();
        let unreported = unreported.filter(|w| !reported.contains(&w.total));
        unreported.cloned().collect()
    }
}
