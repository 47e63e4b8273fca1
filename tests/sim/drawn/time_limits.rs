//! How long a run may take after the last fault: the aftereffects of faults, and the remaining work.

use std::time::Duration;

use snowpipe_streaming_emulator::Fault;
use snowpipe_streaming_emulator::answers::{EarlierToken, RowCounters};

use super::outage::FailureMode;
use super::plan::{ChannelPlan, Kind, Op, Plan, Step};
use super::script::Event;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The maximum delay of a request.
pub const LATE: Duration = s(100);
/// The timeout of a client's status call.
const STATUS: Duration = s(15);
/// How long after an open a client distrusts the status of a replica.
const REPLICA_LAG: Duration = s(30);
/// The possible numbers of shards of a run, and the calls by which it learns how many channels a call may name.
const LAYOUTS: u32 = 65 + 7;
/// The time after which a commit is known.
const KNOWN: Duration = s(4);
/// The time after which a commit is counted, if the counters are late, and a status call shows that.
const COUNTED: Duration = s(6);
/// The pauses between attempts, and before restarts.
const PAUSE: Duration = s(30);

impl Plan {
    /// How long faults may have effects after the last one: attempts that wait for an answer, delays that the server asked
    /// for, delayed requests, withheld commits, processes that are down.
    pub fn aftereffects(&self) -> Duration {
        let of_fault = |fault: &Fault| match fault {
            Fault::Delay(delay) => *delay,
            Fault::Throttle(delay) => delay.unwrap_or(Duration::ZERO),
            Fault::WithholdCommits(length) => *length,
            // A lagging replica shows past states for this long.
            Fault::StaleStatus(lag) => *lag,
            _ => Duration::ZERO,
        };
        let after_faults = |at: u64, length: u64| {
            Duration::from_millis((at + length).saturating_sub(self.faults_end_ms))
        };
        let of_step = |(at, step): &(u64, Step)| match step {
            Step::ClientCrash { down_ms, .. } => after_faults(*at, *down_ms),
            Step::Outage(outage) => match outage.how {
                FailureMode::Throttled(Some(after)) => s(after),
                _ => Duration::ZERO,
            },
            _ => Duration::ZERO,
        };
        let of_event = |event: &Event| match event {
            Event::Late(late) => *late,
            Event::Answer(FailureMode::Throttled(Some(after))) => s(*after),
            Event::Step(
                _,
                Step::ClientCrash { down_ms, .. } | Step::ServerCrash { down_ms, .. },
            ) => Duration::from_millis(*down_ms),
            Event::Step(_, step) => Duration::from_millis(step.length_ms()),
            _ => Duration::ZERO,
        };
        let is_late = self.server.late_per_mille > 0;
        let late = if is_late { LATE } else { Duration::ZERO };
        let omits_status = self.server.open_without_status_per_mille > 0;
        let bare = if omits_status {
            REPLICA_LAG
        } else {
            Duration::ZERO
        };
        let steps = self.steps.iter().map(of_step);
        let ongoing = self.faults().map(of_fault).chain(steps);
        let events: Duration = self.events().map(of_event).sum();
        let attempts = self.processes.iter().map(|process| s(process.attempt_s));
        let attempt = attempts.max().unwrap_or_default().max(STATUS);
        late + bare + ongoing.max().unwrap_or_default() + events + attempt + PAUSE
    }

    /// How long after the last fault a channel's program may take to finish.
    pub fn time_limit(&self, channel: &ChannelPlan) -> Duration {
        let faults_end = Duration::from_millis(self.faults_end_ms);
        let last = Duration::from_millis(channel.rows * channel.gap_ms);
        // The last row may become available after the last fault.
        last.saturating_sub(faults_end) + self.aftereffects() + self.remaining_work(channel)
    }

    /// How long after the last fault all programs may take to finish, and their clients to release all memory.
    pub fn whole_time_limit(&self) -> Duration {
        let channels = self.channels.iter().map(|channel| self.time_limit(channel));
        let processes = self.processes.iter();
        let rests = processes.map(|process| s(process.close_s + process.settle_s) + PAUSE);
        channels.max().unwrap_or_default() + rests.max().unwrap_or_default()
    }

    /// How many calls of other clients a call waits for, because the clients end each other's tokens. Between the calls of two
    /// clients there is always an exchange, and its token has to live until the call arrives: as long as a call takes, in which no
    /// other client can make one. A refused call goes before each exchange, so that two clients need three calls' time for one call.
    pub fn calls_of_others(&self) -> u32 {
        let rivals: usize = (0..self.channels.len())
            .map(|channel| self.rivals(channel).count())
            .sum();
        let clients = u32::try_from(self.processes.len() + rivals).unwrap();
        match self.server.answers.wire.earlier_token {
            EarlierToken::Dies => 2 * (clients - 1),
            EarlierToken::Lives => 0,
        }
    }

    /// The time for the remaining work of a channel without faults.
    fn remaining_work(&self, channel: &ChannelPlan) -> Duration {
        let (server, process) = (&self.server, &self.processes[channel.process]);
        let millis = Duration::from_millis;
        // A request and its answer, with the wait for the rate limit.
        let mut call = millis(2 * server.latency_ms);
        let others = call * self.calls_of_others();
        if let Some(per_second) = server.requests_per_second {
            let channels = u32::try_from(self.channels.len()).unwrap();
            call += s(2) * channels / u32::try_from(per_second).unwrap();
        }
        let commit = millis(process.lag_ms + server.commit_delay_ms + server.commit_every_ms);
        let (rows, ops) = (channel.rows, channel.ops.len());
        // After a reject that is isolated, requests are small for a while, and each waits until the one before is counted.
        let isolates = process.isolate && channel.bad_percent > 0;
        let until_counted = match server.answers.wire.row_counters {
            RowCounters::Late if isolates => commit + COUNTED,
            _ => Duration::ZERO,
        };
        // Each writer takes the channel over from the others, and each row may have to be sent by all of them. If rows are large,
        // each request has one row, and each may wait for the calls of clients that end each other's tokens.
        let rivals = (0..self.channels.len()).map(|channel| self.rivals(channel).count());
        let rivals = rivals.max().unwrap_or_default();
        let each = call + others + until_counted;
        let appends = each * u32::try_from(rows).unwrap() * u32::try_from(1 + rivals).unwrap();
        let waits = (commit + 2 * call + 2 * others + KNOWN) * u32::try_from(ops + 1).unwrap();
        // Rows sent before the last fault may be lost, which is noticed when commits stall. A channel that is closed or
        // dropped with rows in flight is released when these are committed.
        let is_left = |(_, op): &&(u64, Op)| op.ends_session();
        let ends_session = match channel.kind {
            Kind::Source { .. } | Kind::Untracked { .. } => 0,
            _ => channel.ops.iter().filter(is_left).count(),
        };
        let events = self.events().count();
        let hold = s(process.stall_s + process.settle_s + process.close_s) + PAUSE + REPLICA_LAG;
        let holds = hold * u32::try_from(ends_session + events + 1).unwrap();
        // A stopped run is followed by another one. Each calls for the statuses of the channels of other shard counts.
        let asks = match (channel.kind, server.status_names) {
            (Kind::Source { .. }, Some(names)) => {
                2 * LAYOUTS.div_ceil(u32::try_from(names).unwrap())
            }
            _ => 0,
        };
        appends + waits + holds + (call + others) * asks
    }
}
