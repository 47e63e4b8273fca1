//! A value that tasks wait for.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A value whose changes wake the tasks that wait for it, in the order in which they began to wait. tokio's `watch` wakes them in
/// a random order, and two runs of a simulation would differ.
#[derive(Default)]
pub(crate) struct Watched<T> {
    value: Mutex<T>,
    changed: Notify,
}

impl<T: fmt::Debug> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value().fmt(f)
    }
}

impl<T> Watched<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            value: Mutex::new(value),
            changed: Notify::new(),
        }
    }

    /// The value. The caller must not await while it holds the guard.
    pub(crate) fn value(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the value. Wakes the tasks that wait if `change` returns true.
    pub(crate) fn change(&self, change: impl FnOnce(&mut T) -> bool) {
        let is_changed = change(&mut self.value());
        if is_changed {
            self.changed.notify_waiters();
        }
    }

    /// Waits until `outcome` returns a result for the value. Cancel safe.
    pub(crate) async fn wait<R>(&self, mut outcome: impl FnMut(&T) -> Option<R>) -> R {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before the value is read. Otherwise the only notification could come between the two.
            changed.as_mut().enable();
            let outcome = outcome(&self.value());
            if let Some(result) = outcome {
                return result;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn tasks_are_woken_in_the_order_in_which_they_began_to_wait() {
        const TASKS: usize = 20;
        let gate = Arc::new(Watched::new(false));
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            let (gate, order) = (Arc::clone(&gate), Arc::clone(&order));
            tasks.spawn(async move {
                gate.wait(|is_open| is_open.then_some(())).await;
                order.lock().unwrap().push(task);
            });
        }
        tokio::task::yield_now().await;
        gate.change(|is_open| std::mem::replace(is_open, false));
        gate.change(|is_open| !std::mem::replace(is_open, true));
        tasks.join_all().await;
        let expected: Vec<usize> = (0..TASKS).collect();
        assert_eq!(*order.lock().unwrap(), expected);
    }
}
