//! Waiting for an optional task, for an optional instant, and for a future that may panic.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::Poll;

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

/// The output of `future`, or `None` if it panics. The future must leave nothing half done that others see.
pub(crate) async fn caught<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        polled.map_or(Poll::Ready(None), |polled| polled.map(Some))
    })
    .await
}
