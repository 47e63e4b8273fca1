//! A script: everything that a run does, as data. It is drawn from a seed, printed on failure and reduced by shrinking.

use std::fmt;

use snowpipe_streaming::Recovery;
use snowpipe_streaming_emulator::answers::Answers;
use snowpipe_streaming_emulator::{Endpoint, Fault};

use super::outage::Outage;
use super::script::Event;
use super::source_outage::SourceOutage;
use super::trap;

/// A run.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub server: ServerPlan,
    pub processes: Vec<ProcessPlan>,
    pub channels: Vec<ChannelPlan>,
    /// The faults injected at random until `faults_end_ms`.
    pub rates: Vec<Rate>,
    /// The steps, each with its time in milliseconds since the start.
    pub steps: Vec<(u64, Step)>,
    /// The events, each with the number of its request. `None`: requests are not counted.
    pub script: Option<Vec<(u64, Event)>>,
    /// The time after which no fault is injected.
    pub faults_end_ms: u64,
}

#[derive(Debug, Clone)]
pub struct ServerPlan {
    /// What the server answers where the protocol leaves it open.
    pub answers: Answers,
    pub commit_delay_ms: u64,
    pub commit_every_ms: u64,
    /// One way.
    pub latency_ms: u64,
    /// The number of opens per thousand that are answered without the channel's status.
    pub open_without_status_per_mille: u64,
    /// The number of requests per thousand that are delayed for long. Their retries may arrive before them.
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
    /// The largest request that the client sends.
    pub request_bytes: usize,
    pub lag_ms: u64,
    pub attempt_s: u64,
    pub retry_s: u64,
    pub stall_s: u64,
    pub settle_s: u64,
    pub close_s: u64,
    pub append_ms: Option<u64>,
    pub isolate: bool,
    /// Whether it writes to a channel of another process.
    pub is_rival_writer: bool,
}

/// A channel and the source behind it.
#[derive(Debug, Clone)]
pub struct ChannelPlan {
    pub process: usize,
    pub kind: Kind,
    /// The number of rows of its source. A channel without rows is not used.
    pub rows: u64,
    /// The interval at which the source produces rows, in milliseconds.
    pub gap_ms: u64,
    /// The maximum number of rows of an append.
    pub chunk: u64,
    pub row_bytes: usize,
    /// The percentage of rows that the table rejects.
    pub bad_percent: u64,
    pub policy: Policy,
    /// Other operations, each done once when the source has been read up to a row.
    pub ops: Vec<(u64, Op)>,
    /// For a source: how long it may fail before the run gives up, and when it fails.
    pub patience_ms: u64,
    pub source_outage: Option<SourceOutage>,
    /// Whether opens vary the case of the channel's name.
    pub respelled: bool,
    /// For an untracked channel: the number of concurrent senders. With 0, the channel's handle appends.
    pub senders: usize,
}

impl ChannelPlan {
    pub fn is_tracked(&self) -> bool {
        !matches!(self.kind, Kind::Untracked { .. })
    }

    /// Whether its program calls `status` itself.
    pub fn asks_for_status(&self) -> bool {
        let asks = self.ops.iter().any(|(_, op)| *op == Op::Status);
        asks || matches!(self.kind, Kind::Source { .. })
    }

    /// Whether the program reads the committed token when it opens the channel.
    pub fn sees_token(&self) -> bool {
        matches!(self.kind, Kind::Numbers | Kind::Texts | Kind::Digits)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Offsets are the rows' numbers. The program uses every append method.
    Numbers,
    /// Offsets are texts.
    Texts,
    /// Offsets are texts of digits, in the order of texts.
    Digits,
    /// No offsets. `resend`: rows whose outcome is unknown are sent again.
    Untracked { resend: bool },
    /// `ingest::run` with a source, into one channel (0) or this many shards. `digits`: offsets are texts of digits.
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
    /// Waits for the commit, for at most this many milliseconds.
    WaitCommitFor(u64),
    Close,
    /// Closes, and drops the close after this many milliseconds.
    CloseFor(u64),
    Drop,
    Reopen,
    Status,
    /// Appends a row with a token that was used before.
    Reuse,
    /// Drops the next append that is pending, after this many more polls.
    Cancel(u32),
}

impl Op {
    /// Whether the program stops using its channel handle.
    pub fn ends_session(self) -> bool {
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
    /// The process stops, and restarts after this many milliseconds.
    ClientCrash { process: usize, down_ms: u64 },
    /// The server stops and restarts. `lose`: it loses the rows that it had accepted and not committed.
    ServerCrash { lose: bool, down_ms: u64 },
    /// Another process opens a channel, with the same source or its own. It may stop after `lifetime_ms`.
    RivalWriter {
        channel: usize,
        own_source: bool,
        lifetime_ms: Option<u64>,
    },
    /// A part of the server fails every request for a while.
    Outage(Outage),
    /// Statuses come from a replica that lags by `lag_ms`.
    Lag { lag_ms: u64, length_ms: u64 },
    /// The next call of this kind panics.
    Panic(trap::Call),
    /// Injects a fault into the next matching request.
    Inject {
        fault: Fault,
        endpoint: Option<Endpoint>,
        channel: Option<usize>,
    },
}

impl Step {
    /// How long it lasts, or 0 if the step sets no length.
    pub fn length_ms(&self) -> u64 {
        match self {
            Self::Outage(outage) => outage.length_ms,
            Self::Lag { length_ms, .. } => *length_ms,
            _ => 0,
        }
    }
}

impl Plan {
    /// Whether a foreign committed token is injected, which a program has to correct.
    pub fn has_foreign_token(&self) -> bool {
        self.faults()
            .any(|fault| matches!(fault, Fault::ForeignToken(_)))
    }

    pub fn faults(&self) -> impl Iterator<Item = &Fault> {
        let injected = self.steps.iter().filter_map(|(_, step)| match step {
            Step::Inject { fault, .. } => Some(fault),
            _ => None,
        });
        let scripted = self.events().filter_map(|event| match event {
            Event::Fault(fault) => Some(fault),
            _ => None,
        });
        let rates = self.rates.iter().map(|rate| &rate.fault);
        rates.chain(injected).chain(scripted)
    }

    /// Whether only a takeover can make a program stop using its channel, so that the winner is known.
    pub fn has_only_takeover(&self) -> bool {
        let ends_session =
            |channel: &ChannelPlan| channel.ops.iter().any(|(_, op)| op.ends_session());
        let mut steps = self.all_steps();
        let is_takeover = matches!(steps.next(), Some(Step::RivalWriter { .. }));
        self.rates.is_empty()
            && self.server.late_per_mille == 0
            && is_takeover
            && steps.next().is_none()
            && self.events().all(|event| event.step().is_some())
            && !self.channels.iter().any(ends_session)
    }

    /// Whether the script has no faults.
    pub fn is_fault_free(&self) -> bool {
        self.rates.is_empty()
            && self.steps.is_empty()
            && self.script.is_none()
            && self.server.late_per_mille == 0
            && self.server.open_without_status_per_mille == 0
    }

    /// Whether all faults are outages, so that each error can be compared with them.
    pub fn has_only_outages(&self) -> bool {
        self.rates.is_empty()
            && self.server.late_per_mille == 0
            && self.events().all(|event| event.step().is_some())
            && self.outages().next().is_some()
            && self.outages().count() == self.all_steps().count()
    }

    /// Whether all faults are lagging replicas and channels that must be reopened.
    pub fn has_only_lag(&self) -> bool {
        let is_lag = |step: &Step| match step {
            Step::Lag { .. } => true,
            Step::Inject { fault, .. } => matches!(fault, Fault::Invalidate(_)),
            _ => false,
        };
        self.rates.is_empty()
            && self.server.late_per_mille == 0
            && !self.steps.is_empty()
            && self.steps.iter().all(|(_, step)| is_lag(step))
    }

    /// Whether a channel has several writers or a foreign token.
    pub fn has_conflicts(&self) -> bool {
        let is_takeover = |step: &Step| matches!(step, Step::RivalWriter { .. });
        self.has_foreign_token() || self.all_steps().any(is_takeover)
    }

    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.script.iter().flatten().map(|(_, event)| event)
    }

    /// The steps at a time and the steps at a request.
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

    pub fn has_panics(&self) -> bool {
        self.all_steps().any(|step| matches!(step, Step::Panic(_)))
    }

    /// The rivals of a channel: whether each has a source of its own.
    pub fn rivals(&self, wanted: usize) -> impl Iterator<Item = bool> {
        self.all_steps().filter_map(move |step| match step {
            Step::RivalWriter {
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
        writeln!(
            f,
            "seed {}, no faults after {} ms",
            self.seed, self.faults_end_ms
        )?;
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
