//! The backoff of calls to the account host while credentials or tokens are refused.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

/// The pause after the second consecutive refusal, or the time of an exchange if that is longer. There is none after the first
/// refusal, which usually means that a token has just expired. Pauses are half to all of the time that is given here, so that
/// clients that end each other's tokens get out of step.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How many tokens in a row may be refused before a refusal is final: the one at hand, and one new token.
const FEW_TOKENS: u32 = 2;

/// The same if tokens that were accepted end early again and again. Should each login of a user end the token of the login
/// before, clients of one user take the only valid token from each other, and several new tokens may be refused in a row.
const MANY_TOKENS: u32 = 10;

/// After how many accepted tokens that ended early there are [`MANY_TOKENS`].
const EARLY_ENDS: u32 = 2;

/// Counts consecutive refusals, and spaces the calls that follow them.
#[derive(Debug, Default)]
pub(super) struct AuthBackoff {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    refusals: u32,
    /// When the last of them was.
    last: Option<Instant>,
    /// From 2 on, each step doubles the pause. An acceptance halves it: other clients may go on to end tokens.
    level: u32,
    /// How many tokens were accepted and later refused.
    early_ends: u32,
    /// How long the last exchange took.
    exchange: Duration,
}

impl AuthBackoff {
    /// A credential, or a token made of it, was refused.
    pub(super) fn refused(&self) {
        let mut state = self.state();
        state.refusals = state.refusals.saturating_add(1);
        state.level = state.level.saturating_add(1);
        state.last = Some(Instant::now());
    }

    /// The refused token was accepted before.
    pub(super) fn ended_early(&self) {
        let mut state = self.state();
        state.early_ends = state.early_ends.saturating_add(1);
    }

    /// A token was accepted.
    pub(super) fn accepted(&self) {
        let mut state = self.state();
        state.refusals = 0;
        state.level /= 2;
        state.last = None;
    }

    /// A credential was exchanged for a token.
    pub(super) fn exchanged(&self, took: Duration) {
        self.state().exchange = took;
    }

    /// The credential was replaced.
    pub(super) fn reset(&self) {
        *self.state() = State::default();
    }

    /// How many tokens in a row may be refused before a refusal is final.
    pub(super) fn most_tokens(&self) -> u32 {
        self.state().most_tokens()
    }

    /// Whether so many tokens in a row were refused that the last refusal is final.
    pub(super) fn is_exhausted(&self) -> bool {
        let state = self.state();
        state.refusals >= state.most_tokens()
    }

    /// Waits until the account host may be called for this request. Its id, which is random, determines the pause.
    pub(super) async fn wait(&self, request_id: Uuid) {
        let not_before = self.state().not_before(request_id);
        if let Some(at) = not_before {
            sleep_until(at).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn most_tokens(&self) -> u32 {
        match self.early_ends {
            EARLY_ENDS.. => MANY_TOKENS,
            _ => FEW_TOKENS,
        }
    }

    fn not_before(&self, request_id: Uuid) -> Option<Instant> {
        let doublings = self.level.checked_sub(2)?.min(16);
        let first = FIRST_PAUSE.max(self.exchange);
        let longest = first.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
        let (random, _) = request_id.as_u64_pair();
        let unit = fastrand::Rng::with_seed(random ^ u64::from(self.refusals)).f64();
        Some(self.last? + longest.mul_f64(0.5 + 0.5 * unit))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    async fn waited(backoff: &AuthBackoff, id: u128) -> Duration {
        let start = Instant::now();
        backoff.wait(Uuid::from_u128(id)).await;
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_to_ten_seconds_and_end_with_an_acceptance() {
        let backoff = AuthBackoff::default();
        assert_eq!(waited(&backoff, 0).await, Duration::ZERO);
        for millis in [0, 250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000] {
            backoff.refused();
            let longest = Duration::from_millis(millis);
            let waited = waited(&backoff, u128::from(millis) << 64).await;
            assert!(
                longest / 2 <= waited && waited <= longest,
                "{waited:?} {longest:?}"
            );
        }
        backoff.refused();
        backoff.accepted();
        assert!(!backoff.is_exhausted());
        assert_eq!(waited(&backoff, 0).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_with_the_time_of_an_exchange_and_shrink_with_acceptances() {
        let backoff = AuthBackoff::default();
        backoff.exchanged(Duration::from_secs(1));
        for _ in 0..4 {
            backoff.refused();
        }
        for seconds in [4, 2, 1, 1] {
            let longest = Duration::from_secs(seconds);
            let waited = waited(&backoff, 0).await;
            assert!(
                longest / 2 <= waited && waited <= longest,
                "{waited:?} {longest:?}"
            );
            backoff.accepted();
            backoff.refused();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_pauses_of_requests_differ() {
        let mut pauses = BTreeSet::new();
        for id in 0..20 {
            let backoff = AuthBackoff::default();
            for _ in 0..10 {
                backoff.refused();
            }
            pauses.insert(waited(&backoff, id << 64).await.as_secs());
        }
        assert_eq!(pauses, BTreeSet::from([5, 6, 7, 8, 9]));
    }

    #[test]
    fn tokens_that_end_early_again_and_again_allow_more_refusals() {
        let backoff = AuthBackoff::default();
        backoff.ended_early();
        backoff.refused();
        assert!(!backoff.is_exhausted());
        backoff.refused();
        assert!(backoff.is_exhausted());
        backoff.accepted();
        backoff.ended_early();
        for refusals in 0..10 {
            assert!(!backoff.is_exhausted(), "{refusals}");
            backoff.refused();
        }
        assert!(backoff.is_exhausted());
        backoff.reset();
        assert_eq!(backoff.most_tokens(), 2, "another credential");
    }
}
