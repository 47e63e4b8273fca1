//! The history of the rows of the named channels, and a checker that knows nothing of the plan, of faults or of the judges:
//!
//! - a row with an offset lands once, and a row without one lands once for each of its appends;
//! - rows with offsets land in their order in each channel;
//! - whoever is told that a row is committed is told so after it has landed, and without offsets by the append that brought it.

use std::collections::BTreeMap;
use std::ops::Range;

/// What happened to rows of a source, in the order of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A row is in the table or, rejected, in the error table.
    Landed {
        source: usize,
        channel: String,
        is_rejected: bool,
        row: u64,
        append: u64,
    },
    /// A receipt says that the rows of an append are committed.
    Told {
        source: usize,
        rows: Range<u64>,
        append: u64,
    },
}

/// What a source promises of its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Rows have offsets.
    OnceInOrder,
    /// Rows have no offsets: a program may send one again in a later append.
    OncePerAppend,
}

/// The violations of a history.
pub fn check(events: &[Event], deliveries: &[Delivery]) -> Vec<String> {
    let mut wrong = Vec::new();
    // The appends that have brought a row, by source and row.
    let mut landed: BTreeMap<(usize, u64), Vec<u64>> = BTreeMap::new();
    // The highest row that a channel has brought in the present table and error table.
    let mut last: BTreeMap<(usize, &str, bool), u64> = BTreeMap::new();
    for event in events {
        match event {
            Event::Landed {
                source,
                channel,
                is_rejected,
                row,
                append,
            } => {
                let Some(delivery) = deliveries.get(*source) else {
                    wrong.push(format!("a row of an unknown source {source} landed"));
                    continue;
                };
                let before = landed.entry((*source, *row)).or_default();
                let is_again = match delivery {
                    Delivery::OnceInOrder => !before.is_empty(),
                    Delivery::OncePerAppend => before.contains(append),
                };
                if is_again {
                    wrong.push(format!("row {row} of {source} landed again, by {append}"));
                }
                before.push(*append);
                let highest = last.entry((*source, channel, *is_rejected)).or_insert(*row);
                if *delivery == Delivery::OnceInOrder && row < highest {
                    wrong.push(format!("row {row} of {source} landed after row {highest}"));
                }
                *highest = (*highest).max(*row);
            }
            Event::Told {
                source,
                rows,
                append,
            } => {
                for row in rows.clone() {
                    let brought = landed.get(&(*source, row));
                    let is_there = brought.is_some_and(|by| match deliveries.get(*source) {
                        Some(Delivery::OncePerAppend) => by.contains(append),
                        _ => true,
                    });
                    if !is_there {
                        wrong.push(format!(
                            "row {row} of {source} was called committed before it landed ({append})"
                        ));
                    }
                }
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn landed(row: u64, append: u64) -> Event {
        Event::Landed {
            source: 0,
            channel: "c".to_owned(),
            is_rejected: row == 9,
            row,
            append,
        }
    }

    fn told(rows: Range<u64>, append: u64) -> Event {
        Event::Told {
            source: 0,
            rows,
            append,
        }
    }

    #[test]
    fn each_rule_is_checked() {
        use Delivery::{OnceInOrder, OncePerAppend};
        let (good, bad) = (true, false);
        for (history, delivery, expected) in [
            (
                vec![landed(0, 0), landed(1, 0), told(0..2, 0)],
                OnceInOrder,
                good,
            ),
            (vec![landed(0, 0), landed(0, 1)], OnceInOrder, bad),
            (vec![landed(0, 0), landed(0, 1)], OncePerAppend, good),
            (vec![landed(0, 0), landed(0, 0)], OncePerAppend, bad),
            (vec![landed(1, 0), landed(0, 1)], OnceInOrder, bad),
            (vec![landed(9, 0), landed(0, 1)], OnceInOrder, good),
            (vec![landed(1, 0), landed(0, 1)], OncePerAppend, good),
            (vec![told(0..1, 0), landed(0, 0)], OnceInOrder, bad),
            (vec![landed(0, 0), told(0..2, 0)], OnceInOrder, bad),
            (vec![landed(0, 3), told(0..1, 7)], OncePerAppend, bad),
            (vec![landed(0, 3), told(0..1, 7)], OnceInOrder, good),
        ] {
            let wrong = check(&history, &[delivery]);
            assert_eq!(wrong.is_empty(), expected, "{history:?}: {wrong:?}");
        }
        assert!(!check(&[landed(0, 0)], &[]).is_empty());
    }
}
