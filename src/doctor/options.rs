//! The options of an examination.

use std::sync::Arc;
use std::time::Duration;

use crate::base::time::{SystemClock, TimeSource};
use crate::http::Transport;

/// The options of [`examine`](super::examine). Every option has a default.
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
    /// Creates the default options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the transport; use the one of the client under examination. The checks of names and ports do not use it.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// Sets the clock that is compared with the server's. Default: the operating system's.
    pub fn time_source(mut self, time: impl TimeSource) -> Self {
        self.time = Arc::new(time);
        self
    }

    /// Sets the deadline of each network operation. Default: 15 seconds.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}
