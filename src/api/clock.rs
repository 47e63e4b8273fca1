//! The clock that JWTs are made by: this machine's, until an account host whose clock differs refuses a credential.
//!
//! A warning says by how much this machine's clock is wrong, also if the difference is too large for a correction.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use http::header;
use tracing::warn;

use crate::base::time::{TimeSource, epoch_millis};
use crate::http::Response;

/// Smaller differences are ignored: `Date` has no fractions of a second, and an answer takes time.
const TOLERANCE_MS: u64 = 30_000;

/// Larger differences are not corrected, so that no server can make the client sign a JWT for an arbitrary date. A wrong time
/// zone, or a date that is wrong by a day, is a smaller difference.
const MAX_SKEW_MS: u64 = 36 * 60 * 60 * 1000;

/// This machine's clock, corrected by the account host's `Date`.
#[derive(Debug)]
pub(super) struct HostClock {
    ours: Arc<dyn TimeSource>,
    /// How much the host's clock is ahead of ours, in milliseconds.
    ahead_ms: AtomicI64,
}

impl HostClock {
    pub(super) fn new(ours: Arc<dyn TimeSource>) -> Self {
        Self {
            ours,
            ahead_ms: AtomicI64::new(0),
        }
    }

    /// Corrects the clock by the `Date` of an answer if they differ, but not by too much. Returns whether it was corrected.
    pub(super) fn learn(&self, answer: &Response) -> bool {
        let Some(theirs) = date(answer).map(epoch_millis) else {
            return false;
        };
        if theirs.abs_diff(epoch_millis(self.now())) <= TOLERANCE_MS {
            return false;
        }
        let ours = epoch_millis(self.ours.now());
        let difference = i64::try_from(theirs.abs_diff(ours)).unwrap_or(i64::MAX);
        let (ahead_ms, direction) = if theirs > ours {
            (difference, "behind")
        } else {
            (-difference, "ahead of")
        };
        let seconds = difference / 1000;
        if difference.unsigned_abs() > MAX_SKEW_MS {
            warn!(
                "this machine's clock is {seconds} s {direction} the account host's, which is too much to correct; set the clock right"
            );
            return false;
        }
        self.ahead_ms.store(ahead_ms, Ordering::Relaxed);
        warn!(
            "this machine's clock is {seconds} s {direction} the account host's; the host's time is used from now on, but set the clock right"
        );
        true
    }
}

impl TimeSource for HostClock {
    fn now(&self) -> SystemTime {
        let ours = self.ours.now();
        let ahead_ms = self.ahead_ms.load(Ordering::Relaxed);
        let by = Duration::from_millis(ahead_ms.unsigned_abs());
        let theirs = if ahead_ms < 0 {
            ours.checked_sub(by)
        } else {
            ours.checked_add(by)
        };
        theirs.unwrap_or(ours)
    }
}

fn date(answer: &Response) -> Option<SystemTime> {
    let text = answer.headers().get(header::DATE)?.to_str().ok()?;
    httpdate::parse_http_date(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::TokioClock;

    /// Whether and by how much the clock is corrected by a host that is `ahead` seconds ahead, or behind.
    fn learned(ahead: i64) -> (bool, i64) {
        let epoch = SystemTime::UNIX_EPOCH + Duration::from_secs(1_768_658_400);
        let theirs = SystemTime::UNIX_EPOCH
            + Duration::from_secs(1_768_658_400_u64.checked_add_signed(ahead).unwrap());
        let answer = http::Response::builder()
            .header(header::DATE, httpdate::fmt_http_date(theirs))
            .body(bytes::Bytes::new())
            .unwrap();
        let clock = HostClock::new(Arc::new(TokioClock::starting_at(epoch)));
        let has_learned = clock.learn(&answer);
        let corrected = i64::try_from(epoch_millis(clock.now())).unwrap();
        (has_learned, (corrected - 1_768_658_400_000) / 1_000)
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_is_corrected_by_more_than_half_a_minute_and_at_most_36_hours() {
        const MOST: i64 = 36 * 60 * 60;
        for ahead in [31, -31, MOST, -MOST] {
            assert_eq!(learned(ahead), (true, ahead));
        }
        for ahead in [0, 30, -30, MOST + 1, -MOST - 1] {
            assert_eq!(learned(ahead), (false, 0), "{ahead}");
        }
    }
}
