//! A token, fetched once for all who need it, and renewed while it is still valid.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;

use super::flight::{SingleFlight, Stopped};
use crate::base::time::TimeSource;

/// A token is renewed at the latest this long before it expires, or in the last tenth of its life if that is shorter.
const MAX_MARGIN: Duration = Duration::from_secs(5 * 60);

/// After an early renewal failed, the next is tried this much later. Until then the valid token serves.
const RENEWAL_BACKOFF: Duration = Duration::from_secs(30);

/// A token as it was fetched.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) token: SecretString,
    pub(crate) obtained_at: SystemTime,
    pub(crate) expires_at: SystemTime,
}

/// A token to use, and which one it is.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) token: SecretString,
    /// Names this token to [`TokenCache::invalidate`].
    pub(crate) generation: u64,
}

/// Keeps one token fresh for any number of callers.
#[derive(Debug)]
pub(crate) struct TokenCache<E> {
    state: Mutex<State>,
    flight: SingleFlight<Held, E>,
}

#[derive(Debug, Default)]
struct State {
    current: Option<Current>,
    generation: u64,
    /// A renewal failed: the next is not tried before.
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
    /// A token that is valid now. `fetch` runs at most once at a time, in a separate task. While the old token is valid no
    /// caller waits for that task, and its failure is not an error; otherwise all callers share its result.
    ///
    /// Cancel safe: a fetch that was begun goes on, and the next caller has what it brings.
    ///
    /// # Errors
    ///
    /// What `fetch` fails with, if there is no valid token.
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
                let fetched = fetch.await.inspect_err(|_| cache.put_off_renewal())?;
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
    /// Drops the token of that generation: the server refuses it. A newer one stays, so that many who were refused
    /// with one token cause one fetch. Says whether it was the current one.
    pub(crate) fn invalidate(&self, generation: u64) -> bool {
        let mut state = lock(&self.state);
        let refused = state
            .current
            .take_if(|current| current.held.generation == generation);
        refused.is_some()
    }

    /// Drops this token, if it is the current one.
    pub(crate) fn forget(&self, token: &SecretString) {
        let mut state = lock(&self.state);
        state
            .current
            .take_if(|current| current.held.token.expose_secret() == token.expose_secret());
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
            generation: state.generation,
        };
        state.current = Some(Current {
            held: held.clone(),
            renew_at: fetched.expires_at - margin,
            expires_at: fetched.expires_at,
        });
        held
    }

    fn put_off_renewal(&self) {
        lock(&self.state).next_renewal = Some(Instant::now() + RENEWAL_BACKOFF);
    }
}

/// A poisoned lock holds plain values that are each written in one step, so they are whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
