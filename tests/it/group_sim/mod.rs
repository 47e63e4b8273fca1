//! Groups whose members join, leave, die and sleep, while the coordinator moves partitions between them and the server and the
//! network do what they may. Each record of each partition lands once and in order, no partition stands still once things are
//! calm, and a takeover takes no longer than documented.
//!
//! - Drawn histories ([`drawn`]): `SIM_FIRST` and `SIM_SEEDS` choose the seeds.
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

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|n| n.parse().ok())
}

#[tokio::test(start_paused = true)]
async fn each_record_lands_once_and_no_partition_stands_still() {
    let first = number("SIM_FIRST").unwrap_or(0);
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let mut wrong = Vec::new();
    for seed in first..first + number("SIM_SEEDS").unwrap_or(40) {
        match drawn::run(seed).await {
            Ok(happened) => {
                for (what, times) in happened {
                    *counts.entry(what).or_default() += times;
                }
            }
            Err(what) => wrong.push(format!("seed {seed}: {what}")),
        }
    }
    println!("{counts:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_record_lands_once_in_every_short_history() {
    enumerated::all(number("EXHAUSTIVE_STRIDE"));
}
