//! Groups whose members join, leave, die and sleep, while the coordinator moves partitions between them and the server and the
//! network do what they may. Each record of each partition lands once and in order, no partition stands still once things are
//! calm, and a takeover takes no longer than documented, while requests from before are on their way and after that.
//!
//! - Drawn histories ([`drawn`]): `SIM_FIRST` and `SIM_SEEDS` choose the seeds. One seed that fails prints its trace.
//! - Every history of a small scope ([`enumerated`]): in a debug build each single event and a fixed part of the pairs;
//!   `EXHAUSTIVE_STRIDE=1` tries all pairs, and `EXHAUSTIVE_ONE="hasty-stale 3:Sleep 5:Kill"` one history.

mod cluster;
mod drawn;
mod enumerated;
mod history;
mod member;
mod process;
mod script;

use std::collections::BTreeMap;

use crate::drawn::setting;
use crate::repeatable::{self, assert_repeatable};

#[test]
fn each_record_lands_once_and_no_partition_stands_still() {
    let first = setting("SIM_FIRST").unwrap_or(0);
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let mut wrong = Vec::new();
    let seeds = setting("SIM_SEEDS").unwrap_or(40);
    for seed in first..first + seeds {
        let outcome = drawn::run(seed);
        for (what, times) in outcome.counts {
            *counts.entry(what).or_default() += times;
        }
        if !outcome.wrong.is_empty() {
            if seeds == 1 {
                println!("{}", outcome.trace.join("\n"));
            }
            wrong.push(format!("seed {seed}: {:#?}", outcome.wrong));
        }
    }
    println!("{counts:?}");
    assert!(
        wrong.is_empty(),
        "{}\nthe trace of one: SIM_FIRST=… SIM_SEEDS=1",
        wrong.join("\n")
    );
}

#[test]
fn the_same_seed_gives_the_same_history() {
    assert_repeatable(
        repeatable::seeds(),
        |seed| drawn::run(*seed),
        |outcome| &outcome.trace,
    );
}

#[test]
fn each_record_lands_once_in_every_short_history() {
    enumerated::all(setting("EXHAUSTIVE_STRIDE"));
}
