//! The configurations, as scripts of the simulator in which nothing is drawn but pauses, from a fixed seed.

use snowpipe_streaming::Recovery;
use snowpipe_streaming_emulator::answers::{Answers, ReplayedToken, RowCounters, SupersededToken};

use super::choice::{Choice, Entry};
use super::explain;
use super::search::{History, Subject};
use crate::drawn::plan::{ChannelPlan, Kind, Plan, Policy, ProcessPlan, ServerPlan};
use crate::drawn::run::run;
use crate::drawn::truth::Sabotage;

/// The client under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// One named channel.
    Named(Recovery),
    /// `ingest::run` with this many shards.
    Ingest(u8),
}

/// A client and a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Configuration {
    pub name: &'static str,
    pub client: Client,
    pub replay: ReplayedToken,
}

pub const CONFIGURATIONS: [Configuration; 8] = [
    of(
        "surface-stale",
        Client::Named(Recovery::Surface),
        ReplayedToken::Stale,
    ),
    of(
        "surface-accept",
        Client::Named(Recovery::Surface),
        ReplayedToken::Accept,
    ),
    of(
        "replay-stale",
        Client::Named(Recovery::Replay),
        ReplayedToken::Stale,
    ),
    of(
        "replay-accept",
        Client::Named(Recovery::Replay),
        ReplayedToken::Accept,
    ),
    of("ingest-stale", Client::Ingest(1), ReplayedToken::Stale),
    of("ingest-accept", Client::Ingest(1), ReplayedToken::Accept),
    of("shards-stale", Client::Ingest(2), ReplayedToken::Stale),
    of("shards-accept", Client::Ingest(2), ReplayedToken::Accept),
];

const fn of(name: &'static str, client: Client, replay: ReplayedToken) -> Configuration {
    Configuration {
        name,
        client,
        replay,
    }
}

impl Subject for Configuration {
    fn name(&self) -> &'static str {
        self.name
    }

    fn least(&self) -> [u64; 3] {
        [230, 10_000, 15_000]
    }

    fn has(&self, entry: &Entry, before: &[Choice]) -> bool {
        let beside = |is: fn(&Entry) -> bool| before.iter().any(|choice| is(choice.entry));
        let is_ingest = matches!(self.client, Client::Ingest(_));
        let is_own_rival = entry.name == "rival";
        // A program that sees a false token corrects it, but not while others write.
        if entry.is_foreign_token() && (is_ingest || beside(Entry::is_rival_writer)) {
            return false;
        }
        if entry.is_rival_writer() && beside(Entry::is_foreign_token) {
            return false;
        }
        !(is_ingest && is_own_rival)
    }

    fn run(&self, choices: &[Choice]) -> History {
        self.history(choices, None)
    }
}

impl Configuration {
    /// Runs a history, on a server that may be sabotaged.
    pub fn history(self, choices: &[Choice], sabotage: Option<Sabotage>) -> History {
        let mut outcome = run(&self.plan(choices), sabotage);
        // A rival with its own source has other rows.
        let own = outcome.errors.iter().filter(|(source, _)| *source == 0);
        let own: Vec<_> = own.map(|(_, kind)| *kind).collect();
        if let Some(kind) = explain::unexplained(&own, choices) {
            let what = format!("{kind:?} names no fault that was injected");
            outcome.wrong.push(what);
        }
        History {
            wrong: outcome.wrong,
            seen: outcome.seen,
            skipped: outcome.skipped,
            trace: outcome.trace,
        }
    }

    fn plan(self, choices: &[Choice]) -> Plan {
        let (recovery, kind) = match self.client {
            Client::Named(recovery) => (recovery, Kind::Numbers),
            Client::Ingest(shards) => {
                let digits = false;
                (Recovery::Surface, Kind::Source { shards, digits })
            }
        };
        let script = choices
            .iter()
            .map(|choice| (choice.request, choice.entry.event.clone()));
        Plan {
            seed: 0,
            server: server(self.replay),
            processes: vec![process(recovery)],
            channels: vec![channel(kind)],
            rates: Vec::new(),
            steps: Vec::new(),
            script: Some(script.collect()),
            faults_end_ms: 0,
        }
    }
}

fn server(replay: ReplayedToken) -> ServerPlan {
    let mut answers = Answers::default();
    answers.wire.replayed_token = replay;
    if replay == ReplayedToken::Accept {
        // Each in half of the configurations: what is independent of the answer to a replayed token need not be doubled.
        answers.wire.row_counters = RowCounters::Late;
        answers.wire.superseded_token = SupersededToken::DropWithOwners;
    }
    ServerPlan {
        answers,
        commit_delay_ms: 150,
        commit_every_ms: 0,
        latency_ms: 30,
        open_without_status_per_mille: 0,
        late_per_mille: 0,
        request_bytes: None,
        requests_per_second: None,
        status_names: None,
        token_life_s: 3_600,
    }
}

fn process(recovery: Recovery) -> ProcessPlan {
    ProcessPlan {
        request_bytes: 4 << 20,
        recovery,
        budget: 64 << 20,
        lag_ms: 0,
        attempt_s: 10,
        retry_s: 60,
        stall_s: 20,
        settle_s: 10,
        close_s: 90,
        append_ms: None,
        isolate: false,
        is_rival_writer: false,
    }
}

/// Without a fault no client sends more than six requests after its opens.
fn channel(kind: Kind) -> ChannelPlan {
    let (rows, gap_ms, chunk) = match kind {
        Kind::Source { shards: 2, .. } => (4, 0, 3),
        Kind::Source { .. } => (2, 100, 1),
        _ => (3, 100, 1),
    };
    ChannelPlan {
        process: 0,
        kind,
        rows,
        gap_ms,
        chunk,
        row_bytes: 8,
        bad_percent: 0,
        policy: Policy::Wait(60_000),
        ops: Vec::new(),
        patience_ms: 600_000,
        source_outage: None,
        respelled: false,
        senders: 0,
    }
}
