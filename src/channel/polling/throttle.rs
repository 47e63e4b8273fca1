//! `Retry-After` of the status call: no call is made before the delay that the server asks for, within limits.

use std::time::Duration;

use tokio::time::Instant;

/// When the next status call may be made, according to the server's answers to the previous ones.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Throttle {
    not_before: Option<Instant>,
    /// When the first of the calls was made that have all failed since.
    unanswered_since: Option<Instant>,
}

impl Throttle {
    /// `at`, or the end of the server's delay if that is later.
    pub(super) fn delay(&self, at: Instant) -> Instant {
        self.not_before.map_or(at, |earliest| earliest.max(at))
    }

    pub(super) fn answered(&mut self) {
        *self = Self::default();
    }

    /// The call that was made at `asked` got no usable answer.
    pub(super) fn missed(&mut self, asked: Instant) {
        self.unanswered_since.get_or_insert(asked);
    }

    /// The call that was made at `asked` was answered 429 at `now`, when the server's delay starts. However long the delay is,
    /// a call is made when `retry_for` ends, because channels give up only on the outcome of a call.
    pub(super) fn throttled(
        &mut self,
        asked: Instant,
        now: Instant,
        after: Duration,
        retry_for: Duration,
    ) {
        let since = *self.unanswered_since.get_or_insert(asked);
        let last_try = since + retry_for;
        let last_try = if asked < last_try {
            last_try
        } else {
            asked + retry_for
        };
        self.not_before = Some((now + after).min(last_try));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_delay_holds_until_it_is_over_or_an_answer_comes() {
        let start = Instant::now();
        let mut throttle = Throttle::default();
        assert_eq!(throttle.delay(start), start);
        throttle.throttled(start, start, s(7), s(600));
        assert_eq!(throttle.delay(start + s(1)), start + s(7));
        assert_eq!(throttle.delay(start + s(8)), start + s(8));
        throttle.answered();
        assert_eq!(throttle.delay(start + s(1)), start + s(1));
    }

    #[test]
    fn a_delay_begins_with_the_answer() {
        let start = Instant::now();
        let mut throttle = Throttle::default();
        throttle.throttled(start, start + s(3), s(7), s(600));
        assert_eq!(throttle.delay(start), start + s(10));
    }

    #[test]
    fn the_last_try_is_made_when_the_retry_time_is_over() {
        let start = Instant::now();
        let mut throttle = Throttle::default();
        throttle.missed(start);
        throttle.throttled(start + s(400), start + s(400), s(3600), s(600));
        assert_eq!(throttle.delay(start), start + s(600));
        throttle.throttled(start + s(600), start + s(600), s(3600), s(600));
        assert_eq!(throttle.delay(start), start + s(1200));
    }
}
