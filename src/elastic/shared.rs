//! The state of an elastic channel, shared by its handles, its driver, its acknowledgements and its client.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::warn;

use super::core::Core;
use crate::base::budget::Share;
use crate::types::error::{Error, Result};

/// The core behind a lock that is held briefly, and the means to notify others of its changes.
pub(super) struct Shared<T> {
    pub(super) share: Share,
    core: Mutex<Core<T>>,
    /// Notified when [`Core::observable`] changes. Unlike a `watch`, it wakes tasks in the order in which they waited.
    changed: Notify,
    driver: Notify,
}

impl<T> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let core = self.core();
        f.debug_struct("ElasticChannel")
            .field("appended", &core.next())
            .field("settled", &core.settled())
            .field("refusal", &core.refusal().as_ref().map(Error::kind))
            .finish_non_exhaustive()
    }
}

impl<T> Shared<T> {
    pub(super) fn new(core: Core<T>, share: Share) -> Arc<Self> {
        Arc::new(Self {
            share,
            core: Mutex::new(core),
            changed: Notify::new(),
            driver: Notify::new(),
        })
    }

    /// Locks the core. The caller must not take another lock or await while it holds the guard.
    pub(super) fn core(&self) -> MutexGuard<'_, Core<T>> {
        // The core's methods do not panic half-way; a poisoned lock holds a consistent core.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the core and wakes waiting tasks if its observable state changed.
    pub(super) fn update<R>(&self, change: impl FnOnce(&mut Core<T>, Instant) -> R) -> R {
        let now = Instant::now();
        let mut core = self.core();
        let before = core.observable();
        let result = change(&mut core, now);
        let has_changed = core.observable() != before;
        let accepted = core.take_accepted();
        drop(core);
        for (ack, accepted) in accepted {
            // Nobody may wait for it.
            drop(ack.send(Ok(accepted)));
        }
        if has_changed {
            self.changed.notify_waiters();
        }
        result
    }

    /// As [`update`](Self::update), and wakes the driver.
    pub(super) fn update_and_wake<R>(&self, change: impl FnOnce(&mut Core<T>, Instant) -> R) -> R {
        let result = self.update(change);
        self.driver.notify_one();
        result
    }

    /// Warns of failures that can no longer be reported.
    pub(super) fn warn_of_lost(&self) {
        let appends = self.core().lost();
        if appends > 0 {
            warn!(
                appends,
                "an elastic channel ended with failed appends that were not reported"
            );
        }
    }

    pub(super) fn wake_driver(&self) {
        self.driver.notify_one();
    }

    pub(super) async fn woken(&self) {
        self.driver.notified().await;
    }

    /// Waits until every append before this one has an outcome.
    pub(super) async fn settled(&self, through: u64) {
        self.wait(|core| (core.settled() >= through).then_some(()))
            .await;
    }

    /// Waits until the channel has ended.
    pub(super) async fn stopped(&self) {
        self.wait(|core| core.stopped.then_some(())).await;
    }

    /// Resolves when appends are refused, with the error.
    pub(super) async fn refused(&self) -> Error {
        self.wait(Core::refusal).await
    }

    /// Waits until `outcome` returns a value.
    async fn wait<R>(&self, outcome: impl Fn(&Core<T>) -> Option<R>) -> R {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before the core is read. Otherwise a change could come between the two.
            changed.as_mut().enable();
            let result = outcome(&self.core());
            if let Some(result) = result {
                return result;
            }
            changed.await;
        }
    }
}

/// An elastic channel as its client sees it, independent of the type of its tags.
#[async_trait::async_trait]
pub(crate) trait Settle: fmt::Debug + Send + Sync {
    /// Sends everything appended so far without waiting for the lag, and returns the number of appends so far.
    fn flush(&self) -> u64;

    /// Ends the channel at once. Appends without an outcome are handed back.
    fn end(&self, why: &Error);

    /// Waits until this many appends have an outcome.
    ///
    /// # Errors
    ///
    /// If there are failures that are not yet reported.
    async fn settle(&self, through: u64) -> Result<()>;
}

#[async_trait::async_trait]
impl<T: Send> Settle for Shared<T> {
    fn flush(&self) -> u64 {
        self.update_and_wake(|core, _| {
            core.flush();
            core.next()
        })
    }

    fn end(&self, why: &Error) {
        self.update_and_wake(|core, _| core.stop(why));
    }

    async fn settle(&self, through: u64) -> Result<()> {
        self.settled(through).await;
        self.core().unreported_error().map_or(Ok(()), Err)
    }
}
