//! Waiting for an optional task, or for an optional instant.

use std::pin::Pin;

use tokio::time::{Instant, sleep_until};

/// A future that a driver waits for.
pub(crate) type Task<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Waits for the task in the slot, empties the slot and returns the result. Never returns if the slot is empty.
pub(crate) async fn finished<T>(slot: &mut Option<Task<T>>) -> T {
    match slot {
        Some(task) => {
            let result = task.await;
            *slot = None;
            result
        }
        None => std::future::pending().await,
    }
}

/// Waits until `until`. Never returns if there is none.
pub(crate) async fn reached(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}
