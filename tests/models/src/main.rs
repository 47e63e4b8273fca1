//! Models of what the tasks of a client share, under the scheduler of shuttle: the crate's own source files, compiled with
//! shuttle's locks, atomics and tokio, in tens of thousands of interleavings. A deadlock, such as after a lost wake-up, fails a model.
//!
//! Orderings weaker than sequential consistency are not modelled.
//!
//!     cargo run --manifest-path tests/models/Cargo.toml [part of a model's name]

// The crate's files hold more than the models use.
#![allow(dead_code)]

extern crate scheduled_std as std;

mod auth;
mod base;
mod channel;
mod models;
mod stubs;
mod types;

use std::time::Instant;

use models::{budget as bytes, buffers as kept, channel as shared, names, tokens};
use shuttle::future::block_on;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};
use stubs::{api, context};

/// The same schedules in each run.
const SEED: u64 = 1;

/// A model and how many schedules of each kind are tried.
type Model = (&'static str, usize, fn());

const MODELS: &[Model] = &[
    ("budget: nothing is charged at the end", 20_000, || {
        block_on(bytes::nothing_is_charged_at_the_end())
    }),
    ("budget: a driver learns of a wait", 20_000, || {
        block_on(bytes::a_driver_learns_of_a_wait())
    }),
    (
        "budget: no append waits for what was handed back",
        20_000,
        || block_on(bytes::no_append_waits_for_what_was_handed_back()),
    ),
    ("budget: a wait learns what was handed back", 20_000, || {
        block_on(bytes::a_wait_learns_what_was_handed_back())
    }),
    (
        "budget: appends of one channel all have their turn",
        20_000,
        || block_on(bytes::appends_of_one_channel_all_have_their_turn()),
    ),
    ("shared: no wake-up is lost", 20_000, || {
        block_on(shared::no_wake_up_is_lost())
    }),
    ("shared: caller and driver wake each other", 20_000, || {
        block_on(shared::caller_and_driver_wake_each_other())
    }),
    ("shared: all waiting appends learn of room", 20_000, || {
        block_on(shared::all_waiting_appends_learn_of_room())
    }),
    ("buffers: empty and few", 500, || {
        block_on(kept::buffers_are_empty_and_few())
    }),
    ("tokens: fetched once for all", 20_000, || {
        block_on(tokens::a_token_is_fetched_once_for_all())
    }),
    (
        "tokens: a refused one is fetched again once",
        20_000,
        || block_on(tokens::a_refused_token_is_fetched_again_once()),
    ),
    ("names: one holder", 20_000, || {
        block_on(names::a_name_has_one_holder())
    }),
    ("names: no channel outlives its client", 20_000, || {
        block_on(names::no_channel_outlives_its_client())
    }),
    ("names: a failed reopen leaves none behind", 20_000, || {
        block_on(names::a_failed_reopen_leaves_no_name_behind())
    }),
];

fn main() {
    let part = std::env::args().nth(1).unwrap_or_default();
    let mut tried = 0;
    for (name, schedules, model) in MODELS.iter().filter(|model| model.0.contains(&part)) {
        println!("{name}");
        let start = Instant::now();
        let mut config = Config::new();
        // That every ordering is taken for the strongest is said above.
        config.silence_warnings = true;
        let random = RandomScheduler::new_from_seed(SEED, *schedules);
        let few_switches = PctScheduler::new_from_seed(SEED, 3, *schedules);
        let done = Runner::new(random, config.clone()).run(model)
            + Runner::new(few_switches, config).run(model);
        println!("  {done} schedules in {:?}", start.elapsed());
        tried += done;
    }
    assert!(tried > 0, "no model is named so");
}
