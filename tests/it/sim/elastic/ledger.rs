//! What each program learned of each append, and whether the table agrees.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use snowpipe_streaming::elastic::{Accepted, FailedAppend};

use super::super::content::content;

/// A row in the table, as its append brought it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Landed {
    pub row: u64,
    pub attempt: u64,
}

/// What is known of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Nothing: its program died, or has no answer yet.
    Unknown,
    /// The append itself failed or was given up.
    NotAppended,
    Accepted {
        twice: bool,
    },
    /// A checkpoint says so, which does not say whether rows are there twice.
    Checkpointed,
    Failed {
        ambiguous: bool,
        back: BTreeSet<u64>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub producer: usize,
    pub rows: Vec<u64>,
    pub fate: Fate,
}

/// All appends by their numbers, and the rows of each producer that are still to be brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    pub attempts: Vec<Attempt>,
    /// By producer.
    pub unsent: Vec<BTreeSet<u64>>,
}

impl Ledger {
    pub fn attempt(&mut self, producer: usize, rows: Vec<u64>) -> u64 {
        for row in &rows {
            self.unsent[producer].remove(row);
        }
        self.attempts.push(Attempt {
            producer,
            rows,
            fate: Fate::Unknown,
        });
        self.attempts.len() as u64 - 1
    }

    fn of(&mut self, number: u64) -> &mut Attempt {
        &mut self.attempts[usize::try_from(number).unwrap()]
    }

    pub fn is_unknown(&self, number: u64) -> bool {
        self.attempts[usize::try_from(number).unwrap()].fate == Fate::Unknown
    }

    /// Whether each of its rows has to be there once.
    pub fn is_once(&self, number: u64) -> bool {
        let fate = &self.attempts[usize::try_from(number).unwrap()].fate;
        *fate == Fate::Accepted { twice: false }
    }

    pub fn not_appended(&mut self, number: u64) {
        let attempt = self.of(number);
        attempt.fate = Fate::NotAppended;
        let (producer, rows) = (attempt.producer, attempt.rows.clone());
        self.unsent[producer].extend(rows);
    }

    pub fn accepted(&mut self, accepted: &Accepted<u64>) {
        let attempt = self.of(*accepted.tag());
        assert_eq!(attempt.fate, Fate::Unknown, "reported twice");
        let twice = accepted.may_be_duplicated();
        attempt.fate = Fate::Accepted { twice };
    }

    pub fn checkpointed(&mut self, number: u64) {
        self.of(number).fate = Fate::Checkpointed;
    }

    pub fn failed(&mut self, failed: &FailedAppend<u64>) {
        let rows = failed.rows().unwrap();
        assert_eq!(rows.len(), failed.row_count());
        let rows = rows
            .as_bytes()
            .split(|b| *b == b'\n')
            .filter(|l| !l.is_empty());
        let rows = rows.map(|line| landed(&serde_json::from_slice(line).unwrap()));
        let rows: Vec<Landed> = rows.collect();
        assert!(
            rows.iter().all(|row| row.attempt == *failed.tag()),
            "rows of another append"
        );
        let back: BTreeSet<u64> = rows.iter().map(|row| row.row).collect();
        assert!(
            back.len() == rows.len() && !back.is_empty(),
            "handed back twice, or nothing"
        );
        let attempt = self.of(*failed.tag());
        assert_eq!(attempt.fate, Fate::Unknown, "reported twice");
        let ambiguous = failed.is_ambiguous();
        attempt.fate = Fate::Failed {
            ambiguous,
            back: back.clone(),
        };
        let producer = attempt.producer;
        self.unsent[producer].extend(back);
    }

    /// The programs that knew of these are gone; their rows are sent again.
    pub fn forget(&mut self) {
        for attempt in &self.attempts {
            if attempt.fate == Fate::Unknown {
                self.unsent[attempt.producer].extend(&attempt.rows);
            }
        }
    }

    /// What is wrong with a table.
    pub fn check(&self, table: &[Landed]) -> Vec<String> {
        let mut times: BTreeMap<Landed, usize> = BTreeMap::new();
        for row in table {
            *times.entry(*row).or_default() += 1;
        }
        let mut wrong = Vec::new();
        for (number, attempt) in (0..).zip(&self.attempts) {
            for row in &attempt.rows {
                let landed = Landed {
                    row: *row,
                    attempt: number,
                };
                let times = times.remove(&landed).unwrap_or(0);
                let is_right = match &attempt.fate {
                    Fate::Unknown => true,
                    Fate::NotAppended => times == 0,
                    Fate::Accepted { twice: false } => times == 1,
                    Fate::Accepted { twice: true } | Fate::Checkpointed => times >= 1,
                    Fate::Failed { ambiguous, back } => match (ambiguous, back.contains(row)) {
                        (false, true) => times == 0,
                        (false, false) => times == 1,
                        (true, true) => true,
                        (true, false) => times >= 1,
                    },
                };
                if !is_right {
                    wrong.push(format!(
                        "row {row} is there {times} times by append {number}: {:?}",
                        attempt.fate
                    ));
                }
            }
        }
        wrong.extend(
            times
                .keys()
                .map(|row| format!("{row:?} was never appended")),
        );
        wrong
    }

    /// How often what came to pass.
    pub fn counts(&self, table: &[Landed]) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::new();
        for attempt in &self.attempts {
            let what = match attempt.fate {
                Fate::Unknown => "unknown",
                Fate::NotAppended => "not appended",
                Fate::Accepted { twice: false } => "accepted",
                Fate::Accepted { twice: true } => "accepted, perhaps twice",
                Fate::Checkpointed => "acknowledged by a checkpoint",
                Fate::Failed {
                    ambiguous: false, ..
                } => "handed back",
                Fate::Failed {
                    ambiguous: true, ..
                } => "handed back, perhaps there",
            };
            *counts.entry(what).or_default() += 1;
        }
        let different: BTreeSet<_> = table.iter().collect();
        if different.len() < table.len() {
            counts.insert("rows there twice", (table.len() - different.len()) as u64);
        }
        counts
    }
}

/// A row of the table, or as it was to be sent, which holds what its producer wrote into it.
pub fn landed(row: &Value) -> Landed {
    let number = |name: &str| row[name].as_u64().unwrap();
    let (producer, noise) = (
        usize::try_from(number("P")).unwrap(),
        row["X"].as_str().unwrap(),
    );
    let written = content(producer, number("N"), number("A"), noise.len());
    assert_eq!(noise, written, "a row holds what another one should");
    Landed {
        row: number("N"),
        attempt: number("A"),
    }
}
