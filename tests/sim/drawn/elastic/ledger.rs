//! Records what each program learned about each append, and compares it with the table.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use snowpipe_streaming::elastic::{Accepted, FailedAppend};

use super::super::content::content;

/// A row in the table, with the append that wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Landed {
    pub row: u64,
    pub attempt: u64,
}

/// The known outcome of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The program crashed, or has no answer yet.
    Unknown,
    /// The append itself failed or was given up.
    NotAppended,
    Accepted {
        twice: bool,
    },
    /// Acknowledged by a checkpoint, which does not report duplicates.
    Checkpointed,
    Failed {
        ambiguous: bool,
        returned: BTreeSet<u64>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub producer: usize,
    pub rows: Vec<u64>,
    pub outcome: AttemptOutcome,
}

/// All appends by number, and the rows that each producer has yet to send.
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
            outcome: AttemptOutcome::Unknown,
        });
        self.attempts.len() as u64 - 1
    }

    fn of(&mut self, number: u64) -> &mut Attempt {
        &mut self.attempts[usize::try_from(number).unwrap()]
    }

    pub fn is_unknown(&self, number: u64) -> bool {
        self.attempts[usize::try_from(number).unwrap()].outcome == AttemptOutcome::Unknown
    }

    /// Whether each of its rows must be in the table exactly once.
    pub fn is_once(&self, number: u64) -> bool {
        let outcome = &self.attempts[usize::try_from(number).unwrap()].outcome;
        *outcome == AttemptOutcome::Accepted { twice: false }
    }

    pub fn not_appended(&mut self, number: u64) {
        let attempt = self.of(number);
        attempt.outcome = AttemptOutcome::NotAppended;
        let (producer, rows) = (attempt.producer, attempt.rows.clone());
        self.unsent[producer].extend(rows);
    }

    pub fn accepted(&mut self, accepted: &Accepted<u64>) {
        let attempt = self.of(*accepted.tag());
        assert_eq!(attempt.outcome, AttemptOutcome::Unknown, "reported twice");
        let twice = accepted.may_be_duplicated();
        attempt.outcome = AttemptOutcome::Accepted { twice };
    }

    pub fn checkpointed(&mut self, number: u64) {
        self.of(number).outcome = AttemptOutcome::Checkpointed;
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
        let returned: BTreeSet<u64> = rows.iter().map(|row| row.row).collect();
        assert!(
            returned.len() == rows.len() && !returned.is_empty(),
            "handed back twice, or nothing"
        );
        let attempt = self.of(*failed.tag());
        assert_eq!(attempt.outcome, AttemptOutcome::Unknown, "reported twice");
        let ambiguous = failed.is_ambiguous();
        attempt.outcome = AttemptOutcome::Failed {
            ambiguous,
            returned: returned.clone(),
        };
        let producer = attempt.producer;
        self.unsent[producer].extend(returned);
    }

    /// After a crash: the rows of appends without a known outcome are sent again.
    pub fn forget(&mut self) {
        for attempt in &self.attempts {
            if attempt.outcome == AttemptOutcome::Unknown {
                self.unsent[attempt.producer].extend(&attempt.rows);
            }
        }
    }

    /// The violations of a table.
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
                let is_right = match &attempt.outcome {
                    AttemptOutcome::Unknown => true,
                    AttemptOutcome::NotAppended => times == 0,
                    AttemptOutcome::Accepted { twice: false } => times == 1,
                    AttemptOutcome::Accepted { twice: true } | AttemptOutcome::Checkpointed => {
                        times >= 1
                    }
                    AttemptOutcome::Failed {
                        ambiguous,
                        returned,
                    } => match (ambiguous, returned.contains(row)) {
                        (false, true) => times == 0,
                        (false, false) => times == 1,
                        (true, true) => true,
                        (true, false) => times >= 1,
                    },
                };
                if !is_right {
                    wrong.push(format!(
                        "row {row} is there {times} times by append {number}: {:?}",
                        attempt.outcome
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

    /// How often each outcome occurred.
    pub fn counts(&self, table: &[Landed]) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::new();
        for attempt in &self.attempts {
            let what = match attempt.outcome {
                AttemptOutcome::Unknown => "unknown",
                AttemptOutcome::NotAppended => "not appended",
                AttemptOutcome::Accepted { twice: false } => "accepted",
                AttemptOutcome::Accepted { twice: true } => "accepted, perhaps twice",
                AttemptOutcome::Checkpointed => "acknowledged by a checkpoint",
                AttemptOutcome::Failed {
                    ambiguous: false, ..
                } => "handed back",
                AttemptOutcome::Failed {
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

/// Reads a row of the table or of a failed append, and checks its content.
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
