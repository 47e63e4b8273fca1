//! Seeded random numbers for generated data: one seed gives one history.

use std::ops::RangeInclusive;

use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;
use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

/// One independent stream of a seed. PCG's output is fixed by its definition, and integers are drawn without floating
/// point, so a seed gives the same values on every platform and in every later version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Dice(Pcg64);

impl Dice {
    /// The stream numbered `stream` of `seed`.
    pub fn new(seed: u64, stream: u64) -> Self {
        // PCG streams that share a state are correlated, so the streams start from different states as well.
        let state = (u128::from(stream) << 64) | u128::from(seed);
        Self(Pcg64::new(state, u128::from(stream)))
    }

    /// The position `draws` further on in the same stream. The cost does not depend on the distance.
    #[must_use]
    pub fn after(&self, draws: u128) -> Self {
        let mut later = self.0.clone();
        later.advance(draws);
        Self(later)
    }

    /// Uniform in `0..bound`; 0 if `bound` is 0. One draw.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64().checked_rem(bound).unwrap_or(0)
    }

    /// Uniform in the range. One draw.
    pub fn within(&mut self, range: &RangeInclusive<u64>) -> u64 {
        let span = range.end().saturating_sub(*range.start());
        range.start() + self.below(span.saturating_add(1))
    }

    /// An index below `len`; 0 if `len` is 0. One draw.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// True with a probability of `percent` in a hundred. One draw.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One element, all with the same probability; the default if there is none. One draw.
    pub fn pick<T: Copy + Default>(&mut self, from: &[T]) -> T {
        let index = self.index(from.len());
        from.get(index).copied().unwrap_or_default()
    }

    /// One of `choices`, each with its probability in percent; `otherwise` with the remaining probability. One draw.
    pub fn choose<T: Copy>(&mut self, choices: &[(u64, T)], otherwise: T) -> T {
        let mut roll = self.below(100);
        for (percent, choice) in choices {
            if roll < *percent {
                return *choice;
            }
            roll -= percent;
        }
        otherwise
    }

    /// `count` random bits, at most 128, in the low end of the number. Two draws.
    pub fn bits(&mut self, count: u32) -> u128 {
        let all = (u128::from(self.0.next_u64()) << 64) | u128::from(self.0.next_u64());
        all.checked_shr(128_u32.saturating_sub(count)).unwrap_or(0)
    }

    /// A UUID of version 4. Two draws.
    pub fn uuid(&mut self) -> Uuid {
        Builder::from_random_bytes(self.bits(128).to_be_bytes()).into_uuid()
    }
}
