//! Delays: exponential backoff with jitter, and the token bucket that paces requests.

use std::time::Duration;

use tokio::time::Instant;

/// A failure that lasts this long is logged as a warning.
pub(crate) const WARN_AFTER: Duration = Duration::from_secs(10);

/// Doubling delays with jitter. The caller provides the random numbers, so that runs with a seed are reproducible.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    initial: Duration,
    max: Duration,
    tries: u32,
}

impl Backoff {
    pub(crate) const fn new(initial: Duration, max: Duration) -> Self {
        Self {
            initial,
            max,
            tries: 0,
        }
    }

    /// Returns the next delay: half to all of the current step. `unit` is random in [0, 1).
    pub(crate) fn next(&mut self, unit: f64) -> Duration {
        let step = self
            .initial
            .saturating_mul(1 << self.tries.min(20))
            .min(self.max);
        self.tries = self.tries.saturating_add(1);
        step.mul_f64(0.5 + 0.5 * unit.clamp(0.0, 1.0))
    }

    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }
}

/// A token bucket with debt: a request may overdraw the bucket, and the next one waits until the debt is paid.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    rate: f64,
    burst: f64,
    level: f64,
    at: Instant,
}

impl Bucket {
    /// Creates a full bucket that gains `rate` per second up to `burst`.
    pub(crate) fn new(now: Instant, rate: f64, burst: f64) -> Self {
        Self {
            rate,
            burst,
            level: burst,
            at: now,
        }
    }

    fn refill(&mut self, now: Instant) {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * self.rate;
        self.level = (self.level + gained).min(self.burst);
        self.at = self.at.max(now);
    }

    /// The time at which the bucket holds at least `floor`; `now` if it already does.
    pub(crate) fn ready_at(&mut self, now: Instant, floor: f64) -> Instant {
        self.refill(now);
        // A rounding error must not cost a timer tick.
        let missing = floor - self.level;
        if missing <= 1e-6 {
            now
        } else {
            now + Duration::from_secs_f64(missing / self.rate)
        }
    }

    /// Takes `amount`, going into debt if necessary.
    pub(crate) fn take(&mut self, now: Instant, amount: u32) {
        self.refill(now);
        self.level -= f64::from(amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_cap_and_jitter_downward() {
        let mut b = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let full: Vec<_> = (0..6).map(|_| b.next(1.0).as_millis()).collect();
        assert_eq!(full, [100, 200, 400, 800, 1000, 1000]);
        b.reset();
        assert_eq!(b.next(0.0), Duration::from_millis(50));
        for _ in 0..100 {
            assert!(b.next(0.3) <= Duration::from_secs(1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_goes_into_debt_and_pays_it_back() {
        let t0 = Instant::now();
        let mut bucket = Bucket::new(t0, 10.0, 10.0);
        assert_eq!(bucket.ready_at(t0, 0.0), t0);
        bucket.take(t0, 25);
        assert_eq!(bucket.ready_at(t0, 0.0), t0 + Duration::from_millis(1500));
        let later = t0 + Duration::from_millis(1500);
        assert_eq!(bucket.ready_at(later, 0.0), later);
        let much_later = t0 + Duration::from_secs(60);
        bucket.take(much_later, 10);
        assert_eq!(
            bucket.ready_at(much_later, 1.0),
            much_later + Duration::from_millis(100),
            "the burst is capped"
        );
    }
}
