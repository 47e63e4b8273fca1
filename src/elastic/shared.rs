//! One elastic channel, as its handles, its driver, its acknowledgements and its client share it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::warn;

use super::core::Core;
use crate::base::budget::Share;
use crate::types::error::{Error, Result};

/// The core behind a short lock, and who is to be told of its changes.
pub(super) struct Shared<T> {
    pub(super) share: Share,
    core: Mutex<Core<T>>,
    /// For those who wait for what [`Core::marks`] tells. Wakes them in the order of waiting, as a `watch` does not.
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

    /// Looks at the core. Nothing else may be locked or awaited meanwhile.
    pub(super) fn core(&self) -> MutexGuard<'_, Core<T>> {
        // The core's methods do not panic half-way; a poisoned lock holds a consistent core.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the core and tells everybody what came of it.
    pub(super) fn update<R>(&self, change: impl FnOnce(&mut Core<T>, Instant) -> R) -> R {
        let now = Instant::now();
        let mut core = self.core();
        let before = core.marks();
        let result = change(&mut core, now);
        let is_news = core.marks() != before;
        let spent = core.take_spent();
        drop(core);
        // What the caller's tags do when they are dropped is not to be done under the lock.
        drop(spent);
        if is_news {
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

    /// Logs a failure that is lost.
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

    /// Waits until nothing will change any more.
    pub(super) async fn stopped(&self) {
        self.wait(|core| core.stopped.then_some(())).await;
    }

    /// Resolves when no more rows are taken.
    pub(super) async fn refused(&self) -> Error {
        self.wait(Core::refusal).await
    }

    /// What `outcome` knows in the end.
    async fn wait<R>(&self, outcome: impl Fn(&Core<T>) -> Option<R>) -> R {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before the core is looked at, or a change could fall in between.
            changed.as_mut().enable();
            let told = outcome(&self.core());
            if let Some(told) = told {
                return told;
            }
            changed.await;
        }
    }
}

/// An elastic channel as its client sees it, whatever its tags are.
#[async_trait::async_trait]
pub(crate) trait Settle: fmt::Debug + Send + Sync {
    /// Sends what was appended so far without waiting for the lag; how many appends that are.
    fn flush(&self) -> u64;

    /// Ends it at once: what has no outcome is handed back.
    fn end(&self, why: &Error);

    /// Waits until so many appends have an outcome.
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
        self.core().unheard_error().map_or(Ok(()), Err)
    }
}
