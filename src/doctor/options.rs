//! How an examination is made.

use std::sync::Arc;
use std::time::Duration;

use crate::base::time::{SystemClock, TimeSource};
use crate::http::Transport;

/// How [`examine`](super::examine) goes about it. Every option has a default.
#[derive(Debug, Clone)]
#[must_use]
pub struct Options {
    pub(super) transport: Option<Arc<dyn Transport>>,
    pub(super) time: Arc<dyn TimeSource>,
    pub(super) timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            transport: None,
            time: Arc::new(SystemClock),
            timeout: Duration::from_secs(15),
        }
    }
}

impl Options {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends over this transport, as the client that is to be examined would. Names are resolved and ports tried without it.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// Compares this clock with the server's, instead of the operating system's.
    pub fn time_source(mut self, time: impl TimeSource) -> Self {
        self.time = Arc::new(time);
        self
    }

    /// The deadline of each step on the network. Default 15 seconds.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}
