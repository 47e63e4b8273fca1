//! The wall clock behind a trait. Only this file reads it; timers use tokio's clock.

use std::fmt;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// A source of the wall-clock time. The client reads it for JWTs, token expiry and one request header, never for timers.
pub trait TimeSource: fmt::Debug + Send + Sync + 'static {
    /// The current time.
    fn now(&self) -> SystemTime;
}

impl<T: TimeSource + ?Sized> TimeSource for std::sync::Arc<T> {
    fn now(&self) -> SystemTime {
        (**self).now()
    }
}

/// The operating system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl TimeSource for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// A wall clock that advances with tokio's clock. In a paused runtime it stands still until time is advanced.
#[derive(Debug, Clone, Copy)]
pub struct TokioClock {
    epoch: SystemTime,
    origin: Instant,
}

impl TokioClock {
    /// Creates a clock that shows `epoch` now. Call it inside a runtime.
    pub fn starting_at(epoch: SystemTime) -> Self {
        Self {
            epoch,
            origin: Instant::now(),
        }
    }
}

impl TimeSource for TokioClock {
    fn now(&self) -> SystemTime {
        self.epoch + self.origin.elapsed()
    }
}

/// The earlier of two times, where `None` is never.
pub(crate) fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Whole milliseconds since the Unix epoch.
pub(crate) fn epoch_millis(at: SystemTime) -> u64 {
    let since = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
