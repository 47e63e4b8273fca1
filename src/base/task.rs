//! Waiting for a task that may not be there, or for an instant that may not come.

use std::pin::Pin;

use tokio::time::{Instant, sleep_until};

/// What a driver waits for.
pub(crate) type Task<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The result of the task in the slot, which is emptied; never, if there is none.
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

/// Waits until `until`; without one it never returns.
pub(crate) async fn reached(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}
