//! The choices at a request: every fault of the simulator's vocabulary, a crash, or another writer.

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use snowpipe_streaming_emulator::Fault;

use crate::drawn::outage::{FailureMode, Outage, Part};
use crate::drawn::plan::Step;
use crate::drawn::script::{Event, RequestPhase, RequestSeen};

/// An event with its name in the text of a history.
#[derive(Debug)]
pub struct Entry {
    pub name: &'static str,
    pub event: Event,
    /// Whether it is in the representative set, which is combined with another fault and a step.
    pub is_core: bool,
}

/// An event at a request.
#[derive(Debug, Clone, Copy)]
pub struct Choice {
    pub request: u64,
    pub entry: &'static Entry,
}

/// All choices.
pub static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(entries);

fn entries() -> Vec<Entry> {
    let of = |is_core| {
        move |(name, event)| Entry {
            name,
            event,
            is_core,
        }
    };
    let core = core_faults().into_iter().map(of(true));
    let other = other_faults().into_iter().map(of(false));
    core.chain(other)
        .chain(steps().into_iter().map(of(false)))
        .collect()
}

fn invalidate(code: &str) -> Fault {
    Fault::Invalidate(code.to_owned())
}

/// The representative set of faults.
fn core_faults() -> Vec<(&'static str, Event)> {
    let refused = Fault::BadRequest("ERR_INVALID_REQUEST".to_owned());
    let faults = [
        ("refuse", Fault::Refuse),
        ("lose", Fault::Lose),
        ("apply-then-lose", Fault::ApplyThenLose),
        ("zombie", Fault::Zombie),
        ("not-found", Fault::BareNotFound),
        ("failed-over", Fault::FailedOver),
        ("stale", Fault::Stale),
        ("bad-request", refused),
        ("second-writer", Fault::SecondWriter),
        ("withhold", Fault::WithholdCommits(Duration::from_secs(50))),
        ("must-reopen", invalidate("ERR_CHANNEL_MUST_BE_REOPENED")),
        ("stale-status", Fault::StaleStatus(Duration::from_secs(3))),
    ];
    let faults = faults.map(|(name, fault)| (name, Event::Fault(fault)));
    faults.to_vec()
}

fn other_faults() -> Vec<(&'static str, Event)> {
    let seconds = Duration::from_secs;
    let foreign = Fault::ForeignToken(Some("1000000".to_owned()));
    let row_gap = "ERR_CHANNEL_MUST_BE_REOPENED_DUE_TO_ROW_SEQ_GAP";
    let faults = [
        ("throttle", Fault::Throttle(None)),
        ("unauthorized", Fault::Unauthorized),
        ("absent", Fault::Absent),
        ("hang", Fault::Hang),
        ("apply-then-hang", Fault::ApplyThenHang),
        ("cut", Fault::Cut),
        ("delay", Fault::Delay(seconds(4))),
        ("throttle-5", Fault::Throttle(Some(seconds(5)))),
        ("error-500", Fault::ServerError(500)),
        ("error-503", Fault::ServerError(503)),
        ("apply-then-500", Fault::ApplyThenServerError(500)),
        ("forbidden", Fault::Forbidden),
        ("expire-token", Fault::ExpireToken),
        ("withhold-5", Fault::WithholdCommits(seconds(5))),
        ("foreign-token", foreign),
        ("row-gap", invalidate(row_gap)),
        ("invalid-pipe", invalidate("ERR_PIPE_IN_INVALID_STATE")),
        (
            "stale-code",
            invalidate("STALE_CONTINUATION_TOKEN_SEQUENCER"),
        ),
        ("stale-pipe", invalidate("STALE_PIPE_CACHE")),
        ("new-code", invalidate("ERR_SOMETHING_NEW")),
        ("accept-and-lose", Fault::AcceptAndLose),
    ];
    let faults = faults.map(|(name, fault)| (name, Event::Fault(fault)));
    let answers = ["answer-302", "answer-404", "answer-409"].into_iter();
    let answers = answers.zip(FailureMode::REFUSALS.map(FailureMode::Refused));
    let answers = answers.map(|(name, failing)| (name, Event::Answer(failing)));
    let outages = [
        ("away", FailureMode::NoConnection),
        ("silent", FailureMode::NoAnswer),
    ];
    let outages = outages.map(|(name, how)| {
        let outage = Outage {
            part: Part::Everything,
            how,
            length_ms: 200_000,
        };
        (name, Event::Step(RequestPhase::Sent, Step::Outage(outage)))
    });
    let mut all = vec![
        ("bare", Event::OpenWithoutStatus),
        ("late", Event::Late(seconds(25))),
    ];
    all.extend(faults);
    all.extend(answers);
    all.extend(outages);
    all
}

/// Crashes and other writers.
fn steps() -> Vec<(&'static str, Event)> {
    let client = Step::ClientCrash {
        process: 0,
        down_ms: 3_000,
    };
    let server = |lose| Step::ServerCrash {
        lose,
        down_ms: 4_000,
    };
    let rival = |own_source, lifetime_ms| Step::RivalWriter {
        channel: 0,
        own_source,
        lifetime_ms,
    };
    let steps = [
        ("crash-unanswered", RequestPhase::Handled, client.clone()),
        ("crash", RequestPhase::Answered, client),
        ("server-down", RequestPhase::Sent, server(false)),
        ("server-loses", RequestPhase::Sent, server(true)),
        (
            "server-down-unanswered",
            RequestPhase::Handled,
            server(false),
        ),
        (
            "server-loses-unanswered",
            RequestPhase::Handled,
            server(true),
        ),
        ("twin", RequestPhase::Sent, rival(false, Some(2_000))),
        ("rival", RequestPhase::Sent, rival(true, None)),
    ];
    let steps = steps.map(|(name, at, step)| (name, Event::Step(at, step)));
    steps.to_vec()
}

impl Entry {
    /// Whether it is a crash or another writer, and not a fault.
    pub fn is_step(&self) -> bool {
        self.event
            .step()
            .is_some_and(|step| !matches!(step, Step::Outage(_)))
    }

    pub fn is_rival_writer(&self) -> bool {
        matches!(self.event.step(), Some(Step::RivalWriter { .. }))
    }

    pub fn is_foreign_token(&self) -> bool {
        matches!(self.event, Event::Fault(Fault::ForeignToken(_)))
    }

    /// The order of events at the same request.
    pub fn place(&self) -> u8 {
        match self.event {
            Event::Step(RequestPhase::Sent, Step::Outage(_)) => 1,
            Event::Step(RequestPhase::Sent, _) => 0,
            Event::Step(RequestPhase::Handled, _) => 2,
            Event::Step(RequestPhase::Answered, _) => 3,
            _ => 1,
        }
    }

    /// Whether the event applies to this request and has an effect.
    pub fn fits(&self, seen: RequestSeen) -> bool {
        match &self.event {
            Event::Fault(fault) => seen.is_handled && applies(fault, seen.part),
            Event::OpenWithoutStatus => seen.is_handled && seen.part == Part::Opens,
            Event::Answer(_) => seen.is_handled && Part::Account.covers(seen.part),
            Event::Late(_) | Event::Step(RequestPhase::Sent, _) => true,
            Event::Step(RequestPhase::Handled, _) => seen.is_handled,
            Event::Step(RequestPhase::Answered, _) => seen.is_answered,
        }
    }
}

fn applies(fault: &Fault, part: Part) -> bool {
    let is_channel = matches!(part, Part::Appends | Part::Statuses);
    match fault {
        Fault::Stale | Fault::BadRequest(_) => part == Part::Appends,
        Fault::StaleStatus(_) | Fault::Absent => part == Part::Statuses,
        Fault::ExpireToken | Fault::FailedOver => Part::Ingest.covers(part),
        Fault::SecondWriter
        | Fault::WithholdCommits(_)
        | Fault::ForeignToken(_)
        | Fault::Invalidate(_)
        | Fault::AcceptAndLose => is_channel,
        Fault::Zombie => matches!(part, Part::Opens | Part::Appends),
        _ => true,
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.request, self.entry.name)
    }
}

/// Reads `2:lose`.
pub fn read(text: &str) -> Choice {
    let (request, name) = text.split_once(':').unwrap_or_else(|| panic!("{text:?}"));
    let entry = ENTRIES.iter().find(|entry| entry.name == name);
    Choice {
        request: request
            .parse()
            .unwrap_or_else(|why| panic!("{text:?}: {why}")),
        entry: entry.unwrap_or_else(|| panic!("there is no {name:?}")),
    }
}
