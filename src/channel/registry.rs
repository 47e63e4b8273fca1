//! The channel names of a client. A name belongs to one channel at a time, from its open until it has drained.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tracing::debug;

use super::polling::timer::PollTimer;
use super::polling::turn::PollTurn;
use super::shared::Shared;
use crate::api::ELASTIC;
use crate::context::ClientContext;
use crate::types::error::{Error, ErrorKind, Result};

/// The longest channel name, in bytes.
const MAX_NAME: usize = 255;

/// A channel name in use.
#[derive(Debug)]
enum Slot {
    /// Being opened. If it is being reopened, the old channel stays and is still polled.
    Opening(Option<Arc<Shared>>),
    Live(Arc<Shared>),
}

impl Slot {
    fn channel(&self) -> Option<&Arc<Shared>> {
        match self {
            Self::Opening(old) => old.as_ref(),
            Self::Live(channel) => Some(channel),
        }
    }
}

/// The channels of a client by name, with the state they share.
#[derive(Debug)]
pub(crate) struct Registry {
    pub(crate) context: Arc<ClientContext>,
    channels: Mutex<BTreeMap<String, Slot>>,
    poll_timer: Arc<PollTimer>,
    poll_turn: PollTurn,
    start_poller: StartPoller,
    closing: Arc<Closing>,
}

/// Starts the poller with this number on a runtime.
pub(crate) type StartPoller = fn(&Arc<Registry>, &Handle, u64);

/// Whether the client has ended: it was closed, or the last of its handles and channels was dropped.
#[derive(Debug, Default)]
pub(crate) struct Closing {
    is_closed: AtomicBool,
    changed: Notify,
}

impl Closing {
    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Returns `false` if it was closed before.
    fn close(&self) -> bool {
        let is_first = !self.is_closed.swap(true, Ordering::AcqRel);
        self.changed.notify_waiters();
        is_first
    }

    /// Resolves when the client ends.
    pub(crate) async fn closed(&self) {
        let changed = self.changed.notified();
        tokio::pin!(changed);
        // Registered before the flag is read. Otherwise the only notification could come between the two.
        changed.as_mut().enable();
        if !self.is_closed() {
            changed.await;
        }
    }
}

/// Clients, channels and drivers keep the registry alive. The status poller does not.
impl Drop for Registry {
    fn drop(&mut self) {
        self.closing.close();
    }
}

impl Registry {
    pub(crate) fn new(context: Arc<ClientContext>, start_poller: StartPoller) -> Self {
        Self {
            context,
            channels: Mutex::default(),
            poll_timer: Arc::default(),
            poll_turn: PollTurn::default(),
            start_poller,
            closing: Arc::default(),
        }
    }

    /// The timer of the status poller.
    pub(crate) fn poll_timer(&self) -> &Arc<PollTimer> {
        &self.poll_timer
    }

    pub(crate) fn poll_turn(&self) -> &PollTurn {
        &self.poll_turn
    }

    /// Starts the poller, unless it runs on this runtime.
    pub(crate) fn ensure_polled(self: &Arc<Self>) {
        if !self.is_closed()
            && let Some((runtime, number)) = self.poll_turn.take()
        {
            (self.start_poller)(self, &runtime, number);
        }
    }

    /// The poller with this number has stopped. If it has panicked, another one would as well.
    pub(crate) fn poller_stopped(&self, number: u64, has_panicked: bool) {
        if self.is_closed() {
            return;
        }
        if !self.poll_turn.end(number) {
            // It may have taken interests from the timer that its successor does not know.
            for channel in self.channels() {
                self.poll_timer.set(channel.core().poll_interest());
            }
            return;
        }
        for channel in self.channels() {
            if !has_panicked {
                channel.wake_driver();
                continue;
            }
            let error = Error::new(
                ErrorKind::ClientClosed,
                "the task that asks for commits has panicked; reopen the channel",
            );
            channel.update_and_wake(|core, now| {
                if !core.is_ended() {
                    core.end(now, error, false);
                }
            });
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closing.is_closed()
    }

    /// Ends all channels. Returns `false` if that was done before.
    pub(crate) fn end(&self, error: &Error) -> bool {
        if !self.closing.close() {
            return false;
        }
        debug!("client closed");
        let slots =
            std::mem::take(&mut *self.channels.lock().unwrap_or_else(PoisonError::into_inner));
        for slot in slots.into_values() {
            if let Some(channel) = slot.channel() {
                channel.update_and_wake(|core, now| core.end(now, error.clone(), false));
            }
        }
        true
    }

    /// Resolves when the client ends.
    pub(crate) async fn closed(&self) {
        self.closing.closed().await;
    }

    /// The flag that outlives the registry, for tasks that must end with it.
    pub(crate) fn closing(&self) -> &Arc<Closing> {
        &self.closing
    }

    /// The open channels, in order of name.
    pub(crate) fn channels(&self) -> Vec<Arc<Shared>> {
        let slots = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        slots.values().filter_map(Slot::channel).cloned().collect()
    }

    /// Reserves a free name, or the name of `old`, which keeps it if the open fails. Names that differ only in case are the
    /// same name, because the server ignores the case in paths.
    pub(crate) fn reserve(
        self: &Arc<Self>,
        name: &str,
        old: Option<&Arc<Shared>>,
    ) -> Result<Reservation> {
        check(name)?;
        let key = name.to_lowercase();
        let mut slots = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock: closing the client sets the flag before it takes the slots.
        if self.is_closed() {
            return Err(Error::new(
                ErrorKind::ClientClosed,
                "the client is closed; build a new one",
            ));
        }
        let free = match (slots.get(&key), old) {
            (None, _) => true,
            (Some(Slot::Live(live)), Some(old)) => Arc::ptr_eq(live, old),
            _ => false,
        };
        if !free {
            return Err(Error::new(
                ErrorKind::ChannelAlreadyOpen,
                format!(
                    "the channel {name:?} is open in this client, or still draining after its handle was dropped; close it and wait, or choose another name"
                ),
            ));
        }
        slots.insert(key.clone(), Slot::Opening(old.cloned()));
        Ok(Reservation {
            registry: Arc::clone(self),
            key,
            held: true,
        })
    }

    /// Removes an ended channel, unless its name belongs to another channel by now.
    pub(crate) fn forget(&self, shared: &Arc<Shared>) {
        let mut slots = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let key = shared.name.to_lowercase();
        if matches!(slots.get(&key), Some(Slot::Live(live)) if Arc::ptr_eq(live, shared)) {
            slots.remove(&key);
        }
    }
}

/// Refuses a name that no channel of a client can have.
fn check(name: &str) -> Result<()> {
    let problem = if name.is_empty() {
        "the channel name is empty; use a name that is the same in each run of the program"
            .to_owned()
    } else if name.len() > MAX_NAME {
        format!(
            "the channel name is {} bytes long; use at most {MAX_NAME}",
            name.len()
        )
    } else if name.eq_ignore_ascii_case(ELASTIC) {
        format!(
            "the channel name {name:?} is reserved for the pipe's elastic channel; choose another"
        )
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::Config, problem))
}

/// A reserved name. Dropping the reservation frees the name unless [`fill`](Self::fill) has put a channel there.
#[derive(Debug)]
pub(crate) struct Reservation {
    registry: Arc<Registry>,
    key: String,
    held: bool,
}

impl Reservation {
    /// Registers the open channel under the name. Returns `false` if the client ended meanwhile.
    pub(crate) fn fill(mut self, shared: &Arc<Shared>) -> bool {
        let mut slots = self
            .registry
            .channels
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let there = slots.contains_key(&self.key);
        if there {
            slots.insert(self.key.clone(), Slot::Live(Arc::clone(shared)));
        }
        self.held = false;
        there
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.held {
            let mut slots = self
                .registry
                .channels
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let Some(Slot::Opening(old)) = slots.get(&self.key) else {
                return;
            };
            match old.clone().filter(|old| !old.core().is_ended()) {
                Some(old) => slots.insert(self.key.clone(), Slot::Live(old)),
                None => slots.remove(&self.key),
            };
        }
    }
}
