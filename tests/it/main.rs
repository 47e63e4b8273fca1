//! The crate as its users see it: rings 1 and 2 of the tests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what helps a test may fail it"
)]

mod bad_input;
mod channel;
mod compiles;
mod contract;
mod protocol;
mod secrets;
mod stage;
mod support;
mod tls;
