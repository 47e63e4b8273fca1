//! The emulator on HTTP and HTTPS: connections, their limits, and who may ask for what.

pub(crate) mod answer_memory;
pub(crate) mod body_reader;
pub(crate) mod builder;
pub(crate) mod connection;
pub(crate) mod eviction;
pub(crate) mod guard;
pub(crate) mod reply_body;
pub(crate) mod serve;
pub(crate) mod server_limits;
pub(crate) mod tls;
