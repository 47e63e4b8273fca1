//! Checks the errors that clients report against what happened: takeovers, outages and lagging replicas.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use snowpipe_streaming::{Error, ErrorKind, InvalidationCause, Recovery};
use snowpipe_streaming_emulator::answers::{RowCounters, SupersededToken};
use tokio::time::Instant;

use super::outage::FailureMode;
use super::plan::Plan;
use super::source_record::{Ending, SourceRecord};
use super::world::{ClientProcess, World};

/// The time after which a commit is known, and the number of network latencies added to it, if the server is reachable.
const COMMIT_KNOWN: (Duration, u32) = (Duration::from_secs(4), 8);
/// How much later the counters of a commit are known, if the server shows them late: four seconds, and the next status call.
const COUNTED: Duration = Duration::from_millis(4_500);
/// The poller makes at most two calls per second.
const BETWEEN_CALLS: Duration = Duration::from_millis(500);
/// How long the poller waits for a status.
const STATUS: Duration = Duration::from_secs(15);
/// The time that a client needs to recover after an outage, in addition to an attempt that started before its end.
const RECOVERY: Duration = Duration::from_secs(60);

/// If nothing else fails, one of two writers wins and the other gets an error.
pub fn takeovers(world: &World, records: &[Arc<SourceRecord>]) {
    let plan = &world.plan;
    if !plan.has_only_takeover() {
        return;
    }
    // A channel without rows is not used, and neither is its rival.
    let contested = records.iter().filter(|record| record.plan.rows > 0);
    let contested: Vec<_> = contested.filter(|record| record.contested).collect();
    let won = |record: &&Arc<SourceRecord>| record.ended() == Some(Ending::Done);
    if !contested.is_empty() {
        world.count("takeover judged");
    }
    // A replaying client reopens the channel before it gives up, and may take it from the winner by that.
    let replays = |record: &&Arc<SourceRecord>| {
        plan.processes[record.plan.process].recovery == Recovery::Replay
    };
    // A program whose channel ended before it could learn of the other writer takes the channel over with its next open.
    let took_unaware = |record: &&Arc<SourceRecord>| {
        record.ended() == Some(Ending::Ceded(None)) && record.state.lock().unwrap().unaware
    };
    let settled = !contested.iter().any(|r| replays(r) || took_unaware(r));
    if settled && !contested.is_empty() && !contested.iter().any(won) {
        world.report_violation("of two writers none won");
    }
    for record in contested {
        let is_explained = match record.ended() {
            Some(Ending::Ceded(Some(ErrorKind::Invalidated(cause)))) => matches!(
                cause,
                InvalidationCause::Fenced | InvalidationCause::OffsetConflict
            ),
            Some(Ending::Ceded(None)) => record.state.lock().unwrap().unaware,
            ended => ended == Some(Ending::Done),
        };
        if !is_explained {
            record.report_violation(format!(
                "it lost its channel and reported {:?}",
                record.ended()
            ));
        }
    }
}

/// If nothing else fails, a channel is reopened only as often as the server requires it.
pub fn reopens(world: &World, records: &[Arc<SourceRecord>]) {
    if !world.plan.has_only_lag() {
        return;
    }
    world.count("lag judged");
    let injected = world.server().map(|server| server.faults().injected());
    let asked = injected.and_then(|faults| faults.get("invalidate").copied());
    let asked = asked.unwrap_or(0);
    let reopens: u64 = records
        .iter()
        .map(|record| record.state.lock().unwrap().reopens)
        .sum();
    if reopens > asked {
        world.report_violation(format!(
            "channels were invalidated {reopens} times, and the server did so {asked} times"
        ));
    }
}

/// Counts the scripts in which errors are compared with outages.
pub fn outages(world: &World) {
    if world.plan.has_only_outages() {
        world.count("outage judged");
    }
}

/// Checks the cause of an invalidation.
pub fn invalidation(record: &SourceRecord, process: &ClientProcess, error: &Error) {
    record.note(error);
    let ErrorKind::Invalidated(cause) = error.kind() else {
        return;
    };
    let (world, plan) = (&record.world, &record.world.plan);
    let silence = world.view().silence(process.id);
    let process = &plan.processes[record.plan.process];
    let stall = Duration::from_secs(process.stall_s);
    // With replay, the stall may have been detected long ago.
    let is_prompt = process.recovery == Recovery::Surface;
    if cause == InvalidationCause::CommitStalled
        && is_prompt
        && silence.is_none_or(|silence| silence >= stall)
    {
        record.report_violation(format!(
            "commits are said to stall after {silence:?} without a status"
        ));
    }
    if cause == InvalidationCause::CommitStalled
        && record.contested
        && plan.server.answers.wire.superseded_token == SupersededToken::DropWithOld
    {
        record.state.lock().unwrap().unaware = true;
    }
    if cause == InvalidationCause::OffsetConflict && !plan.has_conflicts() {
        record.report_violation("a conflict without another writer");
    }
    if cause == InvalidationCause::MustReopen {
        record.state.lock().unwrap().reopens += 1;
    }
    if !plan.has_only_outages() {
        return;
    }
    let is_refused = |failing| matches!(failing, FailureMode::Refused(_));
    // An unanswered batch that is then refused as too large is not split.
    if cause == InvalidationCause::Ambiguous && error.http_status() == Some(413) {
        return;
    }
    let is_named = match cause {
        InvalidationCause::Unreachable => true,
        InvalidationCause::Unauthorized => plan.outages().any(|outage| is_refused(outage.how)),
        _ => false,
    };
    if !is_named {
        record.report_violation(format!("an outage is said to be {cause:?}"));
    }
    let lengths = plan.outages().map(|outage| outage.length());
    let over = lengths.sum::<Duration>() + Duration::from_secs(process.attempt_s) + RECOVERY;
    if over < Duration::from_secs(process.retry_s) {
        record.report_violation(format!("an outage was not ridden out: {cause:?}"));
    }
}

/// How long a commit may take to become known. A server that limits the channels of a status call needs several calls, and
/// refuses longer ones until the client has learned the limit. Each call waits for calls of clients that end its token.
fn commit_known_within(plan: &Plan) -> Duration {
    let latency = Duration::from_millis(plan.server.latency_ms) * (1 + plan.calls_of_others());
    let calls = plan.server.status_names.map_or(0, |names| {
        let calls = plan.channels.len().div_ceil(names);
        2 * calls + calls.ilog2() as usize
    });
    let calls = u32::try_from(calls).unwrap();
    let counted = match plan.server.answers.wire.row_counters {
        RowCounters::Late => COUNTED.saturating_add(latency * 2),
        RowCounters::AtOnce => Duration::ZERO,
    };
    counted + COMMIT_KNOWN.0 + latency * COMMIT_KNOWN.1 + (BETWEEN_CALLS + 2 * latency) * calls
}

/// Checks how long it took until a commit was known. If all faults are outages, the time of the outages does not count;
/// otherwise the time starts after all faults and their aftereffects.
pub fn commit(record: &SourceRecord, process: &ClientProcess, rows: Range<u64>, attempt: u64) {
    let world = &record.world;
    let is_known = world.plan.script.is_none() || world.plan.has_only_outages();
    if record.shared || !is_known {
        return;
    }
    let Some(landed_ms) = world.truth.landed_ms(record.source, rows.clone(), attempt) else {
        return;
    };
    let landed = world.start + Duration::from_millis(landed_ms);
    let free = if world.plan.is_fault_free() {
        None
    } else if world.plan.has_only_outages() {
        let hangs = world.plan.processes[record.plan.process].attempt_s;
        let hangs = Duration::from_secs(hangs).max(STATUS);
        world.view().blocked_until(process.id, hangs)
    } else {
        Some(world.faults_end() + world.plan.aftereffects())
    };
    let since = free.max(Some(landed));
    let took = since.map_or(Duration::ZERO, |since| {
        Instant::now().saturating_duration_since(since)
    });
    if took > commit_known_within(&world.plan) {
        record.report_violation(format!(
            "rows {rows:?} landed, and that became known {took:?} later"
        ));
    }
}
