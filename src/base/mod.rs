//! Shared foundations: time, retries, the byte budget, buffers, counters, options.

pub(crate) mod budget;
pub(crate) mod buffers;
pub(crate) mod files;
pub(crate) mod host;
pub(crate) mod json;
pub(crate) mod metrics;
#[cfg(test)]
pub(crate) mod mutated;
pub(crate) mod options;
mod prometheus;
pub(crate) mod request_limit;
pub(crate) mod retry;
pub(crate) mod task;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod watched;
