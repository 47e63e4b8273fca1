//! The session with an account: it discovers the ingest host, keeps a token for it, and makes calls with that token.
//!
//! A refused token is replaced by another one, which costs an exchange or a look at the credential. A 401 is answered with
//! another token within the attempt, unless that token was refused just before; a 403 only once. From the second refusal on
//! there are pauses (`auth_backoff`), and after a few refusals in a row the channel is invalidated as `Unauthorized`. The token
//! of a workload identity is not exchanged: it goes to the ingest host itself and is kept until shortly before the `exp` in it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;
use tracing::{debug, info};

use super::ApiConfig;
use super::account::Account;
use super::call::{Attempt, Call};
use super::failure::{Failure, Host, answered};
use super::wire::IngestHost;
#[cfg(feature = "sql-api")]
use crate::auth::Bearer;
use crate::auth::Credential;
use crate::auth::cache::{Held, TokenCache};
use crate::auth::flight::SingleFlight;
use crate::base::metrics::Counters;
use crate::base::retry::Backoff;
use crate::base::task;
use crate::base::time::TimeSource;
use crate::http::{Response, Transport};
use crate::types::error::{Error, ErrorKind};

/// The ingest host, and the account host through which it is discovered.
#[derive(Debug)]
pub(super) struct Session {
    account: Arc<Account>,
    ingest: Arc<Mutex<Option<Arc<Ingest>>>>,
    discovery: SingleFlight<Arc<Ingest>, Failure>,
    rediscovery: Arc<Mutex<Rediscovery>>,
}

/// The first and the longest time in which a pipe that is not found at its host does not lead to another discovery, after one
/// that changed nothing.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// When the host may be discovered again.
#[derive(Debug)]
struct Rediscovery {
    pause: Backoff,
    not_before: Option<Instant>,
}

impl Default for Rediscovery {
    fn default() -> Self {
        Self {
            pause: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            not_before: None,
        }
    }
}

impl Rediscovery {
    fn is_allowed(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|at| at <= now)
    }

    /// A discovery has ended.
    fn ended(&mut self, now: Instant, has_moved: bool) {
        if has_moved {
            *self = Self::default();
        } else {
            self.not_before = Some(now + self.pause.next(1.0));
        }
    }
}

/// The ingest host with its token. Another host needs another token.
#[derive(Debug)]
struct Ingest {
    at: IngestHost,
    tokens: Arc<TokenCache<Failure>>,
    /// The generation of the token that was accepted last.
    accepted: AtomicU64,
    /// The generation of a token that was fetched because of a 403 and was answered with a 403 as well.
    forbidden: AtomicU64,
}

impl Ingest {
    fn new(at: IngestHost) -> Self {
        Self {
            at,
            tokens: Arc::default(),
            accepted: AtomicU64::new(0),
            forbidden: AtomicU64::new(0),
        }
    }
}

impl Session {
    pub(super) fn new(
        config: &ApiConfig,
        credential: Arc<dyn Credential>,
        transport: Arc<dyn Transport>,
        time: Arc<dyn TimeSource>,
    ) -> Self {
        Self {
            account: Arc::new(Account::new(config, credential, transport, time)),
            ingest: Arc::default(),
            discovery: SingleFlight::default(),
            rediscovery: Arc::default(),
        }
    }

    /// Discovers the ingest host and fetches a token, unless both are known.
    pub(super) async fn connect(&self, attempt: Attempt) -> Result<(), Failure> {
        let ingest = self.ingest(attempt).await?;
        self.token(&ingest, attempt).await?;
        Ok(())
    }

    /// Discovers the ingest host, unless it is known.
    #[cfg(feature = "doctor")]
    pub(super) async fn ingest_host(&self, attempt: Attempt) -> Result<IngestHost, Failure> {
        Ok(self.ingest(attempt).await?.at.clone())
    }

    /// Replaces the credential. Only requests that are under way still use a token of the old one.
    pub(super) fn set_credential(&self, credential: Arc<dyn Credential>) {
        self.account.set_credential(credential);
        let mut ingest = self.known_ingest();
        *ingest = ingest
            .take()
            .map(|ingest| Arc::new(Ingest::new(ingest.at.clone())));
    }

    /// The account's name.
    pub(super) fn account_name(&self) -> &str {
        self.account.name()
    }

    /// The counters of the calls and their content.
    pub(super) fn counters(&self) -> &Arc<Counters> {
        &self.account.counters
    }

    /// Makes a call to the ingest host, with one new token if the first is refused, and reads a successful answer.
    ///
    /// A panic of the transport or the clock is an answer that was lost. If it ended the task of a channel, rows that are being compressed
    /// could not be handed back.
    pub(super) async fn call<T>(
        &self,
        call: &Call,
        attempt: Attempt,
        read: impl FnOnce(&Response) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let result = task::caught(self.try_call(call, attempt, read)).await;
        result.unwrap_or_else(|| {
            let text = format!("{} failed: the transport or the clock panicked", call.what);
            let failure = Failure::Ambiguous(Error::new(ErrorKind::Unreachable, text));
            Err(failure.of(attempt.request_id))
        })
    }

    async fn try_call<T>(
        &self,
        call: &Call,
        attempt: Attempt,
        read: impl FnOnce(&Response) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let ingest = self.ingest(attempt).await?;
        let response = self.reach(&ingest, call, attempt).await?;
        let result = if response.status().is_success() {
            read(&response)
        } else {
            Err(answered(
                Host::Ingest,
                &call.what,
                &response,
                self.account.clock.now(),
            ))
        };
        let result = result.map_err(|failure| failure.hiding_bearer(&response));
        if let Err(failure) = &result
            && failure.is_moved()
        {
            self.rediscover(&ingest, failure, attempt).await;
        }
        result.map_err(|failure| failure.of(attempt.request_id))
    }

    /// Discovers the ingest host again, unless that was done since `used` was discovered, or a moment ago without a change. Calls
    /// to other pipes go on with the host and the token that are known. The token stays if the host is the same.
    async fn rediscover(&self, used: &Arc<Ingest>, why: &Failure, attempt: Attempt) {
        let other = || {
            let known = self.known_ingest().clone();
            known.filter(|known| !Arc::ptr_eq(known, used))
        };
        if other().is_some() || !locked(&self.rediscovery).is_allowed(Instant::now()) {
            return;
        }
        info!(error = %why.error(), "rediscovering the ingest host");
        let discover = || {
            let (account, found) = (Arc::clone(&self.account), Arc::clone(&self.ingest));
            let (used, rediscovery) = (Arc::clone(used), Arc::clone(&self.rediscovery));
            async move {
                let at = account.discover(attempt).await;
                let has_moved = at.as_ref().is_ok_and(|at| *at != used.at);
                locked(&rediscovery).ended(Instant::now(), has_moved);
                let at = at.map_err(Failure::before_sending)?;
                if !has_moved {
                    return Ok(used);
                }
                let ingest = Arc::new(Ingest::new(at));
                *locked(&found) = Some(Arc::clone(&ingest));
                Ok(ingest)
            }
        };
        if let Err(failure) = self.discovery.run(other, discover).await {
            debug!(error = %failure.error(), "the ingest host was not rediscovered");
        }
    }

    /// Returns the answer to a call. The server did not act on a request whose token it refused, so the request is sent again
    /// with a new token as part of the same attempt.
    async fn reach(
        &self,
        ingest: &Ingest,
        call: &Call,
        attempt: Attempt,
    ) -> Result<Response, Failure> {
        let mut refused: Option<(Held, Response)> = None;
        let mut tries = 0;
        loop {
            let held = self.token(ingest, attempt).await?;
            let is_same =
                |(before, _): &mut (Held, _)| before.token.expose() == held.token.expose();
            if let Some((_, response)) = refused.take_if(is_same) {
                if response.status() == StatusCode::UNAUTHORIZED {
                    return Err(same_again(call));
                }
                ingest.forbidden.store(held.generation, Ordering::Relaxed);
                return Ok(response);
            }
            let response = self
                .account
                .send(call, &ingest.at.base, &held.bearer(), attempt)
                .await?;
            let status = response.status();
            tries += 1;
            if !self.is_worth_another_token(ingest, &held, status, tries) {
                return Ok(response);
            }
            debug!(request_id = %attempt.request_id, %status, "the token was refused, fetching another");
            refused = Some((held, response));
        }
    }

    /// Records what a status says about the token, drops a refused one, and returns whether to try another. `tries`: how many
    /// tokens the call has tried.
    fn is_worth_another_token(
        &self,
        ingest: &Ingest,
        held: &Held,
        status: StatusCode,
        tries: u32,
    ) -> bool {
        let auth_backoff = &self.account.auth_backoff;
        match status {
            StatusCode::UNAUTHORIZED => {
                let was_current = ingest.tokens.invalidate(held.generation);
                if was_current {
                    if ingest.accepted.load(Ordering::Relaxed) == held.generation {
                        auth_backoff.ended_early();
                    }
                    auth_backoff.refused();
                }
                let is_final = was_current && auth_backoff.is_exhausted();
                !is_final && tries < auth_backoff.most_tokens()
            }
            // The token may be older than a grant of privileges to the role. The next token is not.
            StatusCode::FORBIDDEN => {
                let forbidden = ingest.forbidden.load(Ordering::Relaxed);
                let is_first = tries == 1 && forbidden != held.generation;
                if is_first {
                    ingest.tokens.invalidate(held.generation);
                } else {
                    ingest.forbidden.store(held.generation, Ordering::Relaxed);
                }
                is_first
            }
            _ => {
                ingest
                    .accepted
                    .fetch_max(held.generation, Ordering::Relaxed);
                auth_backoff.accepted();
                false
            }
        }
    }

    async fn ingest(&self, attempt: Attempt) -> Result<Arc<Ingest>, Failure> {
        let known = || self.known_ingest().clone();
        if let Some(ingest) = known() {
            return Ok(ingest);
        }
        let discover = || {
            let (account, found) = (Arc::clone(&self.account), Arc::clone(&self.ingest));
            async move {
                let at = account.discover(attempt).await;
                let at = at.map_err(|failure| failure.before_sending().of(attempt.request_id))?;
                let ingest = Arc::new(Ingest::new(at));
                *locked(&found) = Some(Arc::clone(&ingest));
                Ok(ingest)
            }
        };
        self.discovery.run(known, discover).await
    }

    async fn token(&self, ingest: &Ingest, attempt: Attempt) -> Result<Held, Failure> {
        let fetch = || {
            let (account, host) = (Arc::clone(&self.account), ingest.at.host.clone());
            async move {
                let fetched = account.ingest_token(&host, attempt).await;
                fetched.map_err(|failure| failure.before_sending().of(attempt.request_id))
            }
        };
        ingest.tokens.get(&self.account.clock, fetch).await
    }

    /// Makes a call to the account host and returns a success.
    #[cfg(feature = "sql-api")]
    pub(super) async fn account(&self, call: &Call, attempt: Attempt) -> Result<Response, Failure> {
        self.account.call(call, attempt).await
    }

    /// A bearer token for the account host.
    #[cfg(feature = "sql-api")]
    pub(super) async fn bearer(&self) -> Result<Bearer, Failure> {
        self.account.current_bearer().await
    }

    fn known_ingest(&self) -> MutexGuard<'_, Option<Arc<Ingest>>> {
        locked(&self.ingest)
    }
}

/// Locks even if poisoned: the values are written in one step, so they are consistent.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The ingest host refused a token, and there is no other: the account host or the credential gave the same one again.
fn same_again(call: &Call) -> Failure {
    let status = StatusCode::UNAUTHORIZED.as_u16();
    let message = format!(
        "{} failed: the ingest host refused its token, and the exchange or the credential gave the same token again; check that the user may log in, or use another credential",
        call.what
    );
    Failure::Answered {
        status,
        code: None,
        error: Error::new(ErrorKind::Authentication, message).with_status(status),
    }
}
