//! The faults of a network that is no network: a transport in memory loses requests and answers, delays them, and is away for
//! seconds.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::time::Instant;

use super::faults::{ANSWER_LOST, DELAYED, Faults, REQUEST_LOST, SHARE};
use snowpipe_streaming::transport::{
    Request, Response, Transport, TransportError, TransportErrorKind,
};

/// What happens to a request.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The connection breaks before the request is sent.
    Lost,
    /// The connection breaks before the answer arrives.
    Unanswered,
    /// The request is sent later.
    Delayed,
}

const FAULTS: [(u32, Fault); 3] = [
    (SHARE, Fault::Lost),
    (SHARE, Fault::Unanswered),
    (SHARE, Fault::Delayed),
];

/// A transport with faults.
#[derive(Debug)]
pub(super) struct FaultyTransport {
    inner: Arc<dyn Transport>,
    faults: Faults,
    /// When the next outage begins, and when it ends.
    outage: Mutex<(Instant, Instant)>,
}

impl FaultyTransport {
    pub(super) fn new(inner: Arc<dyn Transport>, faults: Faults) -> Self {
        let outage = Mutex::new(next_outage(&faults, Instant::now()));
        Self {
            inner,
            faults,
            outage,
        }
    }

    /// What happens to the next request; during an outage it is lost.
    fn next(&self) -> Option<Fault> {
        let now = Instant::now();
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        let (begin, end) = *outage;
        if now >= end {
            *outage = next_outage(&self.faults, now);
        }
        if now >= begin && now < end {
            return Some(Fault::Lost);
        }
        self.faults.draw(&FAULTS)
    }
}

fn next_outage(faults: &Faults, now: Instant) -> (Instant, Instant) {
    let begin = now + faults.peace();
    (begin, begin + faults.outage())
}

#[async_trait]
impl Transport for FaultyTransport {
    async fn call(&self, request: Request) -> Result<Response, TransportError> {
        let broken = |kind, text: &str| Err(TransportError::new(kind, text));
        match self.next() {
            None => self.inner.call(request).await,
            Some(Fault::Delayed) => {
                self.faults.count(DELAYED);
                tokio::time::sleep(self.faults.delay()).await;
                self.inner.call(request).await
            }
            Some(Fault::Lost) => {
                self.faults.count(REQUEST_LOST);
                broken(
                    TransportErrorKind::Connect,
                    "the soak broke the connection before the request",
                )
            }
            Some(Fault::Unanswered) => {
                self.faults.count(ANSWER_LOST);
                self.inner.call(request).await?;
                broken(
                    TransportErrorKind::Interrupted,
                    "the soak broke the connection before the answer",
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn every_fault_and_an_outage_come() {
        #[derive(Debug)]
        struct Fine;

        #[async_trait]
        impl Transport for Fine {
            async fn call(&self, _: Request) -> Result<Response, TransportError> {
                Ok(Response::default())
            }
        }

        let faults = Faults::new(7);
        let network = FaultyTransport::new(Arc::new(Fine), faults.clone());
        let (mut fine, mut longest, mut broken) = (0, 0, 0);
        for _ in 0..2_000 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if network.call(Request::default()).await.is_ok() {
                fine += 1;
                broken = 0;
            } else {
                broken += 1;
                longest = longest.max(broken);
            }
        }
        let counts = faults.counts();
        assert_eq!(counts.len(), 3, "{counts:?}");
        assert!(fine > 1_500, "{fine}");
        assert!(longest > 5, "there was no outage");
    }
}
