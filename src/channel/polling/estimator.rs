//! When to poll for a commit. The estimator learns from earlier polls how long the server takes from accepting rows to
//! committing them.
//!
//! The first poll is due shortly before the expected commit, and a *burst* of polls at short intervals follows it.
//!
//! A poll without an answer does not change the estimate.

use std::time::Duration;

use tokio::time::Instant;

use super::timer::{CommitSample, PollInterest};

/// The shortest delay between an accept and a poll: no server commits at once.
const FIRST: Duration = Duration::from_millis(50);
/// The shortest interval between polls while a commit is due.
const STEP: Duration = Duration::from_millis(80);
/// The length of a burst at that interval. Variation of the commit latency within it costs no delay.
const SPAN: Duration = Duration::from_millis(320);
/// The longest time without a poll while a commit is pending.
const SLOWEST: Duration = Duration::from_secs(1);

/// When to poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    /// The preferred time, while the client's rate of polls allows it.
    pub(crate) earliest: Instant,
    /// The time at which a poll is needed even if polls are scarce.
    pub(crate) latest: Instant,
}

impl Due {
    pub(crate) fn earliest(self, other: Self) -> Self {
        Self {
            earliest: self.earliest.min(other.earliest),
            latest: self.latest.min(other.latest),
        }
    }
}

/// Learns the commit latency. See the module's documentation.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LatencyEstimator {
    /// From the accept to shortly before the commit.
    expected: Duration,
    /// The value of `expected` before a commit that was much later. It is restored unless the next one is late as well.
    before: Option<Duration>,
}

impl LatencyEstimator {
    pub(crate) fn due(self, interest: PollInterest) -> Option<Due> {
        let (accepted, asked, is_lone) = match interest {
            PollInterest::Nothing => return None,
            PollInterest::Heartbeat(at) | PollInterest::At(at) => {
                return Some(Due {
                    earliest: at,
                    latest: at,
                });
            }
            PollInterest::Commit {
                accepted,
                asked,
                is_lone,
            } => (accepted, asked, is_lone),
        };
        let expected = accepted + self.expected;
        let earliest = if asked <= accepted || asked < expected {
            expected.max(accepted + FIRST)
        } else {
            let overdue = asked.saturating_duration_since(expected);
            asked + (overdue / 4).max(STEP)
        };
        let slowest = asked.max(accepted) + SLOWEST;
        let earliest = earliest.min(slowest);
        Some(Due {
            earliest,
            latest: if is_lone { earliest } else { slowest },
        })
    }

    pub(crate) fn learn(&mut self, sample: CommitSample) {
        let CommitSample { missed, seen } = sample;
        if missed > self.expected + SPAN {
            self.before.get_or_insert(self.expected);
            self.expected = missed;
        } else if missed >= self.expected {
            self.before = None;
            // Move only part of the way: latencies vary, and the first poll should precede most commits.
            self.expected += missed.saturating_sub(self.expected) / 4;
        } else if seen <= self.expected + STEP {
            // The first poll saw the commit, so the commit may have been much earlier. After a single late commit, the
            // estimate from before it is better than this one.
            let sooner = seen.saturating_sub(SPAN / 2);
            let usual = self.before.take().unwrap_or(sooner);
            self.expected = usual.min(sooner).max(missed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// The times, in ms after the accept, of the polls up to the one that sees a commit `delay` ms after it.
    fn polls(estimator: &mut LatencyEstimator, delay: u64) -> Vec<u128> {
        let accepted = Instant::now();
        let mut asked = accepted;
        let mut polls = Vec::new();
        loop {
            let interest = PollInterest::Commit {
                accepted,
                asked,
                is_lone: true,
            };
            let at = estimator.due(interest).unwrap().earliest;
            polls.push((at - accepted).as_millis());
            if at >= accepted + ms(delay) {
                let missed = asked - accepted;
                let seen = at - accepted;
                estimator.learn(CommitSample { missed, seen });
                return polls;
            }
            asked = at;
        }
    }

    #[test]
    fn an_unknown_latency_is_polled_at_growing_intervals_up_to_a_second() {
        let mut estimator = LatencyEstimator::default();
        let seen = polls(&mut estimator, 6_000);
        assert_eq!(
            seen,
            [
                50, 130, 210, 290, 370, 462, 578, 722, 903, 1129, 1411, 1764, 2205, 2756, 3445,
                4307, 5307, 6307
            ]
        );
    }

    #[test]
    fn a_constant_latency_is_polled_just_before_and_just_after_the_commit() {
        for delay in [300, 1_000, 5_000, 29_990] {
            let mut estimator = LatencyEstimator::default();
            for _ in 0..10 {
                polls(&mut estimator, delay);
            }
            let seen = polls(&mut estimator, delay);
            let [early @ .., before, after] = &seen[..] else {
                panic!("{seen:?}");
            };
            assert!(*before < delay.into() && after - before == 80, "{seen:?}");
            assert_eq!(early.len() as u64, delay.saturating_sub(80) / 1_000);
        }
    }

    #[test]
    fn the_estimate_follows_a_latency_that_changes() {
        let mut estimator = LatencyEstimator::default();
        for delay in [1_000, 100, 4_000, 0] {
            for _ in 0..12 {
                polls(&mut estimator, delay);
            }
            let last = *polls(&mut estimator, delay).last().unwrap();
            assert!(last <= u128::from(delay) + 80, "{delay}: {last}");
        }
    }

    #[test]
    fn one_late_commit_is_forgotten_after_the_next() {
        for (delay, late) in [(100, 800), (100, 2_000), (100, 600_000), (5_000, 600_000)] {
            let mut estimator = LatencyEstimator::default();
            for _ in 0..10 {
                polls(&mut estimator, delay);
            }
            polls(&mut estimator, late);
            let next = *polls(&mut estimator, delay).last().unwrap();
            assert!(next <= u128::from(delay) + 1_000, "{delay}: {next}");
            let last = *polls(&mut estimator, delay).last().unwrap();
            assert!(
                last <= u128::from(delay) + 80,
                "{delay} after {late}: {last}"
            );
        }
    }

    #[test]
    fn a_steady_stream_needs_one_poll_a_second_only() {
        let estimator = LatencyEstimator {
            expected: ms(300),
            ..LatencyEstimator::default()
        };
        let accepted = Instant::now();
        let mut interest = PollInterest::Commit {
            accepted,
            asked: accepted,
            is_lone: false,
        };
        let due = estimator.due(interest).unwrap();
        assert_eq!(due.earliest, accepted + ms(300));
        assert_eq!(due.latest, accepted + ms(1_000));
        if let PollInterest::Commit { is_lone, .. } = &mut interest {
            *is_lone = true;
        }
        assert_eq!(estimator.due(interest).unwrap().latest, accepted + ms(300));
    }
}
