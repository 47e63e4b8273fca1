//! A process of the simulated group: it can be killed or suspended at any moment, and the network delays what it sends.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use snowpipe_streaming::transport::TransportErrorKind;
use snowpipe_streaming::transport::{Request, Response, Transport, TransportError};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep};

use super::script::{Event, Script};
use crate::repeatable::Traced;

/// A process. A clone is the same one.
#[derive(Debug, Clone)]
pub struct Process {
    pub id: u64,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    condition: Mutex<Condition>,
    /// Wakes what waits in the order in which it began to wait.
    changed: Notify,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Awake,
    Suspended,
    Dead,
}

impl Process {
    pub fn new(id: u64) -> Self {
        Self {
            id,
            state: Arc::new(State {
                condition: Mutex::new(Condition::Awake),
                changed: Notify::new(),
            }),
        }
    }

    /// Resolves when the process runs: at once, unless it is suspended. Never if it is dead.
    pub async fn awake(&self) {
        loop {
            let changed = self.state.changed.notified();
            if self.condition() == Condition::Awake {
                return;
            }
            changed.await;
        }
    }

    fn condition(&self) -> Condition {
        *self.state.condition.lock().unwrap()
    }

    pub fn is_suspended(&self) -> bool {
        self.condition() == Condition::Suspended
    }

    pub fn suspend(&self) {
        self.change(Condition::Suspended);
    }

    pub fn resume(&self) {
        self.change(Condition::Awake);
    }

    pub fn kill(&self) {
        self.change(Condition::Dead);
    }

    fn change(&self, to: Condition) {
        let mut condition = self.state.condition.lock().unwrap();
        if *condition != Condition::Dead {
            *condition = to;
            self.state.changed.notify_waiters();
        }
    }
}

/// The longest way there or back before the network is calm.
const LONGEST_WAY_MS: u64 = 25_000;
/// Longer than any session.
const LONG_DELAY: Duration = Duration::from_secs(20);
/// So long after the network is calm, nothing is on its way any more that was sent before.
pub const STRAGGLERS: Duration = Duration::from_millis(2 * LONGEST_WAY_MS + 20_000);

/// The network of one process.
pub struct Network {
    pub process: Process,
    pub inner: Arc<Traced>,
    pub rng: Mutex<fastrand::Rng>,
    /// Until then a request may be delayed for long.
    pub calm_at: Instant,
    pub script: Arc<Script>,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network")
    }
}

impl Network {
    fn delay(&self) -> Duration {
        let mut rng = self.rng.lock().unwrap();
        let is_long = rng.u8(..40) == 0 && Instant::now() < self.calm_at;
        Duration::from_millis(rng.u64(..if is_long { LONGEST_WAY_MS } else { 40 }))
    }
}

#[async_trait::async_trait]
impl Transport for Network {
    async fn call(&self, request: Request) -> Result<Response, TransportError> {
        self.process.awake().await;
        let event = self.script.next(request.uri().path(), self.process.id);
        let (mut there, back) = (self.delay(), self.delay());
        if event == Some(Event::Delay) {
            there += LONG_DELAY;
        }
        let lost = |what| Err(TransportError::new(TransportErrorKind::Interrupted, what));
        if event == Some(Event::LoseRequest) {
            sleep(there).await;
            return lost("the request is lost");
        }
        let inner = Arc::clone(&self.inner);
        let (sender, receiver) = oneshot::channel();
        // What has left a process arrives, whatever becomes of the process.
        tokio::spawn(async move {
            sleep(there).await;
            let _ = sender.send(inner.call(request).await);
        });
        let Ok(answer) = receiver.await else {
            return std::future::pending().await;
        };
        sleep(back).await;
        if event == Some(Event::LoseAnswer) {
            return lost("the answer is lost");
        }
        self.process.awake().await;
        answer
    }
}
