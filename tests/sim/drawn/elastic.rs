//! The simulator of the elastic channel. Under every fault, acknowledged rows are in the table, rows are duplicated only if
//! their acknowledgement reported that, and rows returned as certainly not accepted are not in the table.
//!
//! Many producers append through clones of one channel. To run more seeds:
//!
//! ```text
//! SIM_SEEDS=2000 SIM_FIRST=0 cargo test --release --test sim drawn::elastic -- --nocapture
//! ```
//!
//! Unread failures count as memory in use.

mod ledger;
pub mod plan;
pub mod process;
mod producer;
pub mod world;

use std::collections::BTreeMap;

use self::ledger::Landed;
use self::plan::{Plan, kinds};
use self::process::run;
use super::fingerprint;
use super::setting;
use super::shrink::failure_kind;
use crate::repeatable::{assert_repeatable, seeds};

/// The number of seeds if `SIM_SEEDS` is not set.
const SEEDS: u64 = 200;

/// The names of the counters of events other than faults and ends of clients.
const OWN: [&str; 14] = [
    "accepted",
    "accepted, perhaps twice",
    "handed back",
    "handed back, perhaps there",
    "acknowledged by a checkpoint",
    "unknown",
    "not appended",
    "append given up",
    "failure reported by a checkpoint",
    "rows there twice",
    "request too large",
    "late request",
    "unread failure",
    "outage judged",
];

#[test]
fn acknowledged_rows_are_present_and_duplicated_only_if_reported() {
    let first = setting("SIM_FIRST").unwrap_or(0);
    let seeds = setting("SIM_SEEDS").unwrap_or(SEEDS).max(1);
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let mut requests = 0;
    let surveys = setting("SIM_SURVEY").is_some();
    let mut failed: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for seed in first..first + seeds {
        let history = run(&Plan::draw(seed));
        fingerprint::record("elastic", seed, &history.trace);
        if surveys && !history.wrong.is_empty() {
            let kind = failure_kind(&history.wrong);
            failed.entry(kind).or_default().push(seed);
            continue;
        }
        assert!(
            history.wrong.is_empty(),
            "seed {seed}: {:#?}\nthe end of its trace:\n{}\nalone: SIM_FIRST={seed} SIM_SEEDS=1 cargo test --test sim drawn::elastic",
            &history.wrong[..history.wrong.len().min(5)],
            history.trace[history.trace.len().saturating_sub(100)..].join("\n")
        );
        requests += history.trace.iter().filter(|l| l.contains(" -> ")).count();
        for (what, times) in history.counts {
            *counts.entry(what).or_default() += times;
        }
    }
    assert!(failed.is_empty(), "seeds that fail, by kind: {failed:#?}");
    println!(
        "elastic: seeds {first} to {}, {requests} requests; {counts:?}",
        first + seeds - 1
    );
    if seeds >= SEEDS {
        let all = kinds().into_iter().chain(OWN);
        let never: Vec<_> = all.filter(|what| !counts.contains_key(what)).collect();
        assert!(never.is_empty(), "never happened: {never:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_history() {
    assert_repeatable(
        seeds(),
        |seed| run(&Plan::draw(*seed)),
        |history| &history.trace,
    );
}

/// Removes or duplicates a row that must be in the table exactly once.
#[test]
fn a_table_that_contradicts_the_ledger_is_detected() {
    let mut found = [0; 2];
    for seed in 0..20 {
        let history = run(&Plan::draw(seed));
        let landed = &history.landed;
        let is_sure = |row: &&Landed| history.ledger.is_once(row.attempt);
        let Some(sure) = landed.iter().find(is_sure) else {
            continue;
        };
        let less: Vec<_> = landed.iter().filter(|row| *row != sure).copied().collect();
        let more: Vec<_> = landed.iter().chain([sure]).copied().collect();
        for (found, table) in found.iter_mut().zip([less, more]) {
            *found += usize::from(!history.ledger.check(&table).is_empty());
        }
        assert_eq!(history.ledger.check(landed), [""; 0]);
    }
    assert!(found.iter().all(|found| *found >= 15), "{found:?}");
}
