//! Estimates how well rows compress from the batches sealed so far.

/// Compressed size divided by uncompressed size, in thousandths, estimated from sealed batches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ratio(usize);

impl Default for Ratio {
    /// Assumes that rows do not compress.
    fn default() -> Self {
        Self(1000)
    }
}

impl Ratio {
    pub(crate) fn learn(&mut self, compressed: usize, uncompressed: usize) {
        // Small batches compress badly and do not predict the ratio of a full one.
        if uncompressed < 64 << 10 {
            return;
        }
        let seen = (compressed.saturating_mul(1000) / uncompressed).clamp(10, 1000);
        // Rises at once and falls slowly: a batch that exceeds the request limit costs more than one that is too small.
        self.0 = if seen > self.0 {
            seen
        } else {
            (7 * self.0 + 3 * seen) / 10
        };
    }

    /// The number of bytes that is expected to compress to nine tenths of `limit`.
    pub(crate) fn uncompressed(self, limit: usize) -> usize {
        limit.saturating_mul(900) / self.0.max(10)
    }
}
