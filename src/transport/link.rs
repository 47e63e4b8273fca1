//! The way to the servers: the ingest host is discovered, a token fetched, and one call made with it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode, header};
use secrecy::ExposeSecret;
use tokio::time::Instant;
use tracing::debug;
use url::{Position, Url, form_urlencoded};

use super::api::ApiConfig;
use super::call::{Attempt, Call, user_agent};
use super::clock::HostClock;
use super::doubt::Doubt;
use super::failure::{Failure, Host, answered, unanswered};
use super::wire::{self, IngestHost};
use super::{Response, Transport, TransportError, TransportErrorKind};
use crate::auth::cache::{Fetched, Held, SingleFlight, TokenCache};
use crate::auth::{Bearer, Credential, CredentialContext};
use crate::error::{Error, ErrorKind};
use crate::metrics::{Counters, Endpoint};
use crate::time::TimeSource;

/// How long a scoped token lives if it does not say.
const TOKEN_LIFE: Duration = Duration::from_secs(55 * 60);

const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");

/// The account host, the ingest host behind it, and who we are to them.
#[derive(Debug)]
pub(super) struct Link {
    account_url: Url,
    account_base: String,
    account: String,
    user_agent: HeaderValue,
    attempt_timeout: Duration,
    credential: Mutex<Arc<dyn Credential>>,
    transport: Arc<dyn Transport>,
    clock: HostClock,
    doubt: Doubt,
    ingest: Mutex<Option<Arc<Ingest>>>,
    discovery: SingleFlight<Failure>,
    counters: Arc<Counters>,
}

/// The ingest host with the token for it. They are forgotten together.
#[derive(Debug)]
struct Ingest {
    at: IngestHost,
    tokens: TokenCache<Failure>,
    /// The generation of a token that was fetched because of a 403, and was answered the same.
    forbidden: AtomicU64,
}

impl Ingest {
    fn new(at: IngestHost) -> Self {
        Self {
            at,
            tokens: TokenCache::default(),
            forbidden: AtomicU64::new(0),
        }
    }
}

impl Link {
    pub(super) fn new(
        config: &ApiConfig,
        credential: Arc<dyn Credential>,
        transport: Arc<dyn Transport>,
        time: Arc<dyn TimeSource>,
    ) -> Self {
        let url = &config.account_url;
        Self {
            account_base: format!(
                "{}://{}",
                url.scheme(),
                &url[Position::BeforeHost..Position::AfterPort]
            ),
            account_url: url.clone(),
            account: config.account.clone(),
            user_agent: user_agent(config.application.as_deref()),
            attempt_timeout: config.attempt_timeout,
            credential: Mutex::new(credential),
            transport,
            clock: HostClock::new(time),
            doubt: Doubt::default(),
            ingest: Mutex::default(),
            discovery: SingleFlight::default(),
            counters: Arc::default(),
        }
    }

    /// Discovers the ingest host and fetches a token, unless both are known.
    pub(super) async fn connect(&self, attempt: Attempt) -> Result<(), Failure> {
        let ingest = self.ingest(attempt).await?;
        self.token(&ingest, attempt).await?;
        Ok(())
    }

    /// Discovers the ingest host, unless it is known.
    #[cfg(feature = "cli")]
    pub(super) async fn ingest_host(&self, attempt: Attempt) -> Result<IngestHost, Failure> {
        Ok(self.ingest(attempt).await?.at.clone())
    }

    /// Proves who we are with another credential from now on. Tokens of the old one go on being used by requests that are
    /// under way, and by nothing else.
    pub(super) fn set_credential(&self, credential: Arc<dyn Credential>) {
        *self.held_credential() = credential;
        let mut ingest = self.known_ingest();
        *ingest = ingest
            .take()
            .map(|ingest| Arc::new(Ingest::new(ingest.at.clone())));
        self.doubt.settled();
    }

    /// What is counted of the calls, and of what is sent with them.
    pub(super) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Forgets the ingest host and its token.
    pub(super) fn forget(&self) {
        *self.known_ingest() = None;
    }

    /// Makes a call on the ingest host, with one fresh token if the first is refused, and reads a success.
    pub(super) async fn call<T>(
        &self,
        call: &Call,
        attempt: Attempt,
        read: impl FnOnce(&Response) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let response = self.reach(call, attempt).await?;
        let result = if response.status().is_success() {
            read(&response)
        } else {
            Err(answered(
                Host::Ingest,
                &call.what,
                &response,
                self.clock.now(),
            ))
        };
        result.map_err(|failure| failure.of(attempt.request_id))
    }

    /// The answer to a call. A refused request was not acted on, so it goes out again as the same attempt, with a token
    /// that was fetched since; once, and only if no other token has just been refused.
    async fn reach(&self, call: &Call, attempt: Attempt) -> Result<Response, Failure> {
        let ingest = self.ingest(attempt).await?;
        let held = self.token(&ingest, attempt).await?;
        let response = self
            .send(call, &ingest.at.base, &scoped(&held), attempt)
            .await?;
        let status = response.status();
        if !self.is_worth_another_token(&ingest, &held, status) {
            return Ok(response);
        }
        debug!(request_id = %attempt.request_id, %status, "the scoped token was refused, fetching another");
        let next = self.token(&ingest, attempt).await?;
        if next.token.expose_secret() == held.token.expose_secret() {
            if status == StatusCode::UNAUTHORIZED {
                return Err(same_again(call));
            }
            ingest.forbidden.store(next.generation, Ordering::Relaxed);
            return Ok(response);
        }
        let response = self
            .send(call, &ingest.at.base, &scoped(&next), attempt)
            .await?;
        if response.status() == StatusCode::FORBIDDEN {
            ingest.forbidden.store(next.generation, Ordering::Relaxed);
        } else {
            self.is_worth_another_token(&ingest, &next, response.status());
        }
        Ok(response)
    }

    /// Notes what a status says of the token, and drops a token that is refused.
    fn is_worth_another_token(&self, ingest: &Ingest, held: &Held, status: StatusCode) -> bool {
        match status {
            StatusCode::UNAUTHORIZED => {
                let was_raised = self.doubt.is_raised();
                let was_current = ingest.tokens.invalidate(held.generation);
                if was_current {
                    self.doubt.refused();
                }
                !(was_current && was_raised)
            }
            // Rights are the role's. A token may be from before they were granted, but the next one is not.
            StatusCode::FORBIDDEN => {
                let is_first = ingest.forbidden.load(Ordering::Relaxed) != held.generation;
                if is_first {
                    ingest.tokens.invalidate(held.generation);
                }
                is_first
            }
            _ => {
                self.doubt.settled();
                false
            }
        }
    }

    async fn ingest(&self, attempt: Attempt) -> Result<Arc<Ingest>, Failure> {
        let known = || self.known_ingest().clone();
        if let Some(ingest) = known() {
            return Ok(ingest);
        }
        self.discovery
            .run(known, async || {
                let ingest = self
                    .discover(attempt)
                    .await
                    .map_err(|failure| failure.before_sending().of(attempt.request_id))?;
                let ingest = Arc::new(ingest);
                *self.known_ingest() = Some(Arc::clone(&ingest));
                Ok(ingest)
            })
            .await
    }

    async fn discover(&self, attempt: Attempt) -> Result<Ingest, Failure> {
        let what = format!("discovering the ingest host of account {}", self.account);
        let call = Call::new(
            Endpoint::Hostname,
            what,
            Method::GET,
            "/v2/streaming/hostname".to_owned(),
        );
        self.doubt.wait().await;
        let response = self
            .call_account(&*self.credential(), &call, attempt)
            .await?;
        let at =
            wire::ingest_host(response.body(), &self.account_url).map_err(Failure::Ambiguous)?;
        debug!(host = at.host, "discovered the ingest host");
        Ok(Ingest::new(at))
    }

    async fn token(&self, ingest: &Ingest, attempt: Attempt) -> Result<Held, Failure> {
        ingest
            .tokens
            .get(&self.clock, async || {
                self.fetch_token(&ingest.at.host, attempt)
                    .await
                    .map_err(|failure| failure.before_sending().of(attempt.request_id))
            })
            .await
    }

    async fn fetch_token(&self, ingest_host: &str, attempt: Attempt) -> Result<Fetched, Failure> {
        let what = format!(
            "exchanging the credential of account {} for a token",
            self.account
        );
        self.doubt.wait().await;
        let credential = self.credential();
        let mut call = Call::new(
            Endpoint::Token,
            what,
            Method::POST,
            "/oauth/token".to_owned(),
        );
        call.headers = vec![(header::CONTENT_TYPE, FORM)];
        call.body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(credential.exchange_form(ingest_host))
            .finish()
            .into();
        let response = self.call_account(&*credential, &call, attempt).await?;
        let token = wire::scoped_token(response.body()).map_err(Failure::Ambiguous)?;
        let now = self.clock.now();
        // A token that is past its end on arrival tells of a clock that is off, not of a useless token.
        let expires_at = wire::token_expiry(token.expose_secret())
            .filter(|end| *end > now)
            .unwrap_or(now + TOKEN_LIFE);
        debug!("fetched a scoped token");
        Ok(Fetched { token, expires_at })
    }

    /// Makes a call to the account host and returns a success.
    #[cfg(feature = "sql-api")]
    pub(super) async fn account(&self, call: &Call, attempt: Attempt) -> Result<Response, Failure> {
        self.call_account(&*self.credential(), call, attempt).await
    }

    /// A call to the account host. If the bearer token is refused and the credential or the clock has another one to offer,
    /// it goes out once more as the same attempt.
    async fn call_account(
        &self,
        credential: &dyn Credential,
        call: &Call,
        attempt: Attempt,
    ) -> Result<Response, Failure> {
        let bearer = self.bearer(credential).await?;
        let mut response = self
            .send(call, &self.account_base, &bearer, attempt)
            .await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            let has_another = credential.refused(&bearer);
            if self.clock.learn(&response) || has_another {
                let next = self.bearer(credential).await?;
                if next.token.expose_secret() != bearer.token.expose_secret() {
                    debug!(request_id = %attempt.request_id, "the credential was refused, trying its next token");
                    response = self.send(call, &self.account_base, &next, attempt).await?;
                }
            }
        }
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        if matches!(status.as_u16(), 400 | 401 | 403) {
            self.doubt.refused();
        }
        let host = match call.endpoint {
            #[cfg(feature = "sql-api")]
            Endpoint::Statement => Host::Statements,
            _ => Host::Account,
        };
        Err(answered(host, &call.what, &response, self.clock.now()))
    }

    async fn bearer(&self, credential: &dyn Credential) -> Result<Bearer, Failure> {
        let limit = self.attempt_timeout.saturating_mul(2);
        let context = CredentialContext {
            time: &self.clock,
            account_url: &self.account_url,
            transport: &self.transport,
            attempt_timeout: self.attempt_timeout,
        };
        let bearer = tokio::time::timeout(limit, credential.bearer(context))
            .await
            .unwrap_or_else(|_| {
                let account = &self.account;
                let message =
                    format!("the credential of account {account} gave no token within {limit:?}");
                Err(Error::new(ErrorKind::Timeout, message))
            });
        bearer.map_err(|error| {
            if !error.is_retryable() {
                self.doubt.refused();
            }
            Failure::NotSent(error)
        })
    }

    /// One network call within its deadline.
    async fn send(
        &self,
        call: &Call,
        base: &str,
        bearer: &Bearer,
        attempt: Attempt,
    ) -> Result<Response, Failure> {
        let request = call
            .request(base, bearer, attempt, &self.user_agent)
            .map_err(|failure| failure.of(attempt.request_id))?;
        if call.endpoint == Endpoint::Append {
            self.counters.bytes_sent(call.body.len());
        }
        let limit = self.attempt_timeout;
        let started = Instant::now();
        let outcome = tokio::time::timeout(limit, self.transport.call(request))
            .await
            .unwrap_or_else(|_| {
                Err(TransportError::new(
                    TransportErrorKind::Timeout,
                    format!("no answer within {limit:?}"),
                ))
            });
        let status = outcome.as_ref().ok().map(Response::status);
        let elapsed = started.elapsed();
        self.counters
            .called(call.endpoint, attempt.retry_count, status, elapsed);
        debug!(
            call = call.what,
            request_id = %attempt.request_id,
            retry = attempt.retry_count,
            bytes = call.body.len(),
            status = status.map(|status| status.as_u16()),
            failure = outcome.as_ref().err().map(tracing::field::display),
            ?elapsed,
            "called",
        );
        outcome.map_err(|why| unanswered(&call.what, why).of(attempt.request_id))
    }

    fn credential(&self) -> Arc<dyn Credential> {
        Arc::clone(&self.held_credential())
    }

    fn held_credential(&self) -> MutexGuard<'_, Arc<dyn Credential>> {
        self.credential
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn known_ingest(&self) -> MutexGuard<'_, Option<Arc<Ingest>>> {
        self.ingest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn scoped(held: &Held) -> Bearer {
    Bearer::new(held.token.clone(), "OAUTH")
}

/// The ingest host refused a token, and the account host has no other.
fn same_again(call: &Call) -> Failure {
    let status = StatusCode::UNAUTHORIZED.as_u16();
    let message = format!(
        "{} failed: the ingest host refused its token, and the account host gave the same token again; check that the user may log in, or use another credential",
        call.what
    );
    Failure::Answered {
        status,
        code: None,
        error: Error::new(ErrorKind::Authentication, message).with_status(status),
    }
}
