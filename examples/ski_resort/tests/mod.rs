//! Tests of the generator, the queue and the files, and of the streams against an emulator.

#![expect(
    clippy::cast_precision_loss,
    reason = "shares of counts that are far below 2^53"
)]

mod alone;
mod dashboard;
mod dashboard_account;
mod dashboard_dates;
mod dashboard_events;
mod dashboard_guard;
mod dashboard_model;
mod dashboard_prometheus;
mod dashboard_random;
mod dashboard_reports;
mod dashboard_served;
mod files;
mod history;
mod queue;
mod reports;
mod reports_fixture;
mod reports_history;
mod reports_scene;
mod rows;
mod run;
mod stream;
mod target;

use std::sync::LazyLock;

use jiff::Timestamp;

use crate::generator::Generator;
use crate::rows::{Row, Writer};
use crate::world::STEPS_PER_DAY;

const SEED: u64 = 20_260_117;

/// The rows of the day that a run without flags generates.
static DAY_ONE: LazyLock<Vec<Row>> = LazyLock::new(|| rows(SEED, winter(), STEPS_PER_DAY));

fn winter() -> Timestamp {
    "2026-01-17T14:00:00Z".parse().unwrap()
}

fn rows(seed: u64, start: Timestamp, steps: u64) -> Vec<Row> {
    rows_of(
        &mut Generator::new(seed, start).unwrap(),
        seed,
        start,
        steps,
    )
}

fn rows_of(generator: &mut Generator, seed: u64, start: Timestamp, steps: u64) -> Vec<Row> {
    let writer = Writer::new(seed, start).unwrap();
    (0..steps)
        .flat_map(|_| generator.step().unwrap())
        .map(|event| writer.row(&event).unwrap())
        .collect()
}
