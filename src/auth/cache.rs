//! The scoped token, fetched once for all, and the single flight it is fetched in.

use std::fmt;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use secrecy::{ExposeSecret as _, SecretString};

use crate::time::TimeSource;

/// A token is renewed at the latest this long before it expires, or in the last tenth of its life if that is shorter.
const MAX_MARGIN: Duration = Duration::from_secs(5 * 60);

/// After an early renewal failed, the next is tried this much later. Until then the valid token serves.
const RENEWAL_BACKOFF: Duration = Duration::from_secs(30);

/// A token as it was fetched.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) token: SecretString,
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
    flight: SingleFlight<E>,
}

#[derive(Debug, Default)]
struct State {
    current: Option<Current>,
    generation: u64,
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

impl<E: Clone> TokenCache<E> {
    /// A token that is valid now. `fetch` runs at most once at a time, whoever asks; all who wait for it share its
    /// result. While the old token is valid nobody waits but the caller that renews it, and a failure is not an error.
    ///
    /// Cancel safe: a fetch that is dropped leaves the cache as it was, and the next waiting caller fetches.
    ///
    /// # Errors
    ///
    /// What `fetch` fails with, if there is no valid token.
    pub(crate) async fn get<F, Fut>(&self, time: &dyn TimeSource, fetch: F) -> Result<Held, E>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Fetched, E>>,
    {
        match self.look(time.now()) {
            Look::Fresh(held) => Ok(held),
            Look::Due(held) => {
                let renewal = self
                    .flight
                    .try_run(async || Ok(self.store(fetch().await?, time.now())));
                match renewal.await {
                    Some(Ok(renewed)) => Ok(renewed),
                    Some(Err(_)) => {
                        self.put_off_renewal(held.generation, time.now());
                        Ok(held)
                    }
                    None => Ok(held),
                }
            }
            Look::Nothing => {
                let valid = || match self.look(time.now()) {
                    Look::Fresh(held) | Look::Due(held) => Some(held),
                    Look::Nothing => None,
                };
                self.flight
                    .run(valid, async || Ok(self.store(fetch().await?, time.now())))
                    .await
            }
        }
    }

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
        match &lock(&self.state).current {
            Some(current) if now < current.renew_at => Look::Fresh(current.held.clone()),
            Some(current) if now < current.expires_at => Look::Due(current.held.clone()),
            _ => Look::Nothing,
        }
    }

    fn store(&self, fetched: Fetched, now: SystemTime) -> Held {
        let life = fetched.expires_at.duration_since(now).unwrap_or_default();
        let margin = MAX_MARGIN.min(life / 10);
        let mut state = lock(&self.state);
        state.generation += 1;
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

    fn put_off_renewal(&self, generation: u64, now: SystemTime) {
        let later = now + RENEWAL_BACKOFF;
        let mut state = lock(&self.state);
        if let Some(current) = &mut state.current
            && current.held.generation == generation
        {
            current.renew_at = later.min(current.expires_at);
        }
    }
}

/// Runs one piece of work at a time; those who waited for it share its failure instead of each trying in turn.
pub(crate) struct SingleFlight<E> {
    turn: tokio::sync::Mutex<()>,
    failures: Mutex<Failures<E>>,
}

struct Failures<E> {
    count: u64,
    last: Option<E>,
}

impl<E> Default for SingleFlight<E> {
    fn default() -> Self {
        Self {
            turn: tokio::sync::Mutex::new(()),
            failures: Mutex::new(Failures {
                count: 0,
                last: None,
            }),
        }
    }
}

impl<E> fmt::Debug for SingleFlight<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleFlight").finish_non_exhaustive()
    }
}

impl<E: Clone> SingleFlight<E> {
    /// Waits for its turn, then takes what is `ready`, shares the failure of the work it waited for, or does `work`.
    /// `work` stores its result where `ready` finds it.
    pub(crate) async fn run<T, R, F, Fut>(&self, ready: R, work: F) -> Result<T, E>
    where
        R: Fn() -> Option<T>,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let seen = lock(&self.failures).count;
        let _turn = self.turn.lock().await;
        if let Some(value) = ready() {
            return Ok(value);
        }
        {
            let failures = lock(&self.failures);
            if failures.count != seen
                && let Some(shared) = &failures.last
            {
                return Err(shared.clone());
            }
        }
        self.note(work().await)
    }

    /// Does `work` unless some is being done already.
    pub(crate) async fn try_run<T, F, Fut>(&self, work: F) -> Option<Result<T, E>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let _turn = self.turn.try_lock().ok()?;
        Some(self.note(work().await))
    }

    fn note<T>(&self, result: Result<T, E>) -> Result<T, E> {
        if let Err(error) = &result {
            let mut failures = lock(&self.failures);
            failures.count += 1;
            failures.last = Some(error.clone());
        }
        result
    }
}

/// A poisoned lock holds plain values that are each written in one step, so they are whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
