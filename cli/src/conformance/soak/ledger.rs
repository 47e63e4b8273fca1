//! What the writers of a soak have appended and seen committed.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How many latencies are kept. Of a longer run each n-th one is.
const MOST_LATENCIES: usize = 100_000;

/// Latencies, thinned out evenly.
#[derive(Debug)]
pub(super) struct Latencies {
    kept: Vec<Duration>,
    /// Every how many-th one is kept.
    every: u64,
    count: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            kept: Vec::new(),
            every: 1,
            count: 0,
        }
    }
}

impl Latencies {
    pub(super) fn add(&mut self, latency: Duration) {
        if self.count.is_multiple_of(self.every) {
            self.kept.push(latency);
        }
        self.count += 1;
        if self.kept.len() == MOST_LATENCIES {
            let mut place = 0_usize;
            self.kept.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            self.every *= 2;
        }
    }

    pub(super) fn sorted(&self) -> Vec<Duration> {
        let mut sorted = self.kept.clone();
        sorted.sort_unstable();
        sorted
    }
}

/// What is known of one channel.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Known>);

#[derive(Debug, Default)]
pub(super) struct Known {
    /// How many rows were appended, those that were appended again included.
    pub(super) appended: u64,
    /// The last row that a writer has seen committed.
    pub(super) committed: Option<u64>,
    /// Times from append to committed, by the writer that appended the row.
    pub(super) to_commit: Latencies,
    /// A row that was just committed, and when it was appended, for the reader.
    pub(super) newest: Option<(u64, Instant)>,
    pub(super) opened: u64,
    pub(super) closed: u64,
    pub(super) crashed: u64,
    /// Sessions that ended because another writer took the channel.
    pub(super) fenced: u64,
    /// Sessions that ended with another error.
    pub(super) failed: u64,
    pub(super) last_error: Option<String>,
}

impl Ledger {
    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a commit through `token`, which a session with these appends has seen.
    pub(super) fn committed(&self, token: u64, pending: &mut VecDeque<(u64, Instant)>) {
        let now = Instant::now();
        let mut known = self.known();
        known.committed = known.committed.max(Some(token));
        while let Some(&(row, appended)) = pending.front()
            && row <= token
        {
            pending.pop_front();
            known.to_commit.add(now.saturating_duration_since(appended));
            known.newest = Some((row, appended));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_runs_are_thinned_out_evenly() {
        let mut latencies = Latencies::default();
        for number in 0..250_000 {
            latencies.add(Duration::from_millis(number));
        }
        let sorted = latencies.sorted();
        assert!(sorted.len() > MOST_LATENCIES / 2 && sorted.len() < MOST_LATENCIES);
        let middle = sorted[sorted.len() / 2].as_millis();
        assert!((120_000..130_000).contains(&middle), "{middle}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_commit_ends_the_wait_of_all_rows_up_to_it() {
        let ledger = Ledger::default();
        let begun = Instant::now();
        let mut pending: VecDeque<_> = (0..4).map(|row| (row, begun)).collect();
        tokio::time::advance(Duration::from_secs(2)).await;
        ledger.committed(2, &mut pending);
        assert_eq!(pending, [(3, begun)]);
        let known = ledger.known();
        assert_eq!(known.committed, Some(2));
        assert_eq!(known.newest, Some((2, begun)));
        assert_eq!(known.to_commit.sorted(), [Duration::from_secs(2); 3]);
    }
}
