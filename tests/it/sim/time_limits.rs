//! How long things may take once nothing goes wrong any more: what a script may have begun, and what is left to do.

use std::time::Duration;

use snowpipe_streaming::emulator::Fault;

use super::outage::Failing;
use super::plan::{ChannelPlan, Kind, Op, Plan, Step};
use super::script::Event;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The longest that a request is late.
pub const LATE: Duration = s(100);
/// A client asks for a status no longer.
const STATUS: Duration = s(15);
/// A client believes no replica for as long after an open.
const REPLICA_LAG: Duration = s(30);
/// The numbers of shards that a run may have, and the calls by which it learns how many a call may name.
const LAYOUTS: u32 = 65 + 7;
/// A commit is known so soon after it.
const KNOWN: Duration = s(4);
/// The pauses between tries, and between the lives of what has failed.
const PAUSE: Duration = s(30);

impl Plan {
    /// For so long after the calm what went wrong before may last: attempts that wait for an answer, delays that were
    /// asked for, requests that are late, commits that are withheld, processes that are down.
    pub fn echo(&self) -> Duration {
        let of_fault = |fault: &Fault| match fault {
            Fault::Delay(delay) => *delay,
            Fault::Throttle(delay) => delay.unwrap_or(Duration::ZERO),
            Fault::WithholdCommits(length) => *length,
            // A replica that is behind shows what is over as long.
            Fault::StaleStatus(lag) => *lag,
            _ => Duration::ZERO,
        };
        let after_calm = |at: u64, length: u64| {
            Duration::from_millis((at + length).saturating_sub(self.calm_ms))
        };
        let of_step = |(at, step): &(u64, Step)| match step {
            Step::ClientCrash { down_ms, .. } => after_calm(*at, *down_ms),
            Step::Outage(outage) => match outage.how {
                Failing::Throttled(Some(after)) => s(after),
                _ => Duration::ZERO,
            },
            _ => Duration::ZERO,
        };
        let of_deed = |event: &Event| match event {
            Event::Late(late) => *late,
            Event::Answer(Failing::Throttled(Some(after))) => s(*after),
            Event::Step(
                _,
                Step::ClientCrash { down_ms, .. } | Step::ServerCrash { down_ms, .. },
            ) => Duration::from_millis(*down_ms),
            Event::Step(_, step) => Duration::from_millis(step.length_ms()),
            _ => Duration::ZERO,
        };
        let is_late = self.server.late_per_mille > 0;
        let late = if is_late { LATE } else { Duration::ZERO };
        let is_bare = self.server.bare_open_per_mille > 0;
        let bare = if is_bare { REPLICA_LAG } else { Duration::ZERO };
        let steps = self.steps.iter().map(of_step);
        let begun = self.faults().map(of_fault).chain(steps);
        let events: Duration = self.events().map(of_deed).sum();
        let attempts = self.processes.iter().map(|process| s(process.attempt_s));
        let attempt = attempts.max().unwrap_or_default().max(STATUS);
        late + bare + begun.max().unwrap_or_default() + events + attempt + PAUSE
    }

    /// So long after the calm a channel's program is through with it.
    pub fn time_limit(&self, channel: &ChannelPlan) -> Duration {
        let calm = Duration::from_millis(self.calm_ms);
        let last = Duration::from_millis(channel.rows * channel.gap_ms);
        // The last row may come into being after the calm.
        last.saturating_sub(calm) + self.echo() + self.left(channel)
    }

    /// So long after the calm all programs are through, and their clients hold nothing.
    pub fn whole_time_limit(&self) -> Duration {
        let channels = self.channels.iter().map(|channel| self.time_limit(channel));
        let processes = self.processes.iter();
        let rests = processes.map(|process| s(process.close_s + process.settle_s) + PAUSE);
        channels.max().unwrap_or_default() + rests.max().unwrap_or_default()
    }

    /// What is left to do for a channel, if nothing hinders it.
    fn left(&self, channel: &ChannelPlan) -> Duration {
        let (server, process) = (&self.server, &self.processes[channel.process]);
        let millis = Duration::from_millis;
        // A request and its answer, when its turn has come.
        let mut call = millis(2 * server.latency_ms);
        if let Some(per_second) = server.requests_per_second {
            let channels = u32::try_from(self.channels.len()).unwrap();
            call += s(2) * channels / u32::try_from(per_second).unwrap();
        }
        let commit = millis(process.lag_ms + server.commit_delay_ms + server.commit_every_ms);
        let (rows, ops) = (channel.rows, channel.ops.len());
        // Whoever writes to a channel takes it from the others, and each row may have to be sent by all of them.
        let rivals = (0..self.channels.len()).map(|channel| self.rivals(channel).count());
        let rivals = rivals.max().unwrap_or_default();
        let appends = call * u32::try_from(rows).unwrap() * u32::try_from(1 + rivals).unwrap();
        let waits = (commit + 2 * call + KNOWN) * u32::try_from(ops + 1).unwrap();
        // It may be that what was sent before the calm is lost, and that is noticed when no commits come; and the hold of
        // a channel that is left with rows on their way ends when these are committed.
        let is_left = |(_, op): &&(u64, Op)| op.leaves();
        let leaves = match channel.kind {
            Kind::Source { .. } | Kind::Untracked { .. } => 0,
            _ => channel.ops.iter().filter(is_left).count(),
        };
        let events = self.events().count();
        let hold = s(process.stall_s + process.settle_s + process.close_s) + PAUSE + REPLICA_LAG;
        let holds = hold * u32::try_from(leaves + events + 1).unwrap();
        // A run that is stopped is followed by another one; each asks for the channels of other numbers of shards.
        let asks = match (channel.kind, server.status_names) {
            (Kind::Source { .. }, Some(names)) => {
                2 * LAYOUTS.div_ceil(u32::try_from(names).unwrap())
            }
            _ => 0,
        };
        appends + waits + holds + call * asks
    }
}
