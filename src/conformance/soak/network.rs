//! A network that delays requests, breaks connections and lets tokens expire.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::http::{Request, Response, Transport, TransportError, TransportErrorKind};

/// How many of a thousand requests meet each fault.
const LOST: u32 = 20;
const UNANSWERED: u32 = 20;
const DELAYED: u32 = 20;
const EXPIRED: u32 = 5;
/// The longest delay, and the longest outage.
const MOST_DELAY: Duration = Duration::from_secs(4);
const MOST_OUTAGE: Duration = Duration::from_secs(6);
/// How long the network works between two outages at most.
const MOST_PEACE: Duration = Duration::from_secs(60);

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// The connection breaks before the request is sent.
    Lost,
    /// The connection breaks before the answer arrives.
    Unanswered,
    /// The request is sent later.
    Delayed(Duration),
    /// The server no longer knows the token.
    Expired,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::Lost => "connections broken before a request",
            Self::Unanswered => "connections broken before an answer",
            Self::Delayed(_) => "requests delayed",
            Self::Expired => "tokens expired",
        }
    }
}

/// A transport with faults. Each client of a soak has the same one.
#[derive(Debug, Clone)]
pub(super) struct FaultyNetwork {
    inner: Arc<dyn Transport>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    rng: fastrand::Rng,
    /// When the next outage begins, and when it ends.
    outage: (Instant, Instant),
    requests: u64,
    counts: BTreeMap<&'static str, u64>,
}

impl State {
    /// What happens to the next request; during an outage it is lost.
    fn next(&mut self, now: Instant) -> Option<Fault> {
        self.requests += 1;
        let fault = if now >= self.outage.0 && now < self.outage.1 {
            Some(Fault::Lost)
        } else {
            self.drawn()
        };
        if now >= self.outage.1 {
            self.outage = outage(&mut self.rng, now);
        }
        if let Some(fault) = fault {
            *self.counts.entry(fault.name()).or_default() += 1;
        }
        fault
    }

    fn drawn(&mut self) -> Option<Fault> {
        let mut dice = self.rng.u32(..1_000);
        let delay = MOST_DELAY.mul_f64(self.rng.f64());
        for (share, fault) in [
            (LOST, Fault::Lost),
            (UNANSWERED, Fault::Unanswered),
            (DELAYED, Fault::Delayed(delay)),
            (EXPIRED, Fault::Expired),
        ] {
            match dice.checked_sub(share) {
                Some(rest) => dice = rest,
                None => return Some(fault),
            }
        }
        None
    }
}

fn outage(rng: &mut fastrand::Rng, now: Instant) -> (Instant, Instant) {
    let begin = now + MOST_PEACE.mul_f64(rng.f64());
    (begin, begin + MOST_OUTAGE.mul_f64(rng.f64()))
}

impl FaultyNetwork {
    pub(super) fn new(inner: Arc<dyn Transport>, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let outage = outage(&mut rng, Instant::now());
        Self {
            inner,
            state: Arc::new(Mutex::new(State {
                rng,
                outage,
                requests: 0,
                counts: BTreeMap::new(),
            })),
        }
    }

    /// The number of requests, and of those that met each fault.
    pub(super) fn counts(&self) -> (u64, BTreeMap<&'static str, u64>) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.requests, state.counts.clone())
    }

    fn next(&self) -> Option<Fault> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.next(Instant::now())
    }
}

#[async_trait]
impl Transport for FaultyNetwork {
    async fn call(&self, request: Request) -> Result<Response, TransportError> {
        let broken = |kind, text: &str| Err(TransportError::new(kind, text));
        match self.next() {
            None => self.inner.call(request).await,
            Some(Fault::Delayed(delay)) => {
                tokio::time::sleep(delay).await;
                self.inner.call(request).await
            }
            Some(Fault::Lost) => broken(
                TransportErrorKind::Connect,
                "the soak broke the connection before the request",
            ),
            Some(Fault::Unanswered) => {
                self.inner.call(request).await?;
                broken(
                    TransportErrorKind::Interrupted,
                    "the soak broke the connection before the answer",
                )
            }
            Some(Fault::Expired) => {
                let mut answer = Response::new(bytes::Bytes::from_static(
                    br#"{"code":"390318","message":"the soak let the token expire"}"#,
                ));
                *answer.status_mut() = http::StatusCode::UNAUTHORIZED;
                Ok(answer)
            }
        }
    }
}

#[cfg(test)]
mod tests {
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

        let network = FaultyNetwork::new(Arc::new(Fine), 7);
        let (mut fine, mut longest, mut broken) = (0, 0, 0);
        for _ in 0..2_000 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            match network.call(Request::default()).await {
                Ok(answer) if answer.status().is_success() => {
                    fine += 1;
                    broken = 0;
                }
                Ok(_) => {}
                Err(_) => {
                    broken += 1;
                    longest = longest.max(broken);
                }
            }
        }
        let (requests, counts) = network.counts();
        assert_eq!(requests, 2_000);
        assert_eq!(counts.len(), 4, "{counts:?}");
        assert!(fine > 1_500, "{fine}");
        assert!(longest > 5, "there was no outage");
    }
}
