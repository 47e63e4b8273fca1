//! Whether what clients say fits what happened: of takeovers, of outages, and of errors in general.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use snowpipe_streaming::{Error, ErrorKind, InvalidationCause, Recovery};
use tokio::time::Instant;

use super::outage::Failing;
use super::plan::Plan;
use super::source_record::{Ending, SourceRecord};
use super::world::{ClientProcess, World};

/// A commit is known so soon after it, and after so many ways to the server, unless the server is out of reach.
const KNOWN: (Duration, u32) = (Duration::from_secs(4), 8);
/// The poller makes two calls a second at most.
const BETWEEN_CALLS: Duration = Duration::from_millis(500);
/// The poller waits so long for a status.
const STATUS: Duration = Duration::from_secs(15);
/// An outage is over for a client so long after its end, besides an attempt that began before.
const OVER: Duration = Duration::from_secs(60);

/// Without anything else in the way one of two writers wins, and the other gets an error.
pub fn takeovers(world: &World, records: &[Arc<SourceRecord>]) {
    let plan = &world.plan;
    if !plan.is_takeover_alone() {
        return;
    }
    // A channel without rows is left out, and so is its rival.
    let contested = records.iter().filter(|record| record.plan.rows > 0);
    let contested: Vec<_> = contested.filter(|record| record.contested).collect();
    let won = |record: &&Arc<SourceRecord>| record.ended() == Some(Ending::Done);
    if !contested.is_empty() {
        world.count("takeover judged");
    }
    // A replay opens the channel once more before it gives way, and may take it from the winner by that.
    let replays = |record: &&Arc<SourceRecord>| {
        plan.processes[record.plan.process].recovery == Recovery::Replay
    };
    // One whose close ran out of time before it could know of the other takes the channel from it with its next open.
    let took_unaware = |record: &&Arc<SourceRecord>| {
        record.ended() == Some(Ending::Ceded(None)) && record.state.lock().unwrap().ran_out
    };
    let settled = !contested.iter().any(|r| replays(r) || took_unaware(r));
    if settled && !contested.is_empty() && !contested.iter().any(won) {
        world.blame("of two writers none won");
    }
    for record in contested {
        let view = match record.ended() {
            Some(Ending::Ceded(Some(ErrorKind::Invalidated(cause)))) => matches!(
                cause,
                InvalidationCause::Fenced | InvalidationCause::OffsetConflict
            ),
            Some(Ending::Ceded(None)) => record.state.lock().unwrap().ran_out,
            ended => ended == Some(Ending::Done),
        };
        if !view {
            record.blame(format!("it lost its channel and view {:?}", record.ended()));
        }
    }
}

/// Where nothing else goes wrong, a channel is opened again only as often as the server asks for it.
pub fn reopens(world: &World, records: &[Arc<SourceRecord>]) {
    if !world.plan.is_lag_alone() {
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
        world.blame(format!(
            "channels were invalidated {reopens} times, and the server did so {asked} times"
        ));
    }
}

/// Counts the scripts in which errors are held against outages.
pub fn outages(world: &World) {
    if world.plan.is_outage_alone() {
        world.count("outage judged");
    }
}

/// Why a client ended a channel.
pub fn invalidation(record: &SourceRecord, process: &ClientProcess, error: &Error) {
    record.note(error);
    let ErrorKind::Invalidated(cause) = error.kind() else {
        return;
    };
    let (world, plan) = (&record.world, &record.world.plan);
    let silence = world.view().silence(process.id);
    let process = &plan.processes[record.plan.process];
    let stall = Duration::from_secs(process.stall_s);
    // Of one that replays it may be long ago.
    let is_prompt = process.recovery == Recovery::Surface;
    if cause == InvalidationCause::CommitStalled
        && is_prompt
        && silence.is_none_or(|silence| silence >= stall)
    {
        record.blame(format!(
            "commits are said to stall after {silence:?} without a status"
        ));
    }
    if cause == InvalidationCause::OffsetConflict && !plan.has_conflicts() {
        record.blame("a conflict without another writer");
    }
    if cause == InvalidationCause::MustReopen {
        record.state.lock().unwrap().reopens += 1;
    }
    if !plan.is_outage_alone() {
        return;
    }
    let is_refused = |failing| matches!(failing, Failing::Refused(_));
    // What turns out to be too large after it went unanswered is not cut.
    if cause == InvalidationCause::Ambiguous && error.http_status() == Some(413) {
        return;
    }
    let is_named = match cause {
        InvalidationCause::Unreachable => true,
        InvalidationCause::Unauthorized => plan.outages().any(|outage| is_refused(outage.how)),
        _ => false,
    };
    if !is_named {
        record.blame(format!("an outage is said to be {cause:?}"));
    }
    let lengths = plan.outages().map(|outage| outage.length());
    let over = lengths.sum::<Duration>() + Duration::from_secs(process.attempt_s) + OVER;
    if over < Duration::from_secs(process.retry_s) {
        record.blame(format!("an outage was not ridden out: {cause:?}"));
    }
}

/// How long a commit may take to become known. A server that answers for few channels in one call is called once for each few
/// of them, and refuses longer calls until the client has learned the limit.
fn known(plan: &Plan) -> Duration {
    let latency = Duration::from_millis(plan.server.latency_ms);
    let calls = plan.server.status_names.map_or(0, |names| {
        let calls = plan.channels.len().div_ceil(names);
        2 * calls + calls.ilog2() as usize
    });
    let calls = u32::try_from(calls).unwrap();
    KNOWN.0 + latency * KNOWN.1 + (BETWEEN_CALLS + 2 * latency) * calls
}

/// How long it took to know of a commit. Outages that are all that goes wrong are known to be in the way; of everything else
/// it is known when it is over.
pub fn commit(record: &SourceRecord, process: &ClientProcess, rows: Range<u64>, attempt: u64) {
    let world = &record.world;
    let is_known = world.plan.script.is_none() || world.plan.is_outage_alone();
    if record.shared || !is_known {
        return;
    }
    let Some(landed_ms) = world.truth.landed_ms(record.source, rows.clone(), attempt) else {
        return;
    };
    let landed = world.start + Duration::from_millis(landed_ms);
    let free = if world.plan.is_quiet() {
        None
    } else if world.plan.is_outage_alone() {
        let hangs = world.plan.processes[record.plan.process].attempt_s;
        let hangs = Duration::from_secs(hangs).max(STATUS);
        world.view().kept_until(process.id, hangs)
    } else {
        Some(world.calm_at() + world.plan.echo())
    };
    let since = free.max(Some(landed));
    let took = since.map_or(Duration::ZERO, |since| {
        Instant::now().saturating_duration_since(since)
    });
    if took > known(&world.plan) {
        record.blame(format!(
            "rows {rows:?} landed, and that became known {took:?} later"
        ));
    }
}
