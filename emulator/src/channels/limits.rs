//! Limits of sizes, rates and counts, and the metering of a channel's rates.

use std::time::Duration;

/// The server's limits. Each one that is `None` is off.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The longest body on the wire, in bytes. A longer one is answered 413.
    pub request_bytes: Option<usize>,
    /// The longest body after decompression, in bytes. It is always on, because a small body could fill the memory.
    pub decompressed_bytes: usize,
    /// The longest upload, and what the files of one append may hold after decompression, in bytes. It is always on.
    pub file_bytes: usize,
    /// Uncompressed bytes a second on one channel. More is answered 429.
    pub bytes_per_second: Option<u64>,
    /// Append requests a second on one channel. More is answered 429.
    pub requests_per_second: Option<u64>,
    /// How many seconds of a rate a channel may use at once; two by default, so that a client that keeps the rate exactly
    /// is not refused because its requests were bunched on the way.
    pub burst_seconds: u64,
    /// The `Retry-After` of such a 429, in whole seconds.
    pub retry_after: Option<Duration>,
    /// Channels of one pipe.
    pub channels_per_pipe: Option<usize>,
    /// Names in one bulk status request.
    pub status_names: Option<usize>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_bytes: Some(4 << 20),
            decompressed_bytes: 64 << 20,
            file_bytes: 96 << 20,
            bytes_per_second: Some(20_000_000),
            requests_per_second: Some(10),
            burst_seconds: 2,
            retry_after: None,
            channels_per_pipe: Some(2_000),
            status_names: Some(1_000),
        }
    }
}

impl Limits {
    /// No limit but those on decompressed bytes and files.
    pub fn off() -> Self {
        Self {
            request_bytes: None,
            bytes_per_second: None,
            requests_per_second: None,
            channels_per_pipe: None,
            status_names: None,
            ..Self::default()
        }
    }

    /// The documented limits to the second: 4 MiB on the wire, and on one channel 20 MB and 10 requests in any second.
    pub fn strict() -> Self {
        Self {
            burst_seconds: 1,
            ..Self::default()
        }
    }
}

/// The use of a channel's two rates.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    bytes: Leak,
    requests: Leak,
}

impl Pace {
    /// Whether one more request fits at `now_ms`.
    pub(crate) fn admits(&mut self, limits: &Limits, now_ms: u64) -> bool {
        let bytes = self
            .bytes
            .admits(limits.bytes_per_second, limits.burst_seconds, now_ms);
        let requests =
            self.requests
                .admits(limits.requests_per_second, limits.burst_seconds, now_ms);
        bytes && requests
    }

    /// Counts an accepted request of `bytes` uncompressed bytes.
    pub(crate) fn charge(&mut self, bytes: usize) {
        self.bytes.charge(bytes as u64);
        self.requests.charge(1);
    }
}

/// A bucket that leaks at a rate, in thousandths of a unit. It may be overfilled once and is then closed until it has leaked.
#[derive(Debug, Default)]
struct Leak {
    level: u64,
    at_ms: u64,
}

impl Leak {
    fn admits(&mut self, rate: Option<u64>, burst_seconds: u64, now_ms: u64) -> bool {
        let Some(rate) = rate else {
            self.level = 0;
            return true;
        };
        let leaked = now_ms.saturating_sub(self.at_ms).saturating_mul(rate);
        self.level = self.level.saturating_sub(leaked);
        self.at_ms = now_ms;
        self.level < rate.saturating_mul(burst_seconds.saturating_mul(1000))
    }

    fn charge(&mut self, units: u64) {
        self.level = self.level.saturating_add(units.saturating_mul(1000));
    }
}
