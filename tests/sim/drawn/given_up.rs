//! Checks the rows that an untracked channel hands back: those that it calls unsent never land, and none is missing.

use std::collections::BTreeSet;
use std::ops::Range;

use serde::Deserialize;
use snowpipe_streaming::{RowBatch, UncommittedRows};

use super::source_record::SourceRecord;
use super::truth::Sabotage;

/// A row and the append that it was part of.
type AppendedRow = (u64, u64);

#[derive(Deserialize)]
struct Identity {
    #[serde(rename = "N")]
    row: u64,
    #[serde(rename = "A")]
    append: u64,
}

/// The rows of one channel that were handed back.
#[derive(Debug, Default)]
pub struct HandedBack {
    unsent: BTreeSet<AppendedRow>,
    sent: BTreeSet<AppendedRow>,
}

fn read(rows: &RowBatch) -> BTreeSet<AppendedRow> {
    let lines = rows.as_bytes().split_inclusive(|byte| *byte == b'\n');
    let rows = lines.map(|line| serde_json::from_slice::<Identity>(line).unwrap());
    rows.map(|row| (row.row, row.append)).collect()
}

impl HandedBack {
    pub fn new(record: &SourceRecord, rows: &UncommittedRows) -> Self {
        let (mut unsent, mut sent) = (read(&rows.unsent().unwrap()), read(&rows.sent().unwrap()));
        if record.world.sabotage == Some(Sabotage::SwapHandedBack) {
            std::mem::swap(&mut unsent, &mut sent);
        }
        if !unsent.is_empty() {
            record.world.count("unsent rows handed back");
        }
        if !sent.is_empty() {
            record.world.count("sent rows handed back");
        }
        record.state.lock().unwrap().unsent.extend(&unsent);
        Self { unsent, sent }
    }

    /// Checks an append whose receipt says that none of its rows can be in the table, although it did not fail at the call.
    pub fn check(&self, record: &SourceRecord, rows: Range<u64>, append: u64) {
        let missing = rows
            .map(|row| (row, append))
            .find(|row| !self.unsent.contains(row));
        if let Some((row, append)) = missing {
            let is_sent = self.sent.contains(&(row, append));
            record.report_violation(format!(
                "row {row} of append {append} is not in the table and is not handed back as unsent (as sent: {is_sent})"
            ));
        }
    }
}

/// Checks at the end that no row landed that was handed back as unsent.
pub fn check_unsent(record: &SourceRecord) {
    let unsent = std::mem::take(&mut record.state.lock().unwrap().unsent);
    for (row, append) in unsent {
        let landings = record.world.truth.landings(record.source, row);
        if landings.iter().any(|landed| landed.attempt == append) {
            record.report_violation(format!(
                "row {row} of append {append} was handed back as unsent and landed"
            ));
        }
    }
}
