//! The faults of a soak: which of them come is drawn from the seed, and each that comes is counted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The names under which faults over HTTP are counted.
pub(super) const CUT_IN_REQUEST: &str = "connections cut in a request";
pub(super) const CUT_IN_ANSWER: &str = "connections cut in an answer";
pub(super) const DELAYED: &str = "requests delayed";
pub(super) const RESET: &str = "connections reset";
pub(super) const REFUSED: &str = "connections refused";
pub(super) const EXPIRED_SENT: &str = "expired tokens sent";
pub(super) const TOKEN_REFUSED: &str = "tokens refused";

/// The names of faults of a transport of the caller's own.
pub(super) const REQUEST_LOST: &str = "requests lost";
pub(super) const ANSWER_LOST: &str = "answers lost";

/// How many of a thousand requests meet each fault of the network.
pub(super) const SHARE: u32 = 20;

/// The longest delay, and the longest outage.
const MOST_DELAY: Duration = Duration::from_secs(4);
const MOST_OUTAGE: Duration = Duration::from_secs(6);
/// How long the network works between two outages at most.
const MOST_PEACE: Duration = Duration::from_secs(60);

/// The faults that come, and those that came.
#[derive(Debug, Clone)]
pub(super) struct Faults(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    rng: fastrand::Rng,
    counts: BTreeMap<&'static str, u64>,
}

impl Faults {
    pub(super) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            rng: fastrand::Rng::with_seed(seed),
            counts: BTreeMap::new(),
        })))
    }

    /// Draws at most one of these faults. Each comes with its number of a thousand requests.
    pub(super) fn draw<F: Copy>(&self, faults: &[(u32, F)]) -> Option<F> {
        let mut dice = self.state().rng.u32(..1_000);
        for (share, fault) in faults {
            match dice.checked_sub(*share) {
                Some(rest) => dice = rest,
                None => return Some(*fault),
            }
        }
        None
    }

    /// How many of `all` bytes get through before a connection is cut: not all.
    pub(super) fn part(&self, all: usize) -> usize {
        self.state().rng.usize(..all.max(1))
    }

    /// How long a delay takes.
    pub(super) fn delay(&self) -> Duration {
        self.part_of(MOST_DELAY)
    }

    /// How long the network works until the next outage.
    pub(super) fn peace(&self) -> Duration {
        self.part_of(MOST_PEACE)
    }

    /// How long an outage takes.
    pub(super) fn outage(&self) -> Duration {
        self.part_of(MOST_OUTAGE)
    }

    fn part_of(&self, most: Duration) -> Duration {
        most.mul_f64(self.state().rng.f64())
    }

    /// Counts a fault that came.
    pub(super) fn count(&self, what: &'static str) {
        *self.state().counts.entry(what).or_default() += 1;
    }

    /// How often each fault came.
    pub(super) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.state().counts.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_comes_with_its_share() {
        let faults = Faults::new(3);
        let mut drawn = [0_u32; 3];
        for _ in 0..20_000 {
            let fault = faults.draw(&[(100, 0), (300, 1)]).unwrap_or(2);
            drawn[fault] += 1;
        }
        assert!((1_800..2_200).contains(&drawn[0]), "{drawn:?}");
        assert!((5_700..6_300).contains(&drawn[1]), "{drawn:?}");
        assert_eq!(faults.draw(&[(1_000, ())]), Some(()));
        assert_eq!(faults.draw::<()>(&[]), None);
    }

    #[test]
    fn the_guide_says_what_each_count_means() {
        let page = include_str!("../../guide/conformance.md");
        let (_, soak) = page.split_once("## Soak").unwrap();
        for name in [
            CUT_IN_REQUEST,
            CUT_IN_ANSWER,
            DELAYED,
            RESET,
            REFUSED,
            EXPIRED_SENT,
            TOKEN_REFUSED,
            REQUEST_LOST,
            ANSWER_LOST,
        ] {
            assert!(soak.contains(&format!("| {name} | ")), "{name}");
        }
    }

    #[test]
    fn a_part_is_never_the_whole() {
        let faults = Faults::new(4);
        assert_eq!((faults.part(0), faults.part(1)), (0, 0));
        let parts: Vec<usize> = (0..200).map(|_| faults.part(5)).collect();
        assert!((0..5).all(|part| parts.contains(&part)), "{parts:?}");
        assert_eq!(parts.iter().max(), Some(&4));
    }
}
