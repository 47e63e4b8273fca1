//! Whether what clients say of rejected rows fits the rows that the table refused: the windows of a channel, and the dead
//! letters of a source.

use std::collections::{BTreeMap, BTreeSet};

use snowpipe_streaming::ingest::Rejected;
use snowpipe_streaming::{OffsetToken, RejectWindow};

use super::desk::{Desk, Row};
use super::digits::Place;

/// What a source keeps of rejects and releases, as on a disk.
#[derive(Debug, Default)]
pub struct Kept {
    /// Everything before this row is released.
    pub released: u64,
    dead: BTreeSet<u64>,
    /// By channel, how many of its rows were rejected.
    totals: BTreeMap<String, u64>,
}

impl Kept {
    /// How many rejects of a channel the source has heard of.
    pub fn seen(&self, channel: &str) -> u64 {
        self.totals.get(channel).copied().unwrap_or(0)
    }

    pub fn keep<O: Place>(&mut self, rejected: &Rejected<O>, rows: &[(O, Row<'static>)]) {
        self.dead
            .extend(rows.iter().map(|(offset, _)| offset.row()));
        self.totals.insert(rejected.channel.clone(), rejected.total);
    }
}

/// Every rejected row is in a window that was told, and every window holds as many as it says. `deaf`: some windows may
/// have been told to no one.
pub fn windows(desk: &Desk, told: &[RejectWindow], deaf: bool) {
    let read = desk.reader();
    let refused = desk.world.truth.refused(desk.strand);
    let number = |token: &Option<OffsetToken>| token.as_ref().and_then(|t| read.row(t.as_str()));
    let inside = |window: &RejectWindow, row: u64| {
        number(&window.after).is_none_or(|after| after < row)
            && number(&window.through).is_some_and(|through| row <= through)
    };
    if desk.shared {
        return;
    }
    for window in told {
        let held = refused.iter().filter(|row| inside(window, **row)).count();
        if (held as u64) < window.count {
            desk.blame(format!(
                "{window:?} holds {held} rejected rows: {refused:?}"
            ));
        }
    }
    if deaf || desk.world.plan.tampers() {
        return;
    }
    let missed = refused
        .iter()
        .find(|row| !told.iter().any(|window| inside(window, **row)));
    if let Some(row) = missed {
        desk.blame(format!("nobody told that row {row} was rejected: {told:?}"));
    }
    // A window may reach into the next one, for its rows are those that were sent by then. The tokens before which windows
    // begin are exact: what is committed up to one of them was counted in the windows before it.
    let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
    for window in told {
        let first = number(&window.after).map_or(0, |after| after + 1);
        *counts.entry(first).or_default() += window.count;
    }
    let ends = counts.keys().skip(1).copied().chain([u64::MAX]);
    for ((first, count), end) in counts.iter().zip(ends) {
        let held = refused.iter().filter(|row| (*first..end).contains(row));
        let held = held.count() as u64;
        if held != *count {
            desk.blame(format!(
                "{count} rejected rows were counted from row {first} to {end}, and {held} were rejected: {told:?}"
            ));
        }
    }
}

/// A piece of dead letters: its rows are those of its offsets, and with the last piece of a window all that the channel
/// rejected in it are kept, no more and no fewer than are counted.
pub fn letter<O: Place>(desk: &Desk, rejected: &Rejected<O>, rows: &[(O, Row<'static>)]) {
    let (after, through) = (rejected.after.as_ref().map(O::row), rejected.through.row());
    let window = after.map_or(0, |after| after + 1)..through + 1;
    let truth = &desk.world.truth;
    let mut last = None;
    for (offset, row) in rows {
        let n = offset.row();
        if !desk.is_row(n, row) {
            desk.blame(format!("the dead letter of row {n} is {row:?}"));
        }
        if !window.contains(&n) || last.is_some_and(|last| last >= n) {
            desk.blame(format!(
                "the dead letter of row {n} comes after {last:?} in {window:?}"
            ));
        }
        if truth.is_elsewhere(desk.strand, &rejected.channel, n) {
            desk.blame(format!(
                "the dead letter of row {n} is not of {}",
                rejected.channel
            ));
        }
        last = Some(n);
    }
    if desk.shared {
        return;
    }
    let refused = truth.refused_by(desk.strand, &rejected.channel);
    let (seen, unkept) = {
        let kept = &desk.state.lock().unwrap().kept;
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
        desk.blame(format!("{what}, {} are said to be new", rejected.count));
    }
    if rejected.total < seen || before > seen || rejected.total > upto {
        desk.blame(format!("miscounted {what}"));
    }
    if let Some(row) = unkept.filter(|_| is_last) {
        desk.blame(format!("row {row} is not among the {what}"));
    }
}

/// Rows are about to be released: not before they are in the table or dead letters, and each of them once.
pub fn release(desk: &Desk, through: u64) {
    let truth = &desk.world.truth;
    if let Some(row) = truth.missing(desk.strand, 0..through + 1) {
        desk.blame(format!("row {row} is released, and not committed"));
    }
    if desk.shared {
        return;
    }
    let refused = truth.refused(desk.strand);
    let state = desk.state.lock().unwrap();
    let unkept = refused
        .iter()
        .filter(|row| **row <= through)
        .find(|row| !state.kept.dead.contains(row));
    let (unkept, released) = (unkept.copied(), state.kept.released);
    drop(state);
    if let Some(row) = unkept {
        desk.blame(format!("row {row} is released before it is a dead letter"));
    }
    if through < released {
        desk.blame(format!(
            "rows are released through {through}, and those before {released} were before"
        ));
    }
}

/// When a source is at its end, it has heard of each rejected row once.
pub fn totals(desk: &Desk) {
    if desk.shared {
        return;
    }
    let refused = desk.world.truth.refused(desk.strand).len() as u64;
    let told: u64 = desk.state.lock().unwrap().kept.totals.values().sum();
    if told != refused {
        desk.blame(format!(
            "{refused} rows were rejected, and the source heard of {told}"
        ));
    }
}
