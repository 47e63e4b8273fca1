//! How well rows compress, learned from what was sealed.

/// Compressed over uncompressed size in thousandths, learned from what was sealed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ratio(usize);

impl Default for Ratio {
    /// Nothing is known to compress yet.
    fn default() -> Self {
        Self(1000)
    }
}

impl Ratio {
    pub(crate) fn learn(&mut self, compressed: usize, uncompressed: usize) {
        // Small batches compress badly and say little about a full one.
        if uncompressed < 64 << 10 {
            return;
        }
        let seen = (compressed.saturating_mul(1000) / uncompressed).clamp(10, 1000);
        // Up at once and down slowly: to overshoot a request costs more than to fill it badly.
        self.0 = if seen > self.0 {
            seen
        } else {
            (7 * self.0 + 3 * seen) / 10
        };
    }

    /// How much is expected to compress to nine tenths of `limit`.
    pub(crate) fn uncompressed(self, limit: usize) -> usize {
        limit.saturating_mul(900) / self.0.max(10)
    }
}
