//! How long to wait before the account host is asked again, once credentials are refused.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The pause after the second refusal in a row; after the first there is none, for most often a token has just expired.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Counts refusals without an acceptance between them, and spaces what is asked because of them.
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

    /// A token was taken, or there is another credential.
    pub(super) fn settled(&self) {
        *self.state() = State::default();
    }

    pub(super) fn is_raised(&self) -> bool {
        self.state().refusals > 0
    }

    /// Waits until the account host may be asked.
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

    async fn waited(doubt: &AuthBackoff) -> Duration {
        let start = Instant::now();
        doubt.wait().await;
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_to_ten_seconds_and_end_with_an_acceptance() {
        let doubt = AuthBackoff::default();
        assert_eq!(waited(&doubt).await, Duration::ZERO);
        for millis in [0, 250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000] {
            doubt.refused();
            assert!(doubt.is_raised());
            assert_eq!(waited(&doubt).await, Duration::from_millis(millis));
        }
        doubt.refused();
        doubt.settled();
        assert!(!doubt.is_raised());
        assert_eq!(waited(&doubt).await, Duration::ZERO);
    }
}
