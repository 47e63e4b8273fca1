//! Events at numbered requests, counted from the first open. Enumerated histories consist of them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use snowpipe_streaming::transport::Request;
use snowpipe_streaming_emulator::{Emulator, Fault, Reply};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::outage::{FailureMode, Part};
use super::plan::Step;

/// An event at a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The server applies a fault to the request.
    Fault(Fault),
    /// The request is delayed.
    Late(Duration),
    /// The answer to an open lacks the channel's status.
    OpenWithoutStatus,
    /// A proxy in front of the server answers.
    Answer(FailureMode),
    /// A step that is not limited to one request.
    Step(RequestPhase, Step),
}

/// The phase of a request at which a step happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequestPhase {
    /// The request was sent.
    Sent,
    /// The server has handled it, and the answer was sent.
    Handled,
    /// Its answer has arrived.
    Answered,
}

impl Event {
    pub fn step(&self) -> Option<&Step> {
        match self {
            Self::Step(_, step) => Some(step),
            _ => None,
        }
    }
}

/// What happened to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestSeen {
    pub part: Part,
    /// Whether the server received it.
    pub is_handled: bool,
    /// Whether the client received an answer.
    pub is_answered: bool,
}

/// The events by request, and the requests so far.
#[derive(Debug)]
pub struct Script {
    counts: bool,
    events: Vec<(u64, Event)>,
    /// Steps whose request has reached their phase.
    due_steps: mpsc::UnboundedSender<Step>,
    steps: Mutex<Option<mpsc::UnboundedReceiver<Step>>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    is_counting: bool,
    seen: Vec<RequestSeen>,
    /// The indices of the events that occurred.
    done: BTreeSet<usize>,
}

impl Script {
    /// Without events no requests are counted.
    pub fn new(events: Option<Vec<(u64, Event)>>) -> Arc<Self> {
        let (due_steps, steps) = mpsc::unbounded_channel();
        Arc::new(Self {
            counts: events.is_some(),
            events: events.unwrap_or_default(),
            due_steps,
            steps: Mutex::new(Some(steps)),
            state: Mutex::default(),
        })
    }

    /// Receives each step when its request reaches the step's phase.
    pub fn steps(&self) -> mpsc::UnboundedReceiver<Step> {
        self.steps.lock().unwrap().take().unwrap()
    }

    /// Starts to count requests, if the script has events.
    pub fn start_counting(&self) {
        self.state().is_counting = self.counts;
    }

    /// Assigns a number to a request that is sent, if requests are counted.
    pub fn number(&self, part: Part) -> Option<u64> {
        let mut state = self.state();
        if !state.is_counting {
            return None;
        }
        state.seen.push(RequestSeen {
            part,
            is_handled: false,
            is_answered: false,
        });
        Some(state.seen.len() as u64)
    }

    /// Triggers the steps of a request that reaches a phase.
    pub fn reach(&self, number: Option<u64>, moment: RequestPhase) {
        for (i, (at, event)) in self.events.iter().enumerate() {
            if let Event::Step(when, step) = event
                && Some(*at) == number
                && *when == moment
            {
                self.state().done.insert(i);
                let _ = self.due_steps.send(step.clone());
            }
        }
    }

    /// The delay of a request.
    pub fn request_delay(&self, number: Option<u64>) -> Duration {
        let late = self.take(number, |event| match event {
            Event::Late(late) => Some(*late),
            _ => None,
        });
        late.unwrap_or_default()
    }

    /// Passes a request to the server with the script's events applied.
    pub fn handle(
        &self,
        number: Option<u64>,
        emulator: &Emulator,
        now: SystemTime,
        request: Request,
    ) -> Reply {
        self.note(number, |seen| seen.is_handled = true);
        let answer = self.take(number, |event| match event {
            Event::Answer(failing) => Some(failing.reply()),
            _ => None,
        });
        if let Some(reply) = answer {
            return reply;
        }
        let fault = self.look(number, |event| match event {
            Event::Fault(fault) => Some(fault),
            _ => None,
        });
        let Some((event, fault)) = fault else {
            return emulator.handle(now, request);
        };
        let faults = emulator.faults();
        let injected = || faults.injected().values().sum::<u64>();
        let before = injected();
        faults.push(fault.clone());
        let reply = emulator.handle(now, request);
        if injected() > before {
            self.state().done.insert(event);
        }
        // A fault that does not apply to this request must not hit another. A script has no other rules.
        faults.clear();
        reply
    }

    pub fn omits_status(&self, number: Option<u64>) -> bool {
        let bare = self.take(number, |event| {
            (*event == Event::OpenWithoutStatus).then_some(())
        });
        bare.is_some()
    }

    /// Records that a request was answered or failed.
    pub fn arrive(self: &Arc<Self>, number: Option<u64>, is_answered: bool) {
        self.note(number, |seen| seen.is_answered = is_answered);
        if number.is_some() {
            let script = Arc::clone(self);
            tokio::spawn(async move {
                // After the client has processed the answer.
                sleep(Duration::from_millis(1)).await;
                script.reach(number, RequestPhase::Answered);
            });
        }
    }

    /// The first event at a request that `pick` accepts. It is marked as done.
    fn take<T>(&self, number: Option<u64>, pick: impl Fn(&Event) -> Option<T>) -> Option<T> {
        let (event, found) = self.look(number, pick)?;
        self.state().done.insert(event);
        Some(found)
    }

    fn look<'a, T>(
        &'a self,
        number: Option<u64>,
        pick: impl Fn(&'a Event) -> Option<T>,
    ) -> Option<(usize, T)> {
        let number = number?;
        let events = self.events.iter().enumerate();
        let mut here = events.filter(|(_, (at, _))| *at == number);
        here.find_map(|(i, (_, event))| pick(event).map(|found| (i, found)))
    }

    fn note(&self, number: Option<u64>, change: impl FnOnce(&mut RequestSeen)) {
        if let Some(number) = number {
            let place = usize::try_from(number - 1).unwrap();
            change(&mut self.state().seen[place]);
        }
    }

    /// The requests that were counted.
    pub fn seen(&self) -> Vec<RequestSeen> {
        self.state().seen.clone()
    }

    /// The events that did not occur.
    pub fn skipped(&self) -> Vec<Event> {
        let done = &self.state().done;
        let events = self.events.iter().enumerate();
        events
            .filter(|(i, _)| !done.contains(i))
            .map(|(_, (_, event))| event.clone())
            .collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}
