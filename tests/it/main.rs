//! Integration tests over the public API: with the emulator in memory under a paused clock, and over real sockets.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod auth;
mod channel;
mod client;
mod elastic;
mod ingest;
mod protocol;
mod repository;
mod scripted_server;
mod source;
mod support;
