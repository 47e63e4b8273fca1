//! A script: everything that a run does, as data. A seed draws one, a person can read it, shrinking takes parts of it away.

use std::fmt;

use snowpipe_streaming::Recovery;
use snowpipe_streaming::emulator::{Endpoint, Fault, ReplayedToken};

use super::outage::Outage;
use super::script::Event;
use super::source_outage::SourceOutage;

/// A run.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub server: ServerPlan,
    pub processes: Vec<ProcessPlan>,
    pub channels: Vec<ChannelPlan>,
    /// What goes wrong at random until it is calm.
    pub rates: Vec<Rate>,
    /// What happens when, in milliseconds since the start.
    pub steps: Vec<(u64, Step)>,
    /// What happens at which request, if requests are counted.
    pub script: Option<Vec<(u64, Event)>>,
    /// From here on nothing goes wrong any more.
    pub calm_ms: u64,
}

#[derive(Debug, Clone)]
pub struct ServerPlan {
    pub replay: ReplayedToken,
    pub commit_delay_ms: u64,
    pub commit_every_ms: u64,
    /// One way.
    pub latency_ms: u64,
    /// How many opens in a thousand are answered without the channel's status.
    pub bare_open_per_mille: u64,
    /// How many requests in a thousand arrive after a long time, their retries perhaps before them.
    pub late_per_mille: u64,
    pub request_bytes: Option<usize>,
    pub requests_per_second: Option<u64>,
    pub status_names: Option<usize>,
    pub token_life_s: u64,
}

/// A client and its options.
#[derive(Debug, Clone)]
pub struct ProcessPlan {
    pub recovery: Recovery,
    pub budget: usize,
    pub lag_ms: u64,
    pub attempt_s: u64,
    pub retry_s: u64,
    pub stall_s: u64,
    pub settle_s: u64,
    pub close_s: u64,
    pub append_ms: Option<u64>,
    pub isolate: bool,
    /// It writes to a channel of another one.
    pub is_rival_writer: bool,
}

/// A channel and the source behind it.
#[derive(Debug, Clone)]
pub struct ChannelPlan {
    pub process: usize,
    pub kind: Kind,
    /// How many rows its source has; none, and the channel is left out.
    pub rows: u64,
    /// A row comes into being every so many milliseconds.
    pub gap_ms: u64,
    /// At most so many rows go into one append.
    pub chunk: u64,
    pub row_bytes: usize,
    /// Of a hundred rows the table refuses so many.
    pub bad_percent: u64,
    pub policy: Policy,
    /// What else is done, once each, when the source is read so far.
    pub ops: Vec<(u64, Op)>,
    /// Of a source: how long it may fail, and when it does.
    pub patience_ms: u64,
    pub source_outage: Option<SourceOutage>,
    /// Names are written in another case with each open.
    pub respelled: bool,
    /// Without offsets: so many senders append at once. None: the channel's own handle appends.
    pub senders: usize,
}

impl ChannelPlan {
    pub fn is_tracked(&self) -> bool {
        !matches!(self.kind, Kind::Untracked { .. })
    }

    /// Whether its program asks for statuses itself.
    pub fn asks_for_status(&self) -> bool {
        let asks = self.ops.iter().any(|(_, op)| *op == Op::Status);
        asks || matches!(self.kind, Kind::Source { .. })
    }

    /// Whether the program sees the committed token itself when it opens the channel.
    pub fn sees_token(&self) -> bool {
        matches!(self.kind, Kind::Numbers | Kind::Texts | Kind::Digits)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Offsets are the row's numbers; every way to append them.
    Numbers,
    /// Offsets are texts.
    Texts,
    /// Offsets are texts of digits, which rise as texts do.
    Digits,
    /// No offsets. `resend`: rows that may or may not be in are sent again.
    Untracked { resend: bool },
    /// `ingest::run` with a source, into one channel or into so many. `digits`: its offsets are texts of digits.
    Source { shards: u8, digits: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    Wait(u64),
    WaitThenDiscard(u64),
    Discard,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Flush,
    WaitFlush,
    WaitCommit,
    /// Waits for the commit, but only so many milliseconds.
    WaitCommitFor(u64),
    Close,
    /// Closes, but gives up waiting after so many milliseconds.
    CloseFor(u64),
    Drop,
    Reopen,
    Status,
    /// Appends a row once more with a token that was used before.
    Reuse,
    /// The next append that waits is dropped when it was polled so often more.
    Cancel(u32),
}

impl Op {
    /// Whether the program lets go of its channel.
    pub fn leaves(self) -> bool {
        matches!(
            self,
            Self::Close | Self::CloseFor(_) | Self::Drop | Self::Reopen
        )
    }
}

#[derive(Debug, Clone)]
pub struct Rate {
    pub fault: Fault,
    pub endpoint: Option<Endpoint>,
    pub per_mille: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The process is gone, and there again after so many milliseconds.
    ClientCrash { process: usize, down_ms: u64 },
    /// The same of the server. `lose`: with what it had accepted and not committed.
    ServerCrash { lose: bool, down_ms: u64 },
    /// Another process opens a channel: with the same source, or with one of its own. It may be gone after a while.
    Thief {
        channel: usize,
        own_source: bool,
        life_ms: Option<u64>,
    },
    /// A part of the server fails every request for a while.
    Outage(Outage),
    /// For a while statuses come from a replica that is so far behind.
    Lag { lag_ms: u64, length_ms: u64 },
    /// Strikes the next request.
    Strike {
        fault: Fault,
        endpoint: Option<Endpoint>,
        channel: Option<usize>,
    },
}

impl Step {
    /// How long it lasts, if that is said and nothing else ends it.
    pub fn length_ms(&self) -> u64 {
        match self {
            Self::Outage(outage) => outage.length_ms,
            Self::Lag { length_ms, .. } => *length_ms,
            _ => 0,
        }
    }
}

impl Plan {
    /// Whether the committed token is tampered with, so that somebody has to set it right.
    pub fn tampers(&self) -> bool {
        self.faults()
            .any(|fault| matches!(fault, Fault::ForeignToken(_)))
    }

    pub fn faults(&self) -> impl Iterator<Item = &Fault> {
        let struck = self.steps.iter().filter_map(|(_, step)| match step {
            Step::Strike { fault, .. } => Some(fault),
            _ => None,
        });
        let scripted = self.events().filter_map(|event| match event {
            Event::Fault(fault) => Some(fault),
            _ => None,
        });
        let rates = self.rates.iter().map(|rate| &rate.fault);
        rates.chain(struck).chain(scripted)
    }

    /// Whether nothing but a takeover can end a hold of a channel, so that the winner is known.
    pub fn is_takeover_alone(&self) -> bool {
        let leaves = |channel: &ChannelPlan| channel.ops.iter().any(|(_, op)| op.leaves());
        let mut steps = self.all_steps();
        let is_theft = matches!(steps.next(), Some(Step::Thief { .. }));
        self.rates.is_empty()
            && self.server.late_per_mille == 0
            && is_theft
            && steps.next().is_none()
            && self.events().all(|event| event.step().is_some())
            && !self.channels.iter().any(leaves)
    }

    /// Whether nothing goes wrong.
    pub fn is_quiet(&self) -> bool {
        self.rates.is_empty()
            && self.steps.is_empty()
            && self.script.is_none()
            && self.server.late_per_mille == 0
            && self.server.bare_open_per_mille == 0
    }

    /// Whether nothing but outages goes wrong, so that each error can be held against them.
    pub fn is_outage_alone(&self) -> bool {
        self.rates.is_empty()
            && self.server.late_per_mille == 0
            && self.events().all(|event| event.step().is_some())
            && self.outages().next().is_some()
            && self.outages().count() == self.all_steps().count()
    }

    /// Whether nothing but channels that are to be opened again and replicas that lag behind that goes wrong.
    pub fn is_lag_alone(&self) -> bool {
        let is_lag = |step: &Step| match step {
            Step::Lag { .. } => true,
            Step::Strike { fault, .. } => matches!(fault, Fault::Invalidate(_)),
            _ => false,
        };
        self.rates.is_empty()
            && self.server.late_per_mille == 0
            && !self.steps.is_empty()
            && self.steps.iter().all(|(_, step)| is_lag(step))
    }

    /// Whether several write to a channel, or its token is tampered with.
    pub fn has_conflicts(&self) -> bool {
        let is_theft = |step: &Step| matches!(step, Step::Thief { .. });
        self.tampers() || self.all_steps().any(is_theft)
    }

    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.script.iter().flatten().map(|(_, event)| event)
    }

    /// Those at a time and those at a request.
    fn all_steps(&self) -> impl Iterator<Item = &Step> {
        let timed = self.steps.iter().map(|(_, step)| step);
        timed.chain(self.events().filter_map(Event::step))
    }

    pub fn outages(&self) -> impl Iterator<Item = &Outage> {
        self.all_steps().filter_map(|step| match step {
            Step::Outage(outage) => Some(outage),
            _ => None,
        })
    }

    /// The rivals of a channel: whether each has a source of its own.
    pub fn rivals(&self, wanted: usize) -> impl Iterator<Item = bool> {
        self.all_steps().filter_map(move |step| match step {
            Step::Thief {
                channel,
                own_source,
                ..
            } if *channel == wanted => Some(*own_source),
            _ => None,
        })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}, calm at {} ms", self.seed, self.calm_ms)?;
        writeln!(f, "  {:?}", self.server)?;
        for (i, process) in self.processes.iter().enumerate() {
            let mut channels = self.channels.iter();
            if channels.any(|channel| channel.process == i && channel.rows > 0) {
                writeln!(f, "  process {i}: {process:?}")?;
            }
        }
        for (i, channel) in self.channels.iter().enumerate() {
            if channel.rows > 0 {
                writeln!(f, "  channel {i}: {channel:?}")?;
            }
        }
        for rate in &self.rates {
            writeln!(f, "  {rate:?}")?;
        }
        for (at, step) in &self.steps {
            writeln!(f, "  at {at} ms: {step:?}")?;
        }
        for (request, event) in self.script.iter().flatten() {
            writeln!(f, "  at request {request}: {event:?}")?;
        }
        Ok(())
    }
}
