//! Seeded chance. All randomness of the simulation comes from here, so one seed gives one history.

use std::ops::RangeInclusive;

use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;
use serde::{Deserialize, Serialize};

/// One independent stream of a seed. PCG's output is fixed by its definition and integers are drawn here
/// without floating point, so a seed means the same history on every platform and in every later version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Dice(Pcg64);

impl Dice {
    /// The stream numbered `stream` of `seed`.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        // PCG streams that share a state are correlated, so the streams start from different states as well.
        let state = (u128::from(stream) << 64) | u128::from(seed);
        Self(Pcg64::new(state, u128::from(stream)))
    }

    /// Uniform in `0..bound`; 0 if `bound` is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64().checked_rem(bound).unwrap_or(0)
    }

    /// Uniform in the range.
    pub(crate) fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        let span = range.end().saturating_sub(*range.start());
        range.start() + self.below(span.saturating_add(1))
    }

    /// An index below `len`; 0 if `len` is 0.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// True with a chance of `percent` in a hundred.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One element, each as likely as another; the default if there is none.
    pub(crate) fn pick<T: Copy + Default>(&mut self, from: &[T]) -> T {
        let index = self.index(from.len());
        from.get(index).copied().unwrap_or_default()
    }

    /// One of `choices` with its chance in percent, and `otherwise` with what remains of a hundred.
    pub(crate) fn choose<T: Copy>(&mut self, choices: &[(u64, T)], otherwise: T) -> T {
        let mut roll = self.below(100);
        for (percent, choice) in choices {
            if roll < *percent {
                return *choice;
            }
            roll -= percent;
        }
        otherwise
    }

    /// `count` random bits in the low end of the number, at most 128.
    pub(crate) fn bits(&mut self, count: u32) -> u128 {
        let all = (u128::from(self.0.next_u64()) << 64) | u128::from(self.0.next_u64());
        all.checked_shr(128_u32.saturating_sub(count)).unwrap_or(0)
    }
}
