//! The rows, the configuration, and the streams against an emulator in memory.

mod configuration;
mod generation;
mod kills;
mod offsets;
mod pauses;
mod reconciliation;
mod shares;
mod streams;
mod world;

use std::sync::Arc;

use jiff::civil::{DateTime, date};

use crate::customers::Customers;
use crate::generator::Generator;
use crate::orchestrate::Job;

const SEED: u64 = 17;
const CUSTOMERS: u64 = 3_000;

fn now() -> DateTime {
    date(2026, 1, 17).at(14, 0, 0, 0)
}

fn customers() -> Arc<Customers> {
    Arc::new(Customers::generate(SEED, CUSTOMERS))
}

/// The generator of an instance that has all customers.
fn generator(instance: u64) -> Generator {
    Generator::new(SEED, Some(instance), customers(), 1..=CUSTOMERS, now())
}

fn job(orders: u64, instances: u64) -> Job {
    Job {
        orders,
        instances: Some(instances),
        customers: CUSTOMERS,
        seed: SEED,
        now: now(),
    }
}
