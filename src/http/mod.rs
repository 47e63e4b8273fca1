//! The seam to the network: an HTTP message in, an HTTP message out, and when that fails, whether anything was sent.

pub(crate) mod client;
mod explain;
pub(crate) mod proxies;
#[cfg(feature = "rustls")]
mod roots;

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

pub use self::client::{HttpTransport, HttpTransportBuilder};

/// A request as it goes out: absolute URL, complete headers, the whole body.
pub type Request = ::http::Request<Bytes>;

/// A response with its whole body. A status other than 200 is not an error at this layer.
pub type Response = ::http::Response<Bytes>;

/// Carries one HTTP message to a server and its answer back. One call is one attempt: no retries, no redirects.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Sends `request` and waits for the whole answer. The caller sets the deadline and drops the future when it passes.
    ///
    /// # Errors
    ///
    /// When there is no complete answer; the error's kind says whether the server may have seen the request.
    async fn call(&self, request: Request) -> Result<Response, TransportError>;
}

#[async_trait]
impl<T: Transport + ?Sized> Transport for Arc<T> {
    async fn call(&self, request: Request) -> Result<Response, TransportError> {
        (**self).call(request).await
    }
}

/// The longest answer that is about rows, channels and credentials: a thousand statuses, each with tokens as long as they
/// may be.
pub(crate) const MAX_ANSWER: usize = 8 << 20;

/// The longest answer of a call, for the transport that reads it.
#[derive(Debug, Clone, Copy)]
struct AnswerLimit(usize);

/// One call within its deadline, answered in at most so many bytes.
pub(crate) async fn attempt(
    transport: &dyn Transport,
    mut request: Request,
    deadline: Duration,
    max_answer: usize,
) -> Result<Response, TransportError> {
    request.extensions_mut().insert(AnswerLimit(max_answer));
    match tokio::time::timeout(deadline, transport.call(request)).await {
        Ok(Ok(response)) if response.body().len() > max_answer => Err(TransportError::new(
            TransportErrorKind::Body,
            format!("the answer is longer than {max_answer} bytes: check the account's URL"),
        )),
        Ok(answer) => answer,
        Err(_) => Err(TransportError::new(
            TransportErrorKind::Timeout,
            format!("no answer within {deadline:?}"),
        )),
    }
}

/// How far a failed request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportErrorKind {
    /// The host's name did not resolve. Nothing was sent.
    Dns,
    /// No connection. Nothing was sent.
    Connect,
    /// The TLS handshake failed. Nothing was sent.
    Tls,
    /// The proxy asks for a user and password (407), and will go on asking. Nothing was sent.
    Proxy,
    /// The request could not be built. Nothing was sent.
    Request,
    /// No answer in time. The server may have acted on the request.
    Timeout,
    /// The connection broke after the request may have left. The server may have acted on it.
    Interrupted,
    /// The answer broke off or could not be read. The server may have acted on the request.
    Body,
}

/// No complete answer came back.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct TransportError {
    kind: TransportErrorKind,
    message: String,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl TransportError {
    /// An error of `kind`; `message` is a sentence for a person and holds no secret.
    pub fn new(kind: TransportErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// The same error with what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// How far the request came.
    pub fn kind(&self) -> TransportErrorKind {
        self.kind
    }

    /// Whether the server may have seen the request. If not, sending the same bytes again is safe.
    pub fn may_have_been_sent(&self) -> bool {
        matches!(
            self.kind,
            TransportErrorKind::Timeout
                | TransportErrorKind::Interrupted
                | TransportErrorKind::Body
        )
    }
}
