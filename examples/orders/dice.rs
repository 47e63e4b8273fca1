//! Seeded chance that can be entered anywhere: where a draw stands in its sequence decides what it gives.

use std::ops::RangeInclusive;

use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;
use uuid::Uuid;

/// A place in one sequence of a seed. PCG's output is fixed by its definition and nothing is drawn in floating point, so a
/// seed means the same on every platform.
#[derive(Debug, Clone)]
pub(crate) struct Dice(Pcg64);

impl Dice {
    /// The beginning of the sequence numbered `stream` of `seed`.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        // Sequences that share a state are correlated, so they start from different states as well.
        let state = (u128::from(stream) << 64) | u128::from(seed);
        Self(Pcg64::new(state, u128::from(stream)))
    }

    /// The place `draws` further on. Takes about as long for any distance.
    pub(crate) fn after(&self, draws: u128) -> Self {
        let mut there = self.0.clone();
        there.advance(draws);
        Self(there)
    }

    /// Uniform in the range. One draw.
    pub(crate) fn within(&mut self, range: &RangeInclusive<u64>) -> u64 {
        let span = range.end().saturating_sub(*range.start());
        let draw = self.0.next_u64();
        range.start() + draw.checked_rem(span.saturating_add(1)).unwrap_or(draw)
    }

    /// True with a chance of `percent` in a hundred. One draw.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.within(&(0..=99)) < percent
    }

    /// One of `choices` with its chance in percent, and `otherwise` with what remains of a hundred. One draw.
    pub(crate) fn choose<T: Copy>(&mut self, choices: &[(u64, T)], otherwise: T) -> T {
        let mut roll = self.within(&(0..=99));
        for (percent, choice) in choices {
            if roll < *percent {
                return *choice;
            }
            roll -= percent;
        }
        otherwise
    }

    /// A UUID of version 4. Two draws.
    pub(crate) fn uuid(&mut self) -> Uuid {
        let high = u128::from(self.0.next_u64()) << 64;
        let bits = high | u128::from(self.0.next_u64());
        uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
    }
}
