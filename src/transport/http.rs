//! The transport over real HTTP, on reqwest.

use async_trait::async_trait;

use super::{Request, Response, Transport, TransportError, TransportErrorKind};

/// HTTP and HTTPS with pooled connections.
#[derive(Debug, Clone)]
pub struct HttpTransport {}

#[async_trait]
impl Transport for HttpTransport {
    async fn call(&self, _request: Request) -> Result<Response, TransportError> {
        Err(TransportError::new(TransportErrorKind::Request, "unbuilt"))
    }
}
