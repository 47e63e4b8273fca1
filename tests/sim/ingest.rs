//! Runs with random faults, stops and crashes from a seed: each good row lands once, and each bad row is a dead letter before
//! it is released.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use snowpipe_streaming::ingest::{self, stable_hash};
use snowpipe_streaming::{Error, ErrorKind, Recovery};
use snowpipe_streaming_emulator::{Endpoint, Fault};
use tokio::time::{sleep, timeout};

use crate::drawn::setting;
use crate::drawn_world;
use crate::repeatable::{Trace, Traced, assert_repeatable, in_virtual_time, seeds};
use crate::source::{Failure, Shelf};
use crate::support::World;

const ROWS: i64 = 300;

fn key(row: &Value) -> u64 {
    stable_hash(row["LIFT"].as_str().unwrap().as_bytes())
}

/// One in about forty rows has no number, which the table demands.
fn shelf(rng: &mut fastrand::Rng) -> Shelf {
    let shelf = Shelf::default();
    let lifts = ["Elkhorn", "Elkhorn", "Elkhorn", "Ridge", "Summit"];
    for n in 0..ROWS {
        let lift = rng.choice(lifts).unwrap();
        let row = if rng.u8(..40) == 0 {
            json!({ "LIFT": lift })
        } else {
            json!({ "LIFT": lift, "N": n })
        };
        shelf.stock().rows.insert(n, row);
    }
    let mut stock = shelf.stock();
    stock.is_forgetful = rng.bool();
    let methods = ["read", "release", "dead letter", "released", "check"];
    for _ in 0..rng.usize(..6) {
        let failure = (rng.choice(methods).unwrap(), Failure::Passing);
        let times = rng.usize(1..8);
        stock.failures.extend(std::iter::repeat_n(failure, times));
    }
    drop(stock);
    shelf
}

fn world(rng: &mut fastrand::Rng) -> World {
    let lost_status = Fault::BareNotFound.on(Endpoint::Status);
    drawn_world::draw(
        rng,
        "N NUMBER NOT NULL, LIFT VARCHAR",
        0.1,
        Some(lost_status),
    )
}

/// Whether an error may end a run under such faults. The next run continues.
fn is_expected(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Invalidated(_) | ErrorKind::UncommittedData
    ) || error.is_retryable()
}

/// Runs the history of a seed, and returns its trace.
async fn history(seed: u64) -> Vec<String> {
    let trace = Arc::new(Trace::new());
    let mut rng = fastrand::Rng::with_seed(seed);
    let world = world(&mut rng);
    let mut shelf = shelf(&mut rng);
    let bad: Vec<i64> = {
        let stock = shelf.stock();
        let bad = stock.rows.iter().filter(|(_, row)| row.get("N").is_none());
        bad.map(|(n, _)| *n).collect()
    };
    let shards = [None, Some(1), Some(4), Some(7)][rng.usize(..4)];
    let recovery = if rng.bool() {
        Recovery::Replay
    } else {
        Recovery::Surface
    };
    let mut is_done = false;
    for attempt in 0..60 {
        if attempt == 20 {
            world.emulator.faults().clear();
        }
        let transport = Traced {
            inner: world.transport(),
            client: attempt.to_string(),
            trace: Arc::clone(&trace),
        };
        let builder = world.builder().transport(transport);
        let builder = builder.seed(rng.u64(..)).recovery(recovery);
        let Ok(client) = builder.build().await else {
            continue;
        };
        let mut run = ingest::run(&client, "c", &mut shelf)
            .batch_rows(rng.usize(1..60))
            .max_in_flight(rng.u64(1..200))
            .drain_timeout(Duration::from_millis(rng.u64(..5_000)))
            .until(sleep(Duration::from_millis(rng.u64(..200_000))));
        if let Some(count) = shards {
            run = run.shards(count, key);
        }
        let crash = Duration::from_millis(rng.u64(..60_000));
        let ended = timeout(crash, run.into_future()).await;
        trace.log(format!("{attempt} ended: {ended:?}"));
        match ended {
            Ok(Ok(report)) => {
                if report.released == Some(ROWS - 1) {
                    is_done = true;
                    break;
                }
            }
            Ok(Err(error)) => assert!(is_expected(&error), "seed {seed}: {error:?}"),
            Err(_) => {}
        }
        // Dropped, its channels drain beside those of the next client.
        if rng.bool() {
            client.abort();
        }
    }
    assert!(is_done, "seed {seed}: {:?}", shelf.stock());

    let rows = world.emulator.rows("DB.PUBLIC.RIDES").unwrap();
    let mut landed: Vec<_> = rows.iter().map(|row| row["N"].as_i64().unwrap()).collect();
    trace.log(format!("landed: {landed:?}"));
    landed.sort_unstable();
    let good: Vec<_> = (0..ROWS).filter(|n| !bad.contains(n)).collect();
    assert_eq!(landed, good, "seed {seed}");
    let letters = &shelf.stock().letters;
    let missing: Vec<_> = bad.iter().filter(|n| !letters.contains_key(n)).collect();
    assert!(missing.is_empty(), "seed {seed}: {missing:?} of {bad:?}");
    let rejected = world.emulator.error_rows("DB.PUBLIC.RIDES").unwrap().len();
    assert_eq!(rejected, bad.len(), "seed {seed}");
    trace.lines()
}

#[test]
fn no_row_is_lost_doubled_or_forgotten_in_any_history() {
    let first = setting("SIM_FIRST").unwrap_or(0);
    for seed in first..first + setting("SIM_SEEDS").unwrap_or(60) {
        in_virtual_time(history(seed));
    }
}

#[test]
fn the_same_seed_gives_the_same_history() {
    assert_repeatable(
        seeds(),
        |seed| in_virtual_time(history(*seed)),
        |trace| trace,
    );
}
