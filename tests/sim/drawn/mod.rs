//! The simulator: clients and a server in one thread and in virtual time, under every fault that the protocol allows. No row
//! is lost, and none is committed twice.
//!
//! A seed determines a script ([`draw`]). [`run`] executes it and checks the invariants after each step and at the end. A
//! failing script is shrunk ([`shrink`]) and printed. To run more seeds:
//!
//! ```text
//! SIM_SEEDS=100000 SIM_FIRST=0 cargo test --release --test sim drawn -- --nocapture
//! ```
//!
//! With `SIM_SURVEY=1` all seeds run, and the failing ones are listed by the kind of failure. With `SIM_TRACES=FILE` a hash of each
//! history is appended to the file ([`fingerprint`]).
//!
//! - [`plan`] defines scripts, and [`run`] executes them in a [`world`].
//! - [`tracked_program`], [`untracked_program`] and [`ingest_program`] are the programs that stream rows.
//! - [`source_record`], [`client_view`] and [`wire`] record what the programs and the server observe. [`truth`] records which
//!   rows were committed.
//! - [`judge`], [`close`], [`rejects`] and [`contention`] check the invariants, and [`time_limits`] bounds how long everything
//!   may take. [`sabotage`] tests that each check can fail. [`history`] checks what landed and what was said of it once more, and
//!   knows nothing of plans and faults.
//! - [`outage`] makes a part of the server fail for longer than any retry time; [`source_outage`] does the same for one call of
//!   a source. [`trap`] makes the transport, the clock or the credential of a client panic. [`script`] triggers events at requests, by their numbers.
//! - [`answers`] runs scripts under each combination of answers that the protocol leaves open.
//! - [`elastic`] is the simulator of the elastic channel.
//!
//! What is checked at each step: no client believes more to be committed than landed, none holds more than its budget, and no
//! receipt says committed of a row that is in neither table. At rest: nothing is held, every receipt has resolved, and each row
//! of a source that can be read again is in one of the two tables, once. Counts of rejected rows are exact; dead letters hold
//! the rows of their offsets and are kept before these are released; releases only rise. Rows land in the order of their
//! offsets in each channel, and appends in the order in which they were made. A channel resumes after the last row that landed,
//! and is given up to another writer only if that one has opened it since. Every program ends by a time that follows from its
//! plan. Each row has its own content, which is compared byte for byte as it lands.
//!
//! Some plans contain only a theft, an outage or a lagging replica. There each error must name it, a short outage must end
//! nothing, and a commit must become known within seconds while the server can be asked.

mod answers;
mod client_view;
mod close;
pub mod content;
mod contention;
mod digit_tokens;
mod draw;
pub mod elastic;
mod fingerprint;
mod given_up;
mod history;
mod ingest_program;
mod judge;
pub mod outage;
pub mod plan;
mod rejects;
pub mod run;
mod sabotage;
pub mod script;
pub mod shrink;
mod source_outage;
mod source_record;
mod time_limits;
mod tracked_program;
mod trap;
pub mod truth;
mod untracked_program;
mod wire;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use snowpipe_streaming_emulator::Fault;
use snowpipe_streaming_emulator::answers::SupersededToken;

use self::draw::{OWN_FAULTS, draw, faults};
use self::run::run;
use self::shrink::{failure_kind, shrink, shrink_by};
use self::truth::Sabotage;
use crate::repeatable::{assert_repeatable, seeds};

/// The number of seeds if `SIM_SEEDS` is not set.
const SEEDS: u64 = 150;
/// With so many seeds every kind of fault happens.
const ALL_FAULTS: u64 = 500;

pub fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|why| panic!("{name}={text:?}: {why}")),
    )
}

#[test]
fn nothing_is_lost_or_duplicated_under_any_fault() {
    let first = setting("SIM_FIRST").unwrap_or(0);
    let seeds = setting("SIM_SEEDS").unwrap_or(SEEDS).max(1);
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut requests, mut took) = (0, Duration::ZERO);
    let surveys = setting("SIM_SURVEY").is_some();
    let mut failed: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let rivals = setting("SIM_RIVALS").map(superseded_token);
    for seed in first..first + seeds {
        let mut plan = draw(seed);
        if let Some(answer) = rivals {
            if !(0..plan.channels.len()).any(|channel| plan.rivals(channel).next().is_some()) {
                continue;
            }
            plan.server.answers.wire.superseded_token = answer;
        }
        *counts.entry("histories").or_default() += 1;
        let outcome = run(&plan, None);
        fingerprint::record("named", seed, &outcome.trace);
        if !outcome.wrong.is_empty() {
            if !surveys {
                fail(seed, &plan, &outcome.wrong);
            }
            let kind = failure_kind(&outcome.wrong);
            failed.entry(kind).or_default().push(seed);
        }
        requests += outcome
            .trace
            .iter()
            .filter(|line| line.contains(" -> "))
            .count();
        took += outcome.took;
        for (fault, times) in outcome.counts {
            *counts.entry(fault).or_default() += times;
        }
    }
    let injected: Vec<String> = counts
        .iter()
        .map(|(fault, times)| format!("{fault} {times}"))
        .collect();
    assert!(failed.is_empty(), "seeds that fail, by kind: {failed:#?}");
    println!(
        "sim: seeds {first} to {}, {requests} requests in {} virtual hours; {}",
        first + seeds - 1,
        took.as_secs() / 3600,
        injected.join(", ")
    );
    if seeds >= ALL_FAULTS && rivals.is_none() {
        let emulated = faults(&mut fastrand::Rng::with_seed(0));
        let all = emulated.iter().map(Fault::name).chain(OWN_FAULTS);
        let never: Vec<_> = all.filter(|fault| !counts.contains_key(fault)).collect();
        assert!(never.is_empty(), "never happened: {never:?}");
    }
}

/// The answer with this number to an append with a token of an earlier open: with `SIM_RIVALS`, only histories with another writer are
/// run, and all of them with it.
fn superseded_token(number: u64) -> SupersededToken {
    match number {
        0 => SupersededToken::Stale,
        1 => SupersededToken::DropWithOwners,
        2 => SupersededToken::DropWithOld,
        _ => panic!("SIM_RIVALS={number}: there are 0, 1 and 2"),
    }
}

fn fail(seed: u64, plan: &plan::Plan, wrong: &[String]) -> ! {
    let (small, why) = shrink(plan, None);
    let trace = run(&small, None).trace;
    let end = trace.iter().position(|line| line.contains("WRONG"));
    let trace = &trace[..end.map_or(trace.len(), |end| end + 1)];
    let from = trace.len().saturating_sub(100);
    panic!(
        "seed {seed}: {:#?}\nthe shrunk script: {why:#?}\n{small}\nthe end of its trace:\n{}\n\
         alone: SIM_FIRST={seed} SIM_SEEDS=1 cargo test --test sim drawn",
        &wrong[..wrong.len().min(5)],
        trace[from..].join("\n")
    );
}

#[test]
fn the_same_seed_gives_the_same_history() {
    assert_repeatable(
        seeds(),
        |seed| run(&draw(*seed), None),
        |history| &history.trace,
    );
}

#[test]
fn a_failing_script_still_fails_after_shrinking() {
    let whole = draw(3);
    let wrong = run(&whole, Some(Sabotage::Double)).wrong;
    assert!(!wrong.is_empty());
    let (small, why) = shrink(&whole, Some(Sabotage::Double));
    assert!(why[0].contains("twice"), "{why:?}");
    assert_eq!(run(&small, Some(Sabotage::Double)).wrong, why);
    let rows = |plan: &plan::Plan| plan.channels.iter().map(|c| c.rows).sum::<u64>();
    assert!(
        rows(&small) <= 2 && small.steps.is_empty() && small.rates.is_empty(),
        "{small}"
    );
}

/// The check reports two kinds of failure for a takeover, one of them only for scripts whose channel has no rows.
#[test]
fn shrinking_preserves_the_kind_of_failure() {
    let judge = |plan: &plan::Plan| {
        let stolen = plan.rivals(0).next().is_some();
        let view = match (stolen, plan.channels[0].rows) {
            (false, _) => return Vec::new(),
            (true, 0) => "None",
            (true, _) => "Some(Ceded(None))",
        };
        vec![format!(
            "at 7 ms: channel 0: it lost its channel and view {view}"
        )]
    };
    let has_takeover =
        |plan: &plan::Plan| plan.channels.len() > 1 && plan.rivals(0).next().is_some();
    let whole = (0..1_000).map(draw).find(has_takeover).unwrap();
    let (small, why) = shrink_by(&whole, judge);
    assert_eq!(why, judge(&whole));
    assert_eq!(small.channels[0].rows, 1);
    assert!(small.channels[1..].iter().all(|channel| channel.rows == 0));
}

#[test]
fn a_channel_without_rows_is_not_checked() {
    let is_judged = |plan: &plan::Plan| plan.has_only_takeover() && plan.rivals(0).any(|own| own);
    let mut plan = (0..1_000).map(draw).find(is_judged).unwrap();
    plan.channels[0].rows = 0;
    assert_eq!(run(&plan, None).wrong, [""; 0]);
}
