//! What goes wrong at chosen requests, for histories that are enumerated.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

/// One thing that goes wrong at a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The request does not arrive.
    LoseRequest,
    /// The server acts on it, and its answer does not arrive.
    LoseAnswer,
    /// It arrives later than any session lasts.
    Delay,
    /// The server asks for a reopen at the next append.
    MustReopen,
    /// The process that sends it is killed. The request arrives.
    Kill,
    /// The process is suspended for less than its session.
    Doze,
    /// The process is suspended for longer than its session.
    Sleep,
    /// The partitions are assigned anew.
    Rebalance,
    /// And again, and again.
    Storm,
    /// The coordinator is away for longer than a session.
    CoordinatorAway,
    /// One more member joins.
    Join,
    /// The process is asked to stop.
    Stop,
}

impl Event {
    pub const ALL: [Self; 12] = [
        Self::LoseRequest,
        Self::LoseAnswer,
        Self::Delay,
        Self::MustReopen,
        Self::Kill,
        Self::Doze,
        Self::Sleep,
        Self::Rebalance,
        Self::Storm,
        Self::CoordinatorAway,
        Self::Join,
        Self::Stop,
    ];
}

/// An event at the request with this number, of all requests for channels.
#[derive(Debug, Clone, Copy)]
pub struct Choice {
    pub request: u64,
    pub event: Event,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:?}", self.request, self.event)
    }
}

/// The choices of a history, and how many requests there were.
#[derive(Debug)]
pub struct Script {
    choices: Vec<Choice>,
    requests: AtomicU64,
    /// Events with the process that sent the request.
    events: mpsc::UnboundedSender<(u64, Event)>,
}

impl Script {
    pub fn new(choices: &[Choice]) -> (Self, mpsc::UnboundedReceiver<(u64, Event)>) {
        let (events, receiver) = mpsc::unbounded_channel();
        let script = Self {
            choices: choices.to_vec(),
            requests: AtomicU64::new(0),
            events,
        };
        (script, receiver)
    }

    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// What goes wrong at the next request, which is that of a process.
    pub fn next(&self, path: &str, process: u64) -> Option<Event> {
        if !path.contains("channel") {
            return None;
        }
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let choice = self
            .choices
            .iter()
            .find(|choice| choice.request == number)?;
        let _ = self.events.send((process, choice.event));
        Some(choice.event)
    }
}
