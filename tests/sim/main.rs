//! Proofs by simulation: programs, clients and an emulator in one thread and in virtual time. `README.md` says what each engine proves.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod drawn;
mod drawn_world;
mod exhaustive;
mod groups;
mod ingest;
mod repeatable;
#[path = "../it/source.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod source;
#[path = "../it/support.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod support;
