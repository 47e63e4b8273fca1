//! What happens at which request, counted from the first open on: the choices of a history that is not drawn from a seed.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use snowpipe_streaming::emulator::{Emulator, Fault, Reply};
use snowpipe_streaming::transport::Request;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::outage::{Failing, Part};
use super::plan::Step;

/// Something that happens at a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The server does this to it.
    Fault(Fault),
    /// It arrives so late.
    Late(Duration),
    /// The answer to an open lacks the channel's status.
    Bare,
    /// Something in front of the server answers.
    Answer(Failing),
    /// Something that is not about one request.
    Step(RequestPhase, Step),
}

/// When at a request a step happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequestPhase {
    /// It is on its way.
    Sent,
    /// The server has handled it, and its answer is on its way.
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

/// A request as it was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestSeen {
    pub part: Part,
    /// The server was there for it.
    pub is_handled: bool,
    /// There was an answer.
    pub is_answered: bool,
}

/// The events by request, and the requests so far.
#[derive(Debug)]
pub struct Script {
    counts: bool,
    events: Vec<(u64, Event)>,
    /// Steps whose request has come.
    cues: mpsc::UnboundedSender<Step>,
    steps: Mutex<Option<mpsc::UnboundedReceiver<Step>>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    has_begun: bool,
    met: Vec<RequestSeen>,
    /// The events that came to pass.
    done: BTreeSet<usize>,
}

impl Script {
    /// Without events no requests are counted.
    pub fn new(events: Option<Vec<(u64, Event)>>) -> Arc<Self> {
        let (cues, steps) = mpsc::unbounded_channel();
        Arc::new(Self {
            counts: events.is_some(),
            events: events.unwrap_or_default(),
            cues,
            steps: Mutex::new(Some(steps)),
            state: Mutex::default(),
        })
    }

    /// The steps, each when its request has come.
    pub fn steps(&self) -> mpsc::UnboundedReceiver<Step> {
        self.steps.lock().unwrap().take().unwrap()
    }

    /// From now on requests are counted, if they are at all.
    pub fn begin(&self) {
        self.state().has_begun = self.counts;
    }

    /// A request leaves: its number, if it is counted.
    pub fn number(&self, part: Part) -> Option<u64> {
        let mut state = self.state();
        if !state.has_begun {
            return None;
        }
        state.met.push(RequestSeen {
            part,
            is_handled: false,
            is_answered: false,
        });
        Some(state.met.len() as u64)
    }

    /// A request has come to a moment of its way.
    pub fn cue(&self, number: Option<u64>, moment: RequestPhase) {
        for (i, (at, event)) in self.events.iter().enumerate() {
            if let Event::Step(when, step) = event
                && Some(*at) == number
                && *when == moment
            {
                self.state().done.insert(i);
                let _ = self.cues.send(step.clone());
            }
        }
    }

    /// How late a request arrives.
    pub fn lateness(&self, number: Option<u64>) -> Duration {
        let late = self.take(number, |event| match event {
            Event::Late(late) => Some(*late),
            _ => None,
        });
        late.unwrap_or_default()
    }

    /// Has the server handle a request, as the script wants it.
    pub fn handle(
        &self,
        number: Option<u64>,
        emulator: &Emulator,
        now: SystemTime,
        request: Request,
    ) -> Reply {
        self.note(number, |met| met.is_handled = true);
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
        let struck = || faults.injected().values().sum::<u64>();
        let before = struck();
        faults.push(fault.clone());
        let reply = emulator.handle(now, request);
        if struck() > before {
            self.state().done.insert(event);
        }
        // One that does not fit this request strikes none. No other rules are there beside a script.
        faults.clear();
        reply
    }

    pub fn is_bare(&self, number: Option<u64>) -> bool {
        let bare = self.take(number, |event| (*event == Event::Bare).then_some(()));
        bare.is_some()
    }

    /// An answer arrives, or the news that there is none.
    pub fn arrive(self: &Arc<Self>, number: Option<u64>, is_answered: bool) {
        self.note(number, |met| met.is_answered = is_answered);
        if number.is_some() {
            let script = Arc::clone(self);
            tokio::spawn(async move {
                // The client has made of it what it can.
                sleep(Duration::from_millis(1)).await;
                script.cue(number, RequestPhase::Answered);
            });
        }
    }

    /// The first event at a request of which `pick` makes something. It comes to pass.
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
            change(&mut self.state().met[place]);
        }
    }

    /// The requests that were counted.
    pub fn met(&self) -> Vec<RequestSeen> {
        self.state().met.clone()
    }

    /// The events that did not come to pass.
    pub fn undone(&self) -> Vec<Event> {
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
