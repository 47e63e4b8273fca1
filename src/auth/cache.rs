//! A token that is fetched once for all callers and renewed before it expires.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::types::secret::Secret;
use tokio::time::Instant;

use super::flight::{SingleFlight, Stopped};
use crate::base::time::TimeSource;

/// The longest time before expiry at which a token is renewed. Short-lived tokens are renewed in the last tenth of their life.
const MAX_MARGIN: Duration = Duration::from_secs(5 * 60);

/// The pause after a failed early renewal. Meanwhile the valid token is used.
const RENEWAL_BACKOFF: Duration = Duration::from_secs(30);

/// A token that `fetch` returned.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) token: Secret,
    /// As in [`Bearer::new`](crate::auth::Bearer::new).
    pub(crate) token_type: &'static str,
    pub(crate) obtained_at: SystemTime,
    pub(crate) expires_at: SystemTime,
}

/// A valid token and its generation.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) token: Secret,
    pub(crate) token_type: &'static str,
    /// Identifies this token in [`TokenCache::invalidate`].
    pub(crate) generation: u64,
}

/// Keeps one token valid for any number of callers.
#[derive(Debug)]
pub(crate) struct TokenCache<E> {
    state: Mutex<State>,
    flight: SingleFlight<Held, E>,
}

#[derive(Debug, Default)]
struct State {
    current: Option<Current>,
    generation: u64,
    /// After a failed renewal, the earliest time of the next.
    next_renewal: Option<Instant>,
}

#[derive(Debug)]
struct Current {
    held: Held,
    renew_at: SystemTime,
    expires_at: SystemTime,
}

enum Look {
    Fresh(Held),
    Due(Held),
    Nothing,
}

impl<E> Default for TokenCache<E> {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            flight: SingleFlight::default(),
        }
    }
}

impl<E: Clone + From<Stopped> + Send + Sync + 'static> TokenCache<E> {
    /// Returns a valid token. At most one `fetch` runs at a time, in a separate task. While the current token is valid, callers
    /// do not wait for the fetch and do not see its failure. Otherwise all callers share its result.
    ///
    /// Cancel safe: a running fetch continues, and the next caller gets its result.
    ///
    /// # Errors
    ///
    /// The error of `fetch`, if there is no valid token.
    pub(crate) async fn get<F, Fut>(
        self: &Arc<Self>,
        time: &dyn TimeSource,
        fetch: F,
    ) -> Result<Held, E>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<Fetched, E>> + Send + 'static,
    {
        let work = || {
            let (cache, fetch) = (Arc::clone(self), fetch());
            async move {
                let fetched = fetch.await.inspect_err(|_| cache.delay_renewal())?;
                Ok(cache.store(fetched))
            }
        };
        match self.look(time.now()) {
            Look::Fresh(held) => Ok(held),
            Look::Due(held) => {
                self.flight.start(work);
                Ok(held)
            }
            Look::Nothing => {
                let valid = || match self.look(time.now()) {
                    Look::Fresh(held) | Look::Due(held) => Some(held),
                    Look::Nothing => None,
                };
                self.flight.run(valid, work).await
            }
        }
    }
}

impl<E> TokenCache<E> {
    /// Drops the token of this generation because the server refused it. A newer token stays, so that many refusals of one
    /// token cause one fetch. Returns whether the token was the current one.
    pub(crate) fn invalidate(&self, generation: u64) -> bool {
        let mut state = lock(&self.state);
        let refused = state
            .current
            .take_if(|current| current.held.generation == generation);
        refused.is_some()
    }

    /// Drops this token, if it is the current one.
    pub(crate) fn forget(&self, token: &Secret) {
        let mut state = lock(&self.state);
        state
            .current
            .take_if(|current| current.held.token.expose() == token.expose());
    }

    fn look(&self, now: SystemTime) -> Look {
        let state = lock(&self.state);
        let may_renew = state.next_renewal.is_none_or(|at| at <= Instant::now());
        match &state.current {
            Some(current) if now >= current.expires_at => Look::Nothing,
            Some(current) if now >= current.renew_at && may_renew => {
                Look::Due(current.held.clone())
            }
            Some(current) => Look::Fresh(current.held.clone()),
            None => Look::Nothing,
        }
    }

    fn store(&self, fetched: Fetched) -> Held {
        let life = fetched.expires_at.duration_since(fetched.obtained_at);
        let margin = MAX_MARGIN.min(life.unwrap_or_default() / 10);
        let mut state = lock(&self.state);
        state.generation += 1;
        state.next_renewal = None;
        let held = Held {
            token: fetched.token,
            token_type: fetched.token_type,
            generation: state.generation,
        };
        state.current = Some(Current {
            held: held.clone(),
            renew_at: fetched.expires_at - margin,
            expires_at: fetched.expires_at,
        });
        held
    }

    fn delay_renewal(&self) {
        lock(&self.state).next_renewal = Some(Instant::now() + RENEWAL_BACKOFF);
    }
}

/// Each value behind the lock is written in one step, so the state is consistent even if the lock is poisoned.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
