//! The emulator as a transport, without sockets. It works with a paused clock.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::instance::Emulator;
use super::messages::answer::Reply;
use snowpipe_streaming::time::{SystemClock, TimeSource};
use snowpipe_streaming::transport::{
    Request, Response, Transport, TransportError, TransportErrorKind,
};

impl Emulator {
    /// A transport to this emulator on the system's clock. [`MemoryTransport::new`] takes another clock.
    pub fn transport(&self) -> MemoryTransport {
        MemoryTransport::new(self.clone(), Arc::new(SystemClock))
    }
}

/// Carries requests to an [`Emulator`] in the same process.
///
/// The server's wall clock is the given time source, and waits use tokio's clock. With a [`TokioClock`](snowpipe_streaming::time::TokioClock) and a
/// paused runtime a run is deterministic.
#[derive(Debug, Clone)]
pub struct MemoryTransport {
    emulator: Emulator,
    time: Arc<dyn TimeSource>,
    latency: Duration,
}

impl MemoryTransport {
    /// A transport to `emulator`, which reads the wall clock from `time`.
    pub fn new(emulator: Emulator, time: Arc<dyn TimeSource>) -> Self {
        Self {
            emulator,
            time,
            latency: Duration::ZERO,
        }
    }

    /// The time a message takes each way; zero by default.
    #[must_use]
    pub fn with_latency(mut self, one_way: Duration) -> Self {
        self.latency = one_way;
        self
    }

    async fn travel(&self) {
        if !self.latency.is_zero() {
            tokio::time::sleep(self.latency).await;
        }
    }
}

#[async_trait]
impl Transport for MemoryTransport {
    async fn call(&self, request: Request) -> Result<Response, TransportError> {
        self.travel().await;
        let reply = self.emulator.handle(self.time.now(), request);
        let answer = match reply {
            Reply::Respond(answer) => Ok(answer),
            Reply::RespondAfter(wait, answer) => {
                tokio::time::sleep(wait).await;
                Ok(answer)
            }
            Reply::Refuse => Err(TransportError::new(
                TransportErrorKind::Connect,
                "the emulator refused the connection",
            )),
            Reply::Reset => Err(TransportError::new(
                TransportErrorKind::Interrupted,
                "the emulator broke the connection before it answered",
            )),
            Reply::Cut(_) => Err(TransportError::new(
                TransportErrorKind::Body,
                "the emulator's answer broke off in the middle",
            )),
            Reply::Hang => std::future::pending().await,
        };
        self.travel().await;
        answer
    }
}
