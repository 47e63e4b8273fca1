//! The backoff of calls to the account host while credentials are refused.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The pause after the second consecutive refusal. There is none after the first, which usually means that a token has just
/// expired.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Counts consecutive refusals, and spaces the calls that follow them.
#[derive(Debug, Default)]
pub(super) struct AuthBackoff {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    refusals: u32,
    not_before: Option<Instant>,
}

impl AuthBackoff {
    /// A credential, or a token made of it, was refused.
    pub(super) fn refused(&self) {
        let mut state = self.state();
        if state.refusals > 0 {
            let doublings = (state.refusals - 1).min(16);
            let pause = (FIRST_PAUSE * (1 << doublings)).min(LONGEST_PAUSE);
            state.not_before = Some(Instant::now() + pause);
        }
        state.refusals = state.refusals.saturating_add(1);
    }

    /// A token was accepted, or the credential was replaced.
    pub(super) fn reset(&self) {
        *self.state() = State::default();
    }

    /// Whether the last credential or token was refused.
    pub(super) fn is_active(&self) -> bool {
        self.state().refusals > 0
    }

    /// Waits until the account host may be called.
    pub(super) async fn wait(&self) {
        let not_before = self.state().not_before;
        if let Some(at) = not_before {
            sleep_until(at).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn waited(backoff: &AuthBackoff) -> Duration {
        let start = Instant::now();
        backoff.wait().await;
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_to_ten_seconds_and_end_with_an_acceptance() {
        let backoff = AuthBackoff::default();
        assert_eq!(waited(&backoff).await, Duration::ZERO);
        for millis in [0, 250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000] {
            backoff.refused();
            assert!(backoff.is_active());
            assert_eq!(waited(&backoff).await, Duration::from_millis(millis));
        }
        backoff.refused();
        backoff.reset();
        assert!(!backoff.is_active());
        assert_eq!(waited(&backoff).await, Duration::ZERO);
    }
}
