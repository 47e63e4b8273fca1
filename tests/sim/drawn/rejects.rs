//! Checks the rejects that clients report against the rows that the table rejected: the windows of a channel, and the dead
//! letters of a source.

use std::collections::{BTreeMap, BTreeSet};

use snowpipe_streaming::ingest::Rejected;
use snowpipe_streaming::{OffsetToken, RejectWindow};
use snowpipe_streaming_emulator::answers::RowCounters;

use super::digit_tokens::SourceOffset;
use super::source_record::{Row, SourceRecord};

/// The rejects and releases that a source has stored durably.
#[derive(Debug, Default)]
pub struct DurableState {
    /// All rows before this one are released.
    pub released: u64,
    dead: BTreeSet<u64>,
    /// By channel: the number of its rejected rows.
    totals: BTreeMap<String, u64>,
}

impl DurableState {
    /// The number of rejects of a channel that were reported to the source.
    pub fn seen(&self, channel: &str) -> u64 {
        self.totals.get(channel).copied().unwrap_or(0)
    }

    pub fn keep<O: SourceOffset>(&mut self, rejected: &Rejected<O>, rows: &[(O, Row<'static>)]) {
        self.dead
            .extend(rows.iter().map(|(offset, _)| offset.row()));
        self.totals.insert(rejected.channel.clone(), rejected.total);
    }
}

/// Checks that every rejected row is in a reported window, and that every window contains as many as it reports. `unobserved`:
/// some windows may not have been observed by any program.
pub fn windows(record: &SourceRecord, reported: &[RejectWindow], unobserved: bool) {
    let read = record.reader();
    let refused = record.world.truth.refused(record.source);
    let number = |token: &Option<OffsetToken>| token.as_ref().and_then(|t| read.row(t.as_str()));
    let inside = |window: &RejectWindow, row: u64| {
        number(&window.after).is_none_or(|after| after < row)
            && number(&window.through).is_some_and(|through| row <= through)
    };
    if record.shared || record.has_inexact_rejects() {
        return;
    }
    for window in reported {
        let held = refused.iter().filter(|row| inside(window, **row)).count();
        if (held as u64) < window.count {
            record.report_violation(format!(
                "{window:?} holds {held} rejected rows: {refused:?}"
            ));
        }
    }
    if unobserved || record.world.plan.has_foreign_token() {
        return;
    }
    let missed = refused
        .iter()
        .find(|row| !reported.iter().any(|window| inside(window, **row)));
    if let Some(row) = missed {
        record.report_violation(format!(
            "no window says that row {row} was rejected: {reported:?}"
        ));
    }
    // A window may overlap the next one, because it ends at the last row sent by then. Rejects before the start of a window
    // are counted in earlier windows, and only they are if each count belongs to the token of the same status. Soon after an
    // open, a window without a start may include rejects of any row before it.
    // Some calls return their window later than others. The last rejected row tells the order.
    let mut in_order: Vec<&RejectWindow> = reported.iter().collect();
    if in_order.iter().all(|window| window.bound.is_some()) {
        in_order.sort_by_key(|window| number(&window.bound));
    }
    let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
    for window in in_order {
        let first = number(&window.after).map_or(0, |after| after + 1);
        if first == 0 {
            let before = std::mem::take(&mut counts).values().sum();
            counts.insert(0, before);
        }
        *counts.entry(first).or_default() += window.count;
    }
    let is_late = record.world.plan.server.answers.wire.row_counters == RowCounters::Late;
    let mut counted = 0;
    let ends = counts.keys().skip(1).copied().chain([u64::MAX]);
    for (count, end) in counts.values().zip(ends) {
        counted += count;
        let held = refused.iter().filter(|row| **row < end).count() as u64;
        let may_exceed = is_late && end < u64::MAX;
        if counted < held || (counted > held && !may_exceed) {
            record.report_violation(format!(
                "{counted} rejected rows were counted before row {end}, and {held} were rejected: {reported:?}"
            ));
        }
    }
}

/// Checks one call with dead letters: the rows match their offsets, and after the last call of a window all rows that the
/// channel rejected in it are stored, as many as are counted.
pub fn check_dead_letter<O: SourceOffset>(
    record: &SourceRecord,
    rejected: &Rejected<O>,
    rows: &[(O, Row<'static>)],
) {
    let (after, through) = (rejected.after.as_ref().map(O::row), rejected.through.row());
    let window = after.map_or(0, |after| after + 1)..through + 1;
    let truth = &record.world.truth;
    let mut last = None;
    for (offset, row) in rows {
        let n = offset.row();
        if !record.is_row(n, row) {
            record.report_violation(format!("the dead letter of row {n} is {row:?}"));
        }
        if !window.contains(&n) || last.is_some_and(|last| last >= n) {
            record.report_violation(format!(
                "the dead letter of row {n} comes after {last:?} in {window:?}"
            ));
        }
        if truth.is_elsewhere(record.source, &rejected.channel, n) {
            record.report_violation(format!(
                "the dead letter of row {n} is not of {}",
                rejected.channel
            ));
        }
        last = Some(n);
    }
    if record.shared {
        return;
    }
    let refused = truth.refused_by(record.source, &rejected.channel);
    let (seen, unkept) = {
        let kept = &record.state.lock().unwrap().kept;
        let is_kept = |row: &u64| {
            kept.dead.contains(row) || rows.iter().any(|(offset, _)| offset.row() == *row)
        };
        let unkept = refused.range(window.clone()).find(|row| !is_kept(row));
        (kept.seen(&rejected.channel), unkept.copied())
    };
    let before = refused.range(..window.start).count() as u64;
    let upto = refused.range(..window.end).count() as u64;
    let what = format!(
        "dead letters in {window:?} of {}, which refused {refused:?}: {seen} were counted before, {} are now",
        rejected.channel, rejected.total
    );
    let is_last = rejected.total > seen;
    if is_last && rejected.total != seen + rejected.count {
        record.report_violation(format!("{what}, {} are said to be new", rejected.count));
    }
    if rejected.total < seen || before > seen || rejected.total > upto {
        record.report_violation(format!("miscounted {what}"));
    }
    if let Some(row) = unkept.filter(|_| is_last) {
        record.report_violation(format!("row {row} is not among the {what}"));
    }
}

/// Checks a release: all its rows are in the table or are dead letters, and none was released before.
pub fn release(record: &SourceRecord, through: u64) {
    let truth = &record.world.truth;
    if let Some(row) = truth.missing(record.source, 0..through + 1) {
        record.report_violation(format!("row {row} is released, and not committed"));
    }
    if record.shared {
        return;
    }
    let refused = truth.refused(record.source);
    let state = record.state.lock().unwrap();
    let unkept = refused
        .iter()
        .filter(|row| **row <= through)
        .find(|row| !state.kept.dead.contains(row));
    let (unkept, released) = (unkept.copied(), state.kept.released);
    drop(state);
    if let Some(row) = unkept {
        record.report_violation(format!("row {row} is released before it is a dead letter"));
    }
    if through < released {
        record.report_violation(format!(
            "rows are released through {through}, and those before {released} were before"
        ));
    }
}

/// Checks at the end of a source that each rejected row was reported to it once.
pub fn totals(record: &SourceRecord) {
    if record.shared {
        return;
    }
    let refused = record.world.truth.refused(record.source).len() as u64;
    let reported: u64 = record.state.lock().unwrap().kept.totals.values().sum();
    if reported != refused {
        record.report_violation(format!(
            "{refused} rows were rejected, and {reported} were reported to the source"
        ));
    }
}
