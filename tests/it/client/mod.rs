//! The client: its memory, its connections, its end, and what it reports.

mod accounting;
mod churn;
mod close;
mod config;
mod diagnostics;
mod failed_connections;
mod many_channels;
mod memory;
mod metrics;
mod network;
mod proxy;
mod runtime_shutdown;
mod scale;
mod tls;
