//! The large requests of a pipe that are under way.
//!
//! A pipe whose large requests time out may have fewer bytes of them under way. On a slow uplink all uploads share the bandwidth, so
//! that none arrives in time if there are many. Small requests are not held back: they need hardly any bandwidth, and what they
//! would wait for could be a request that hangs for another reason.

use std::time::Duration;

use tokio::time::Instant;

/// A request with a longer body is a large one.
pub(super) const SMALL: usize = 16 << 10;
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
    /// The largest of the requests that were recently answered well in time.
    quick: Option<(usize, Instant)>,
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

    /// Widens the window by the request, so that it doubles in the time of one. Requests that are shorter than those that time out
    /// are answered sooner, whatever is under way; they count when none has timed out for a while.
    pub(super) fn answered_quickly(&mut self, bytes: usize, now: Instant, timeout: Duration) {
        if !is_large(bytes) {
            return;
        }
        let is_largest = |(largest, at)| bytes >= largest || now > at + timeout;
        if self.quick.is_none_or(is_largest) {
            self.quick = Some((bytes, now));
        }
        let counts = |(length, at)| bytes >= length || now > at + FORGOTTEN_AFTER;
        if let Some(window) = &mut self.window
            && self.narrowed.is_none_or(counts)
        {
            *window = window.saturating_add(bytes);
        }
    }

    /// Halves the window, unless a request of that length was answered quickly meanwhile.
    pub(super) fn timed_out(&mut self, bytes: usize, sent_at: Instant) -> Narrowed {
        let is_older = self.narrowed.is_some_and(|(_, at)| sent_at < at);
        let was_quick = |(longest, at)| longest >= bytes && at >= sent_at;
        if !is_large(bytes) || is_older || self.quick.is_some_and(was_quick) {
            return Narrowed::No;
        }
        let was_alone = self.window.is_some_and(|window| window <= bytes);
        let window = self
            .window
            .map_or(self.bytes, |window| window.min(self.bytes))
            / 2;
        self.window = Some(window);
        self.narrowed = Some((bytes, Instant::now()));
        if was_alone {
            Narrowed::Alone
        } else {
            Narrowed::To(window)
        }
    }
}

pub(super) fn is_large(bytes: usize) -> bool {
    bytes > SMALL
}
