//! The rate of the orders: a batch at a time, with a pause between two batches.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The pace of one source.
#[derive(Debug)]
pub(crate) struct Pace {
    batch: u64,
    interval: Duration,
    /// When the source started, and with which order.
    started: Option<(Instant, u64)>,
}

impl Pace {
    /// `batch` orders at once, and another batch after each `interval`; all orders at once if the interval is zero.
    pub(crate) fn new(batch: u64, interval: Duration) -> Self {
        Self {
            batch,
            interval,
            started: None,
        }
    }

    /// The last order that is available now. The first call starts the pace with the order `next`.
    pub(crate) fn last(&mut self, next: u64) -> u64 {
        if self.interval.is_zero() {
            return u64::MAX;
        }
        let (since, first) = *self.started.get_or_insert_with(|| (Instant::now(), next));
        let batches = self.intervals(since).saturating_add(1);
        first.saturating_add(self.batch.saturating_mul(batches)) - 1
    }

    /// Waits until more orders are available. Cancel safe.
    pub(crate) async fn more(&self) {
        let next = self.started.and_then(|(since, _)| {
            let intervals = u32::try_from(self.intervals(since)).ok()?;
            since.checked_add(self.interval.checked_mul(intervals.checked_add(1)?)?)
        });
        match next {
            Some(next) => sleep_until(next).await,
            None => std::future::pending().await,
        }
    }

    fn intervals(&self, since: Instant) -> u64 {
        let passed = since.elapsed().as_millis() / self.interval.as_millis().max(1);
        u64::try_from(passed).unwrap_or(u64::MAX)
    }
}
