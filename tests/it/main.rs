//! Integration tests over the public API: with the emulator in memory under a paused clock, and over real sockets.
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
mod batch_jobs;
mod cancel;
mod channel;
mod churn;
mod client_close;
mod close;
mod columns;
mod commit_latency;
mod compiles;
mod config;
mod contract;
mod delivery;
mod diagnostics;
mod elastic;
mod exhaustive;
mod failed_connections;
mod failover;
mod faults;
mod flush_timing;
mod group;
mod group_options;
mod group_rejects;
mod group_rig;
mod group_sim;
mod ingest;
mod ingest_failing_shards;
mod ingest_recovery;
mod ingest_reject_counts;
mod ingest_rejects;
mod ingest_seeds;
mod ingest_shards;
mod ingest_source;
mod large_rows;
mod layers;
mod lost_answers;
mod many_channels;
mod memory;
mod metrics;
mod network;
mod observers;
mod official_sdk;
mod opening;
mod other_writers;
mod outages;
mod papers;
mod pipes;
mod protocol;
mod proxy;
mod regressions;
mod rejects;
mod reopening;
mod repeatable;
mod replaced_tables;
mod replay;
mod replica_lag;
mod retry_limits;
mod row_counts;
mod runtime_shutdown;
mod scale;
mod scripted_server;
mod secrets;
mod senders;
mod shared_sender;
mod sim;
mod splitting;
mod status_calls;
mod support;
mod tls;
mod tokens;
mod trace;
mod untracked;
mod workload_identity;
