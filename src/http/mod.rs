//! The seam to the network: HTTP requests and responses, and errors that say whether a request may have been sent.

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

/// An outgoing request: absolute URL, all headers, the whole body.
pub type Request = ::http::Request<Bytes>;

/// A response with its whole body. A status other than 200 is not an error at this layer.
pub type Response = ::http::Response<Bytes>;

/// Sends an HTTP request and returns the response. One call is one attempt: no retries, no redirects. An HTTP library that repeated
/// elastic appends by itself put each row into the table 40 times (observed: Ignition field lab).
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Sends `request` and waits for the whole response. The caller sets the deadline and drops the future when it passes.
    ///
    /// # Errors
    ///
    /// If there is no complete response. The error's kind says whether the server may have received the request.
    async fn call(&self, request: Request) -> Result<Response, TransportError>;
}

#[async_trait]
impl<T: Transport + ?Sized> Transport for Arc<T> {
    async fn call(&self, request: Request) -> Result<Response, TransportError> {
        (**self).call(request).await
    }
}

/// The longest answer about rows, channels and credentials: a thousand statuses with tokens of the maximum length.
pub(crate) const MAX_ANSWER: usize = 8 << 20;

/// The longest answer of a call, as an extension of the request for the transport.
#[derive(Debug, Clone, Copy)]
struct AnswerLimit(usize);

/// Makes one call with a deadline and a limit for the length of the answer.
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

/// How far a request got before it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportErrorKind {
    /// The host's name did not resolve. Nothing was sent.
    Dns,
    /// The connection could not be established. Nothing was sent.
    Connect,
    /// The TLS handshake failed. Nothing was sent.
    Tls,
    /// The proxy asks for a user and password (407); retrying does not help. Nothing was sent.
    Proxy,
    /// The request could not be built. Nothing was sent.
    Request,
    /// There was no answer in time. The server may have processed the request.
    Timeout,
    /// The connection broke after the request may have been sent. The server may have processed it.
    Interrupted,
    /// The answer was incomplete or could not be read. The server may have processed the request.
    Body,
}

/// There was no complete response.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct TransportError {
    kind: TransportErrorKind,
    message: String,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl TransportError {
    /// Creates an error of this kind. `message` is a sentence for people and must not contain secrets.
    pub fn new(kind: TransportErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// Sets the cause of the error.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// How far the request got.
    pub fn kind(&self) -> TransportErrorKind {
        self.kind
    }

    /// Whether the server may have received the request. If not, sending the same bytes again is safe.
    pub fn may_have_been_sent(&self) -> bool {
        matches!(
            self.kind,
            TransportErrorKind::Timeout
                | TransportErrorKind::Interrupted
                | TransportErrorKind::Body
        )
    }
}
