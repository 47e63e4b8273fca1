//! Every history of a small scope: one channel, few rows, at most two faults and a crash or another writer.
//!
//! The simulator draws long random histories; here short ones are enumerated. The programs, the world and the checks are the
//! simulator's. One check is added: a client ends with every row committed, and each error on the way names a fault that was
//! injected ([`explain`]).
//!
//! A history is a list of choices, each an event ([`choice`]) at one of the first six requests after the open. The search
//! ([`search`]) tries, for each configuration ([`scope`], [`elastic`]) and for both answers to a replayed token:
//!
//! - each fault at each request, and each pair of faults at each pair of requests;
//! - each crash of the client or the server and each other writer at each request, alone and beside each fault at each request;
//! - the same beside each pair of faults from a representative set of twelve.
//!
//! These histories are left out, because they add nothing:
//!
//! - A choice that has no effect: at a request that never comes, a fault that does not apply to the request, or any fault while the
//!   server is down. The run of the shorter history shows which these are. The few other choices without effect are counted
//!   separately and not extended.
//! - Two faults at one request: only the first would have an effect.
//! - A crash of the client before its request arrives: the request arrives anyway, so this is a crash before the answer. A crash of
//!   the server after an answer has arrived: the next request is refused, as if the server went down when it was sent.
//! - Beside a pair of faults and a crash, faults to which a client reacts as to one of the twelve: it sends the request again
//!   (`throttle` and `refuse`, `hang` and `lose`), gets a token (`unauthorized` and `not-found`), finds the channel ended by a
//!   code, or its status outdated.
//! - For `ingest::run`, a false committed token, and another writer with another source: nothing there compares with the token.
//!   For an elastic channel, whatever the elastic simulator leaves out as well.
//!
//! ```text
//! cargo test --release --test sim exhaustive -- --nocapture
//! EXHAUSTIVE_ONE="surface-stale 2:lose 4:stale-status" cargo test --test sim exhaustive -- --nocapture
//! ```
//!
//! A debug build tries every history of one choice, and a fixed part of the longer ones. `EXHAUSTIVE_STRIDE=1` tries all of them,
//! and `EXHAUSTIVE_STRIDE=n` every n-th. `EXHAUSTIVE_ONLY=surface` selects the configurations with that text in their names.

mod choice;
mod elastic;
mod explain;
mod scope;
mod search;

use std::time::Instant;

use snowpipe_streaming::{ErrorKind, InvalidationCause};

use self::scope::CONFIGURATIONS;
use self::search::{Subject, explore, text};
use crate::drawn::setting;
use crate::drawn::truth::Sabotage;
use crate::repeatable::assert_repeatable;

/// A debug build tries one out of this many histories with several choices.
const DEBUG_STRIDE: u64 = 499;

fn subjects() -> impl Iterator<Item = &'static dyn Subject> {
    let elastic: &dyn Subject = &elastic::Elastic;
    let named = CONFIGURATIONS.iter().map(|one| -> &dyn Subject { one });
    named.chain([elastic])
}

#[test]
fn every_history_ends_with_all_rows_committed_and_errors_that_name_an_injected_fault() {
    if let Ok(one) = std::env::var("EXHAUSTIVE_ONE") {
        return run_one(&one);
    }
    let is_debug = cfg!(debug_assertions);
    let stride = setting("EXHAUSTIVE_STRIDE").unwrap_or(if is_debug { DEBUG_STRIDE } else { 1 });
    let only = std::env::var("EXHAUSTIVE_ONLY").unwrap_or_default();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let mut failed = Vec::new();
    for subject in subjects().filter(|subject| subject.name().contains(&only)) {
        let start = Instant::now();
        let tally = explore(subject, stride, threads);
        let [none, one, two, three] = tally.tried;
        println!(
            "exhaustive: {}: {} histories, {one} with one choice, {two} with two, {three} with three, {} void, in {:?}",
            subject.name(),
            none + one + two + three,
            tally.void,
            start.elapsed()
        );
        for failure in tally.failed.values() {
            let history = text(subject.name(), &failure.history);
            failed.push(format!(
                "{} histories, the shortest of them {history:?}: {:?}",
                failure.times, failure.wrong
            ));
        }
        // Otherwise choices are offered where they do not apply.
        assert!(
            10 * tally.void < two + three + 10,
            "{} are void",
            tally.void
        );
        let least = subject.least();
        let least = [1, least[0], least[1] / stride, least[2] / stride / stride];
        let is_enough = tally
            .tried
            .iter()
            .zip(least)
            .all(|(tried, least)| *tried >= least);
        assert!(
            is_enough,
            "{}: {:?} are less than {least:?}",
            subject.name(),
            tally.tried
        );
    }
    assert!(
        failed.is_empty(),
        "{failed:#?}\none of them: EXHAUSTIVE_ONE=… cargo test --test sim exhaustive -- --nocapture"
    );
}

/// Runs one history from its printed text.
fn run_one(one: &str) {
    let mut words = one.split_whitespace();
    let name = words.next().unwrap_or_default();
    let subject = subjects().find(|subject| subject.name() == name);
    let subject = subject.unwrap_or_else(|| panic!("there is no configuration {name:?}"));
    let choices: Vec<_> = words.map(choice::read).collect();
    let history = subject.run(&choices);
    println!("{}", history.trace.join("\n"));
    assert_eq!(history.wrong, [""; 0]);
    assert_eq!(history.skipped, [], "events that did not occur");
}

#[test]
fn the_same_choices_give_the_same_history() {
    let choices: [&[&str]; 3] = [&[], &["2:lose"], &["2:lose", "4:throttle"]];
    for subject in subjects() {
        let run = |choices: &&[&str]| {
            let choices: Vec<_> = choices.iter().map(|word| choice::read(word)).collect();
            subject.run(&choices)
        };
        assert_repeatable(choices, run, |history| &history.trace);
    }
}

#[test]
fn a_sabotaged_server_is_detected() {
    // After the fault, all rows go into one request.
    let choices = [choice::read("2:second-writer")];
    let surface = CONFIGURATIONS[0];
    assert_eq!(surface.history(&choices, None).wrong, [""; 0]);
    for sabotage in [
        Sabotage::Lose,
        Sabotage::Double,
        Sabotage::Reverse,
        Sabotage::SwapContents,
    ] {
        let wrong = surface.history(&choices, Some(sabotage)).wrong;
        assert!(!wrong.is_empty(), "{sabotage:?}");
    }
}

#[test]
fn an_error_that_names_no_injected_fault_is_detected() {
    let rejected = ErrorKind::Invalidated(InvalidationCause::Rejected);
    let refused = [choice::read("1:bad-request")];
    let lost = [choice::read("1:lose")];
    assert_eq!(explain::unexplained(&[rejected], &refused), None);
    assert_eq!(explain::unexplained(&[rejected], &lost), Some(rejected));
    assert_eq!(explain::unexplained(&[rejected], &[]), Some(rejected));
    // The client reports no error.
    assert_eq!(explain::unexplained(&[], &refused), None);
}

/// A choice that has no effect would make a history count as two.
#[test]
fn a_choice_without_effect_is_detected() {
    // The fifth request is a status call.
    for never in ["5:bad-request", "60:lose"] {
        let history = CONFIGURATIONS[0].history(&[choice::read(never)], None);
        assert_eq!(history.skipped.len(), 1, "{never}");
    }
}
