//! Integration tests of the emulator over its public API and over HTTP.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod admin;
mod guard;
mod suites;
mod support_tables;

use std::time::Duration;

use serde_json::{Value, json};

const TABLE: &str = "DB.PUBLIC.RIDES_PIPE";

fn rows(range: std::ops::Range<i64>) -> Vec<Value> {
    range
        .map(|n| json!({ "N": n, "LIFT": format!("Elkhorn {n}") }))
        .collect()
}

/// The output of `future`. The test fails if it takes too long.
async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), future)
        .await
        .expect("it hangs")
}
