//! The largest request that the server takes, as the channels of a client have learned it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, warn};

/// A refusal of less says nothing about the limit of a service: its own is 4 MiB, and proxies that refuse bodies begin at some
/// hundred kilobytes. What is refused is split in any case.
const FLOOR: usize = 16 << 10;
/// The same of timeouts: a shorter request that is not answered in time says nothing about the uplink.
const TIMED_OUT_FLOOR: usize = 256 << 10;
/// The limit is doubled when no request was refused for this long.
const RAISED_AFTER: Duration = Duration::from_secs(600);

/// In compressed bytes. A proxy or server answers 413 for reasons that no open of a channel changes, so the limit lives as long as
/// the client: a channel that learned its own would meet the same refusals after every open.
///
/// On an uplink that is too slow for two requests at once, timeouts lower the limit of their pipe alone: they may have other causes,
/// which other pipes do not share.
#[derive(Debug, Clone)]
pub(crate) struct RequestLimit {
    refused: Arc<Learned>,
    timed_out: Arc<Learned>,
}

#[derive(Debug)]
struct Learned {
    limit: AtomicUsize,
    most: usize,
    /// When the limit is raised; `None` as long as nothing was refused.
    raised_at: Mutex<Option<Instant>>,
}

impl RequestLimit {
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            refused: Arc::new(Learned::new(bytes)),
            timed_out: Arc::new(Learned::new(bytes)),
        }
    }

    /// The limit of another pipe of the client.
    pub(crate) fn for_pipe(&self) -> Self {
        Self {
            refused: Arc::clone(&self.refused),
            timed_out: Arc::new(Learned::new(self.timed_out.most)),
        }
    }

    /// The limit as it is known now. Other channels lower it at any time.
    pub(crate) fn get(&self) -> usize {
        self.refused.get().min(self.timed_out.get())
    }

    /// The server refused a request of `bytes` as too large.
    pub(crate) fn refused(&self, bytes: usize) {
        if let Some(half) = self.refused.lower(bytes, FLOOR) {
            warn!(
                "the server refuses {bytes} bytes in one request; the client sends at most {half} from now on, and tries larger requests every {RAISED_AFTER:?}"
            );
        }
    }

    /// A request of `bytes` was not answered in time, although hardly any other was under way.
    pub(crate) fn timed_out(&self, bytes: usize) {
        if let Some(half) = self.timed_out.lower(bytes, TIMED_OUT_FLOOR) {
            warn!(
                "the server does not answer requests of {bytes} bytes in time; new requests have at most {half} until such are answered sooner"
            );
        }
    }

    /// A request of `bytes` was answered well in time. If it was about as long as timeouts allow, longer ones are tried.
    pub(crate) fn succeeded(&self, bytes: usize) {
        self.timed_out.double_after(bytes);
    }
}

impl Learned {
    fn new(bytes: usize) -> Self {
        Self {
            limit: AtomicUsize::new(bytes),
            most: bytes,
            raised_at: Mutex::default(),
        }
    }

    fn get(&self) -> usize {
        let known = self.limit.load(Ordering::Relaxed);
        if known == self.most {
            return known;
        }
        let now = Instant::now();
        let mut at = self.raised_at();
        if at.is_some_and(|at| at <= now) {
            *at = Some(now + RAISED_AFTER);
            let raised = known.saturating_mul(2).min(self.most);
            debug!(bytes = raised, "larger requests are tried again");
            self.limit.store(raised, Ordering::Relaxed);
            return raised;
        }
        known
    }

    fn double_after(&self, bytes: usize) {
        let known = self.limit.load(Ordering::Relaxed);
        if known < self.most && bytes >= known / 2 {
            let raised = known.saturating_mul(2).min(self.most);
            self.limit.fetch_max(raised, Ordering::Relaxed);
        }
    }

    /// Halves the size that failed, and not the limit, because several requests of one size may fail at the same time. Returns the new
    /// limit when it is lowered for the first time.
    fn lower(&self, bytes: usize, floor: usize) -> Option<usize> {
        let half = (bytes / 2).max(floor.min(self.most));
        let mut at = self.raised_at();
        let is_first = at.replace(Instant::now() + RAISED_AFTER).is_none();
        let is_lower = self.limit.fetch_min(half, Ordering::Relaxed) > half;
        (is_lower && is_first).then_some(half)
    }

    fn raised_at(&self) -> MutexGuard<'_, Option<Instant>> {
        // A plain value, written in one step.
        (self.raised_at.lock()).unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_refused_request_halves_the_limit_for_every_holder() {
        let limit = RequestLimit::new(1_000_000);
        let other = limit.clone();
        limit.refused(800_000);
        assert_eq!(other.get(), 400_000);
        other.refused(800_000);
        assert_eq!(limit.get(), 400_000, "both were sent under the old limit");
        limit.refused(1);
        assert_eq!(other.get(), FLOOR, "one tiny refusal is no limit");
        let small = RequestLimit::new(1_000);
        small.refused(1);
        assert_eq!(small.get(), 1_000);
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_is_raised_while_nothing_is_refused() {
        let limit = RequestLimit::new(1_000_000);
        limit.refused(600_000);
        advance(RAISED_AFTER / 2).await;
        limit.refused(600_000);
        advance(RAISED_AFTER / 2).await;
        assert_eq!(limit.get(), 300_000);
        advance(RAISED_AFTER / 2).await;
        assert_eq!(limit.get(), 600_000);
        assert_eq!(limit.get(), 600_000);
        advance(RAISED_AFTER).await;
        assert_eq!(limit.get(), 1_000_000);
    }

    #[tokio::test(start_paused = true)]
    async fn timeouts_lower_the_limit_of_their_pipe_and_refusals_that_of_all() {
        let limit = RequestLimit::new(1_000_000);
        let other = limit.for_pipe();
        limit.timed_out(20_000);
        assert_eq!(limit.get(), TIMED_OUT_FLOOR, "a short one says nothing");
        limit.succeeded(TIMED_OUT_FLOOR / 2);
        limit.succeeded(TIMED_OUT_FLOOR / 2);
        assert_eq!(limit.get(), 2 * TIMED_OUT_FLOOR);
        limit.succeeded(2 * TIMED_OUT_FLOOR);
        assert_eq!(limit.get(), 1_000_000);
        limit.timed_out(1_000_000);
        assert_eq!((limit.get(), other.get()), (500_000, 1_000_000));
        other.refused(200_000);
        assert_eq!((limit.get(), other.get()), (100_000, 100_000));
        advance(RAISED_AFTER).await;
        assert_eq!((limit.get(), other.get()), (200_000, 200_000));
    }
}
