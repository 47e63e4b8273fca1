//! The crate as its users see it: with the emulator in memory under a paused clock, and over real sockets.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod accounting;
mod auth;
mod auth_bounds;
mod auth_clock;
mod auth_forms;
mod auth_secrets;
mod bad_input;
mod cancel;
mod channel;
mod churn;
mod client_close;
mod commit_known;
mod compiles;
mod config;
mod contract;
mod delivery;
mod elastic;
mod emulator_admin;
mod emulator_guard;
mod ends;
mod exhaustive;
mod faults;
mod ingest;
mod ingest_failing_shards;
mod ingest_recovery;
mod ingest_rejects;
mod ingest_seeds;
mod ingest_shards;
mod ingest_source;
mod lagging;
mod layers;
mod linger;
mod many_channels;
mod memory;
mod metrics;
mod moved;
mod network;
mod observers;
mod official_sdk;
mod once;
mod opening;
mod other_writers;
mod outages;
mod papers;
mod patience;
mod protocol;
mod proxy;
mod rejects;
mod reopening;
mod replay;
mod review;
mod runtime_shutdown;
mod scale;
mod secrets;
mod sim;
mod splitting;
mod stage;
mod status_calls;
mod support;
mod tls;
mod tokens;
mod told;
mod trace;
mod unsent;
