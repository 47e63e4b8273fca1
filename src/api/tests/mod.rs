//! The endpoints over a scripted transport.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use crate::types::secret::Secret;
use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderValue;
use url::Url;
use uuid::Uuid;

use super::call::Attempt;
use super::failure::Failure;
use super::{Api, ApiConfig, AppendAnswer, AppendRequest};
use crate::auth::{Bearer, Credential, CredentialContext, CredentialError};
use crate::base::time::TokioClock;
use crate::http::{Request, Response, Transport, TransportError, TransportErrorKind};
use crate::types::error::{Error, ErrorKind};
use crate::types::offset::OffsetToken;

mod classification;
mod echoed_tokens;
mod end_to_end;
mod refused_tokens;
mod requests;

const ID: Uuid = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
const FIRST: Attempt = Attempt {
    request_id: ID,
    retry_count: 0,
};

/// What the server does with one request.
#[derive(Debug)]
enum Reply {
    Answer(Response),
    /// The answer arrives after this delay.
    Late(Duration, Response),
    Fail(TransportErrorKind),
    Hang,
}

fn answer(status: u16, body: &str) -> Reply {
    answer_with(status, &[], body)
}

fn answer_with(status: u16, headers: &[(&'static str, &str)], body: &str) -> Reply {
    let mut response = http::Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    Reply::Answer(response.body(Bytes::from(body.to_owned())).unwrap())
}

fn late(seconds: u64, body: &str) -> Reply {
    let response = Response::new(Bytes::from(body.to_owned()));
    Reply::Late(Duration::from_secs(seconds), response)
}

fn host() -> Reply {
    answer(200, "ingest.example")
}

fn token(text: &str) -> Reply {
    answer(200, text)
}

/// Returns its replies in order and keeps the requests. A request without a reply fails the test.
#[derive(Debug)]
struct Script {
    replies: Mutex<VecDeque<Reply>>,
    seen: Mutex<Vec<Request>>,
}

#[async_trait]
impl Transport for Script {
    async fn call(&self, request: Request) -> Result<Response, TransportError> {
        let reply = self.replies.lock().unwrap().pop_front();
        let reply = reply.unwrap_or_else(|| panic!("unexpected {request:?}"));
        self.seen.lock().unwrap().push(request);
        // As on a network, other tasks run before the answer arrives.
        tokio::task::yield_now().await;
        match reply {
            Reply::Answer(response) => Ok(response),
            Reply::Late(by, response) => {
                tokio::time::sleep(by).await;
                Ok(response)
            }
            Reply::Fail(kind) => Err(TransportError::new(kind, "as the script says")),
            Reply::Hang => std::future::pending().await,
        }
    }
}

#[derive(Debug, Default)]
struct Badge {
    shown: AtomicU32,
    broken: bool,
}

#[async_trait]
impl Credential for Badge {
    async fn bearer(&self, _context: CredentialContext<'_>) -> Result<Bearer, CredentialError> {
        if self.broken {
            return Err(Error::new(ErrorKind::Authentication, "the key is unusable").into());
        }
        self.shown.fetch_add(1, Ordering::SeqCst);
        Ok(Bearer {
            token: Secret::from("primary"),
            token_type: "KEYPAIR_JWT".into(),
        })
    }

    fn exchange_form(&self, _bearer: &Bearer, ingest_host: &str) -> Vec<(&'static str, String)> {
        vec![
            ("grant_type", "urn:a:b".to_owned()),
            ("scope", format!("{ingest_host} session:role:SKIER")),
        ]
    }
}

fn config() -> ApiConfig {
    ApiConfig {
        account_url: Url::parse("https://acct.example").unwrap(),
        account: "ACCT".to_owned(),
        database: "SKI".to_owned(),
        schema: "PUBLIC".to_owned(),
        pipe: "LIFT_RIDE-STREAMING".to_owned(),
        application: Some("ski".to_owned()),
        attempt_timeout: Duration::from_secs(60),
    }
}

struct Rig {
    api: Api,
    script: Arc<Script>,
}

impl Rig {
    /// A client that is not logged in.
    fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self::with(config(), Badge::default(), replies)
    }

    /// A client whose first replies are its host and the token `scoped-1`.
    fn logged_in(replies: impl IntoIterator<Item = Reply>) -> Self {
        let introduction = [host(), token("scoped-1")];
        Self::new(introduction.into_iter().chain(replies))
    }

    fn with(config: ApiConfig, badge: Badge, replies: impl IntoIterator<Item = Reply>) -> Self {
        let script = Arc::new(Script {
            replies: Mutex::new(replies.into_iter().collect()),
            seen: Mutex::default(),
        });
        // 2026-01-17T14:00:00Z
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_768_658_400);
        let time = Arc::new(TokioClock::starting_at(now));
        let transport: Arc<dyn Transport> = Arc::clone(&script) as _;
        Self {
            api: Api::new(config, Arc::new(badge), transport, time),
            script,
        }
    }

    async fn append(&self) -> Result<AppendAnswer, Failure> {
        self.api.append_rows("rides", &batch(None)).await
    }

    /// The requests as text. All replies must have been used.
    fn seen(&self) -> Vec<String> {
        let left = self.script.replies.lock().unwrap();
        assert!(left.is_empty(), "never asked for: {left:?}");
        self.script.seen.lock().unwrap().iter().map(text).collect()
    }

    /// Method, path and credential of each request.
    fn calls(&self) -> Vec<String> {
        self.seen();
        let seen = self.script.seen.lock().unwrap();
        seen.iter()
            .map(|request| {
                let credential = request.headers()["authorization"].to_str().unwrap();
                let host = request.uri().host().unwrap();
                let last = request.uri().path().rsplit('/').next().unwrap();
                format!("{} {host} {last} {credential}", request.method())
            })
            .collect()
    }
}

fn batch(session: Option<HeaderValue>) -> AppendRequest {
    AppendRequest {
        attempt: FIRST,
        continuation_token: "0_1".to_owned(),
        start: None,
        end: 9.into(),
        body: Bytes::from_static(b"frame"),
        uncompressed_len: 11,
        first_append_ms: 1_768_658_400_123,
        session,
    }
}

/// A request as text, without `User-Agent` and with the headers sorted.
fn text(request: &Request) -> String {
    let mut headers: Vec<_> = request
        .headers()
        .iter()
        .filter(|(name, _)| *name != "user-agent")
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    headers.sort();
    let body = std::str::from_utf8(request.body()).unwrap();
    format!(
        "{} {}\n{}\n\n{body}",
        request.method(),
        request.uri(),
        headers.join("\n")
    )
}
