//! Retries and delays: exponential backoff with jitter, when an operation is given up, and the token bucket that paces requests.

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

/// What ends the retries of an operation.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RetryLimit {
    /// This many tries. If the server asks for a longer delay than `longest_delay`, there is no further try either.
    Tries { most: u32, longest_delay: Duration },
    /// This time. However long the server asks to wait, the last try is made when the time is over.
    For(Duration),
}

/// The failures of one operation: an open, a call, the delivery of a batch, a method of a source. It says when to try again.
#[derive(Debug, Clone)]
pub(crate) struct Retry {
    backoff: Backoff,
    limit: RetryLimit,
    /// When the time for retries began: with the first failure, unless it was started before.
    since: Option<Instant>,
    failures: u32,
    is_warned: bool,
}

impl Retry {
    /// Delays from `initial` up to `longest`. The time for retries begins with the first failure.
    pub(crate) const fn new(initial: Duration, longest: Duration, limit: RetryLimit) -> Self {
        Self {
            backoff: Backoff::new(initial, longest),
            limit,
            since: None,
            failures: 0,
            is_warned: false,
        }
    }

    /// The same, where the time for retries begins at `now`.
    pub(crate) const fn started(mut self, now: Instant) -> Self {
        self.since = Some(now);
        self
    }

    /// When the last try is due, if time is the limit.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.limit {
            RetryLimit::For(patience) => self.since.map(|since| since + patience),
            RetryLimit::Tries { .. } => None,
        }
    }

    /// Whether the time for retries is over.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|deadline| now >= deadline)
    }

    /// When to try again after a failure, or `None` to give up. `asked` is the delay that the server asks for; `unit` is
    /// random in [0, 1).
    pub(crate) fn next(
        &mut self,
        now: Instant,
        asked: Option<Duration>,
        unit: f64,
    ) -> Option<Instant> {
        self.failures += 1;
        self.since.get_or_insert(now);
        let delay = self.backoff.next(unit).max(asked.unwrap_or_default());
        if let RetryLimit::Tries {
            most,
            longest_delay,
        } = self.limit
            && (self.failures >= most || delay > longest_delay)
        {
            return None;
        }
        let at = now + delay;
        let at = self.deadline().map_or(at, |deadline| at.min(deadline));
        (!self.is_over(now)).then_some(at)
    }

    /// The part of the time for retries that is over.
    pub(crate) fn elapsed(&self, now: Instant) -> Duration {
        (self.since).map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// How long it has failed, if that is worth a warning and there was none yet.
    pub(crate) fn warn(&mut self, now: Instant) -> Option<Duration> {
        let failing_for = self.elapsed(now);
        (failing_for >= WARN_AFTER && !std::mem::replace(&mut self.is_warned, true))
            .then_some(failing_for)
    }

    pub(crate) fn is_warned(&self) -> bool {
        self.is_warned
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

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn tries_are_counted_and_long_delays_end_them() {
        let start = Instant::now();
        let limit = RetryLimit::Tries {
            most: 3,
            longest_delay: 30 * SECOND,
        };
        let mut retry = Retry::new(SECOND, 5 * SECOND, limit);
        assert_eq!(retry.next(start, None, 1.0), Some(start + SECOND));
        let asked = Some(30 * SECOND);
        assert_eq!(retry.next(start, asked, 1.0), Some(start + 30 * SECOND));
        assert_eq!(retry.next(start, None, 1.0), None, "it was the third");
        let mut retry = Retry::new(SECOND, 5 * SECOND, limit);
        assert_eq!(retry.next(start, Some(31 * SECOND), 1.0), None);
    }

    #[test]
    fn a_server_lengthens_a_delay_and_never_shortens_it() {
        let start = Instant::now();
        let mut retry = Retry::new(5 * SECOND, 5 * SECOND, RetryLimit::For(60 * SECOND));
        for (asked, delay) in [(None, 5), (Some(SECOND), 5), (Some(30 * SECOND), 30)] {
            let next = retry.next(start, asked, 1.0);
            assert_eq!(next, Some(start + delay * SECOND), "{asked:?}");
        }
    }

    #[test]
    fn the_time_for_retries_begins_with_the_first_failure_or_when_it_is_started() {
        let start = Instant::now();
        let minute = RetryLimit::For(60 * SECOND);
        for (is_started, end) in [(true, 60), (false, 70)] {
            let retry = Retry::new(SECOND, 5 * SECOND, minute);
            let mut retry = if is_started {
                retry.started(start)
            } else {
                retry
            };
            let failed = start + 10 * SECOND;
            assert_eq!(retry.next(failed, None, 0.0), Some(failed + SECOND / 2));
            let end = start + end * SECOND;
            let before = end.checked_sub(SECOND).unwrap();
            assert!(!retry.is_over(before));
            let last = retry.next(before, Some(3_600 * SECOND), 0.0);
            assert_eq!(last, Some(end), "the last try is made in time");
            assert!(retry.is_over(end));
            assert_eq!(retry.next(end, None, 0.0), None);
        }
    }

    #[test]
    fn a_long_failure_is_worth_one_warning() {
        let start = Instant::now();
        let mut retry = Retry::new(SECOND, SECOND, RetryLimit::For(60 * SECOND)).started(start);
        let late = start + WARN_AFTER;
        assert_eq!(retry.warn(late.checked_sub(SECOND).unwrap()), None);
        assert!(!retry.is_warned());
        assert_eq!(retry.warn(late), Some(WARN_AFTER));
        assert!(retry.is_warned());
        assert_eq!(retry.warn(late + SECOND), None);
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
