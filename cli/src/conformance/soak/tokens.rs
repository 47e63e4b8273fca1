//! Tokens that expire: a transport that counts the requests of the writers, and takes the token of some of them away.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use http::{HeaderValue, StatusCode, header};

use super::faults::{EXPIRED_SENT, Faults, TOKEN_REFUSED};
use crate::conformance::wire::token_expiry;
use snowpipe_streaming::time::TimeSource;
use snowpipe_streaming::transport::{Request, Response, Transport, TransportError};

/// How many of a thousand requests meet a token that is no longer valid.
const EXPIRED: u32 = 5;

/// A transport on which tokens expire. As soon as a token of the ingest host has expired, requests are sent with that one, so that
/// the service itself refuses them. Before that, the refusal is made here: no client can shorten a token's life.
#[derive(Debug)]
pub(super) struct ExpiringTokens {
    inner: Arc<dyn Transport>,
    time: Arc<dyn TimeSource>,
    faults: Faults,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    requests: u64,
    /// Of all tokens for the ingest host the one that expires first. It is marked as sensitive, so `Debug` omits it.
    oldest: Option<(HeaderValue, SystemTime)>,
}

impl ExpiringTokens {
    pub(super) fn new(
        inner: Arc<dyn Transport>,
        time: Arc<dyn TimeSource>,
        faults: Faults,
    ) -> Self {
        Self {
            inner,
            time,
            faults,
            seen: Mutex::default(),
        }
    }

    /// The number of requests.
    pub(super) fn requests(&self) -> u64 {
        self.seen().requests
    }

    /// Takes note of a request to the ingest host, and returns a token that has expired and can take the place of its token.
    fn note(&self, request: &Request) -> Option<HeaderValue> {
        let mut seen = self.seen();
        let token = request.headers().get(header::AUTHORIZATION);
        let expiring = token.and_then(|token| {
            let bearer = token.to_str().ok()?.strip_prefix("Bearer ")?;
            Some((token.clone(), token_expiry(bearer)?))
        });
        let is_older = |(_, end): &(HeaderValue, SystemTime)| {
            let oldest = seen.oldest.as_ref();
            oldest.is_none_or(|(_, oldest)| end < oldest)
        };
        if let Some(older) = expiring.filter(is_older) {
            seen.oldest = Some(older);
        }
        let (token, end) = seen.oldest.as_ref()?;
        (*end <= self.time.now()).then(|| token.clone())
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a request carries a token of the ingest host, and not the credential of the account host.
fn is_for_ingest_host(request: &Request) -> bool {
    let path = request.uri().path();
    path.starts_with("/v2/streaming/") && path != "/v2/streaming/hostname"
}

#[async_trait]
impl Transport for ExpiringTokens {
    async fn call(&self, mut request: Request) -> Result<Response, TransportError> {
        self.seen().requests += 1;
        if !is_for_ingest_host(&request) {
            return self.inner.call(request).await;
        }
        let expired = self.note(&request);
        if self.faults.draw(&[(EXPIRED, ())]).is_none() {
            return self.inner.call(request).await;
        }
        if let Some(token) = expired {
            self.faults.count(EXPIRED_SENT);
            request.headers_mut().insert(header::AUTHORIZATION, token);
            return self.inner.call(request).await;
        }
        self.faults.count(TOKEN_REFUSED);
        let mut answer = Response::new(bytes::Bytes::from_static(
            br#"{"code":"390318","message":"the soak let the token expire"}"#,
        ));
        *answer.status_mut() = StatusCode::UNAUTHORIZED;
        Ok(answer)
    }
}
