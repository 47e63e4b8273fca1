//! The crate as its users see it: rings 1 and 2 of the tests.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod accounting;
mod channel;
mod determinism;
mod faults;
mod linger;
mod memory;
mod observers;
mod opening;
mod patience;
mod splitting;
mod support;
