//! The large requests of a pipe that are under way.
//!
//! A pipe whose large requests time out may have fewer bytes of them under way. On a slow uplink all uploads share the bandwidth, so
//! that none arrives in time if there are many. Small requests are not held back: they need hardly any bandwidth, and what they
//! would wait for could be a request that hangs for another reason.

use std::time::Duration;

use tokio::time::Instant;

/// A request with a longer body is a large one.
pub(super) const SMALL: usize = 16 << 10;
/// A request is answered well in time if its deadline is so many times as far away.
const QUICK: f64 = 4.0;
/// How long a timeout tells what widens the window.
pub(super) const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// The large requests of a pipe that are under way, and what their timeouts have shown.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    bytes: usize,
    /// As many bytes may be under way, or one request; `None` as long as nothing timed out.
    window: Option<usize>,
    /// When the window was last narrowed, and the length of the request that timed out. Requests that were sent before say nothing
    /// about the window.
    narrowed: Option<(usize, Instant)>,
    /// The highest rate of the requests that succeeded recently, in bytes a second.
    fastest: Option<(f64, Instant)>,
}

/// What a timeout led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Narrowed {
    /// Nothing: the bandwidth is not the cause, or the window was narrowed since the request was sent.
    No,
    /// The window has this many bytes.
    To(usize),
    /// No other large request was under way, so that the request itself is too long.
    Alone,
}

impl Uploads {
    pub(super) fn started(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// A request has ended. Small ones do not count.
    pub(super) fn ended(&mut self, bytes: usize) {
        if is_large(bytes) {
            self.bytes -= bytes;
        }
    }

    /// Whether a request of `bytes` may be made.
    pub(super) fn admit(&self, bytes: usize) -> bool {
        let after = self.bytes.saturating_add(bytes);
        self.bytes == 0 || self.window.is_none_or(|window| after <= window)
    }

    /// Widens the window by a request that was answered well in time, so that it doubles in the time of one. Requests that are shorter
    /// than those that time out are answered sooner, whatever is under way; they count when none has timed out for a while.
    pub(super) fn succeeded(
        &mut self,
        bytes: usize,
        took: Duration,
        now: Instant,
        timeout: Duration,
    ) {
        if !is_large(bytes) {
            return;
        }
        let rate = rate(bytes, took);
        let is_fastest = |(fastest, at)| rate >= fastest || now > at + timeout;
        if self.fastest.is_none_or(is_fastest) {
            self.fastest = Some((rate, now));
        }
        let counts = |(length, at)| bytes >= length || now > at + FORGOTTEN_AFTER;
        if let Some(window) = &mut self.window
            && is_quick(took, timeout)
            && self.narrowed.is_none_or(counts)
        {
            *window = window.saturating_add(bytes);
        }
    }

    /// Halves the window, unless another request was several times as fast as this one had to be: those that share an uplink are
    /// about equally fast.
    pub(super) fn timed_out(
        &mut self,
        bytes: usize,
        sent_at: Instant,
        timeout: Duration,
    ) -> Narrowed {
        let is_older = self.narrowed.is_some_and(|(_, at)| sent_at < at);
        let was_fast = |(fastest, at)| fastest >= QUICK * rate(bytes, timeout) && at >= sent_at;
        if !is_large(bytes) || is_older || self.fastest.is_some_and(was_fast) {
            return Narrowed::No;
        }
        let was_alone = self.window.is_some_and(|window| window <= bytes);
        let window = self
            .window
            .map_or(self.bytes, |window| window.min(self.bytes))
            / 2;
        self.window = Some(window);
        let now = Instant::now();
        if was_alone {
            // New requests are half as long.
            self.narrowed = Some((bytes / 2, now));
            Narrowed::Alone
        } else {
            self.narrowed = Some((bytes, now));
            Narrowed::To(window)
        }
    }
}

/// Whether a request that took so long was answered well in time.
pub(super) fn is_quick(took: Duration, timeout: Duration) -> bool {
    took.mul_f64(QUICK) <= timeout
}

/// In bytes a second.
#[expect(
    clippy::cast_precision_loss,
    reason = "a request has less than 2^52 bytes"
)]
fn rate(bytes: usize, time: Duration) -> f64 {
    bytes as f64 / time.as_secs_f64().max(1e-3)
}

pub(super) fn is_large(bytes: usize) -> bool {
    bytes > SMALL
}
