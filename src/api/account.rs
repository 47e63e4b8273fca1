//! The account host: authenticated calls, the discovery of the ingest host, and the exchange of tokens for it.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode, header};
use tokio::time::Instant;
use tracing::debug;
use url::{Position, Url, form_urlencoded};

use super::ApiConfig;
use super::auth_backoff::AuthBackoff;
use super::call::{Attempt, Call, user_agent};
use super::clock::HostClock;
use super::failure::{Failure, Host, SentWith, answered, unanswered};
use super::wire::{self, IngestHost};
use crate::auth::cache::Fetched;
use crate::auth::{Bearer, Credential, CredentialContext};
use crate::base::metrics::{Counters, Endpoint};
use crate::base::time::TimeSource;
use crate::http::client::MAX_RESPONSE;
use crate::http::{MAX_ANSWER, Response, Transport};
use crate::types::error::{Error, ErrorKind};
use crate::types::secret::Secret;

/// The assumed lifetime of a token without an expiry.
const TOKEN_LIFE: Duration = Duration::from_secs(55 * 60);

const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");

/// The account host, with the credential and what is learned from its answers.
#[derive(Debug)]
pub(super) struct Account {
    url: Url,
    base: String,
    name: String,
    user_agent: HeaderValue,
    attempt_timeout: Duration,
    credential: Mutex<Arc<dyn Credential>>,
    transport: Arc<dyn Transport>,
    pub(super) clock: HostClock,
    pub(super) auth_backoff: AuthBackoff,
    pub(super) counters: Arc<Counters>,
}

impl Account {
    pub(super) fn new(
        config: &ApiConfig,
        credential: Arc<dyn Credential>,
        transport: Arc<dyn Transport>,
        time: Arc<dyn TimeSource>,
    ) -> Self {
        let url = &config.account_url;
        Self {
            base: format!(
                "{}://{}",
                url.scheme(),
                &url[Position::BeforeHost..Position::AfterPort]
            ),
            url: url.clone(),
            name: config.account.clone(),
            user_agent: user_agent(config.application.as_deref()),
            attempt_timeout: config.attempt_timeout,
            credential: Mutex::new(credential),
            transport,
            clock: HostClock::new(time),
            auth_backoff: AuthBackoff::default(),
            counters: Arc::default(),
        }
    }

    /// Replaces the credential.
    pub(super) fn set_credential(&self, credential: Arc<dyn Credential>) {
        *self.held_credential() = credential;
        self.auth_backoff.reset();
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Discovers the ingest host.
    pub(super) async fn discover(&self, attempt: Attempt) -> Result<IngestHost, Failure> {
        let what = format!("discovering the ingest host of account {}", self.name);
        let call = Call::new(
            Endpoint::Hostname,
            what,
            Method::GET,
            "/v2/streaming/hostname".to_owned(),
        );
        self.auth_backoff.wait(attempt.request_id).await;
        let credential = self.credential();
        let response = self
            .call_with(&*credential, |_| Cow::Borrowed(&call), attempt)
            .await?;
        let at = wire::ingest_host(response.body(), &self.url)
            .map_err(|why| Failure::Ambiguous(why).hiding_bearer(&response))?;
        debug!(host = at.host, "discovered the ingest host");
        Ok(at)
    }

    /// A token for the ingest host: one that the credential is exchanged for, or the credential's own.
    pub(super) async fn ingest_token(
        &self,
        ingest_host: &str,
        attempt: Attempt,
    ) -> Result<Fetched, Failure> {
        self.auth_backoff.wait(attempt.request_id).await;
        let credential = self.credential();
        let (token, token_type) = if credential.is_exchanged() {
            let started = Instant::now();
            let token = self.exchange(&*credential, ingest_host, attempt).await?;
            self.auth_backoff.exchanged(started.elapsed());
            (token, "OAUTH")
        } else {
            // Snowflake recognizes the token ("Set up the Snowpipe REST API"), and its own Openflow sends no type to this host.
            (self.bearer(&*credential).await?.token, "")
        };
        let now = self.clock.now();
        // If a token seems expired on arrival, a clock is wrong, and the token is still usable.
        let expires_at = wire::token_expiry(token.expose())
            .filter(|end| *end > now)
            .unwrap_or(now + TOKEN_LIFE);
        debug!("fetched a token for the ingest host");
        Ok(Fetched {
            token,
            token_type,
            obtained_at: now,
            expires_at,
        })
    }

    /// Exchanges the credential for a token that is scoped to the ingest host.
    async fn exchange(
        &self,
        credential: &dyn Credential,
        ingest_host: &str,
        attempt: Attempt,
    ) -> Result<Secret, Failure> {
        let what = format!(
            "exchanging the credential of account {} for a token",
            self.name
        );
        let call = Call::new(
            Endpoint::Token,
            what,
            Method::POST,
            "/oauth/token".to_owned(),
        );
        let exchange = |bearer: &Bearer| {
            let mut call = call.clone();
            call.headers = vec![(header::CONTENT_TYPE, FORM)];
            call.body = form_urlencoded::Serializer::new(String::new())
                .extend_pairs(credential.exchange_form(bearer, ingest_host))
                .finish()
                .into();
            Cow::Owned(call)
        };
        let response = self.call_with(credential, exchange, attempt).await?;
        wire::scoped_token(response.body()).map_err(Failure::Ambiguous)
    }

    /// Makes a call to the account host and returns a success.
    #[cfg(feature = "sql-api")]
    pub(super) async fn call(&self, call: &Call, attempt: Attempt) -> Result<Response, Failure> {
        let credential = self.credential();
        self.call_with(&*credential, |_| Cow::Borrowed(call), attempt)
            .await
    }

    /// Makes the call that `call` returns for a bearer token to the account host. If the token is refused, and the credential
    /// has another one or the clock was corrected, the call is sent once more as part of the same attempt.
    async fn call_with<'c>(
        &self,
        credential: &dyn Credential,
        call: impl Fn(&Bearer) -> Cow<'c, Call> + Send + Sync,
        attempt: Attempt,
    ) -> Result<Response, Failure> {
        let bearer = self.bearer(credential).await?;
        let first = call(&bearer);
        let mut response = self.send(&first, &self.base, &bearer, attempt).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            let has_another = credential.refused(&bearer);
            if self.clock.learn(&response) || has_another {
                let next = self.bearer(credential).await?;
                if next.token.expose() != bearer.token.expose() {
                    debug!(request_id = %attempt.request_id, "the credential was refused, trying its next token");
                    response = self.send(&call(&next), &self.base, &next, attempt).await?;
                }
            }
        }
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        if matches!(status.as_u16(), 400 | 401 | 403) {
            self.auth_backoff.refused();
        }
        let host = match first.endpoint {
            #[cfg(feature = "sql-api")]
            Endpoint::Statement => Host::Statements,
            _ => Host::Account,
        };
        let refused = answered(host, &first.what, &response, self.clock.now());
        Err(refused.hiding_bearer(&response))
    }

    /// A bearer token for calls that are not made here.
    #[cfg(feature = "sql-api")]
    pub(super) async fn current_bearer(&self) -> Result<Bearer, Failure> {
        let credential = self.credential();
        self.bearer(&*credential).await
    }

    async fn bearer(&self, credential: &dyn Credential) -> Result<Bearer, Failure> {
        let limit = self.attempt_timeout.saturating_mul(2);
        let context = CredentialContext {
            time: &self.clock,
            account_url: &self.url,
            transport: &self.transport,
            attempt_timeout: self.attempt_timeout,
        };
        let bearer = tokio::time::timeout(limit, credential.bearer(context))
            .await
            .unwrap_or_else(|_| {
                let account = &self.name;
                let message =
                    format!("the credential of account {account} gave no token within {limit:?}");
                Err(Error::new(ErrorKind::Timeout, message).into())
            });
        bearer.map_err(|error| {
            if !error.is_retryable() {
                self.auth_backoff.refused();
            }
            Failure::NotSent(error.into())
        })
    }

    /// One network call within its deadline.
    pub(super) async fn send(
        &self,
        call: &Call,
        base: &str,
        bearer: &Bearer,
        attempt: Attempt,
    ) -> Result<Response, Failure> {
        let request = call
            .request(base, bearer, attempt, &self.user_agent)
            .map_err(|failure| failure.of(attempt.request_id))?;
        let counters = call.counters.as_ref().unwrap_or(&self.counters);
        if call.endpoint == Endpoint::Append {
            counters.bytes_sent(call.body.len());
        }
        let limit = self.attempt_timeout;
        let started = Instant::now();
        let max_answer = match call.endpoint {
            // The answer contains the rows of a result.
            Endpoint::Statement => MAX_RESPONSE,
            _ => MAX_ANSWER,
        };
        let mut outcome = crate::http::attempt(&*self.transport, request, limit, max_answer).await;
        if let Ok(response) = &mut outcome {
            response
                .extensions_mut()
                .insert(SentWith(bearer.token.clone()));
        }
        let status = outcome.as_ref().ok().map(Response::status);
        let elapsed = started.elapsed();
        counters.called(call.endpoint, attempt.retry_count, status, elapsed);
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
}
