//! Snowpipe Streaming's endpoints: a request's way from its route to its answer, and the faults that are injected on it.

pub(crate) mod append;
pub(crate) mod aws_chunked;
pub(crate) mod channel_status;
pub(crate) mod deferred;
pub(crate) mod elastic;
pub(crate) mod faults;
pub(crate) mod files;
#[cfg(test)]
mod files_tests;
pub(crate) mod handler;
pub(crate) mod injected_fault;
#[cfg(test)]
mod injected_fault_tests;
pub(crate) mod pipe_info;
#[cfg(test)]
mod pipe_info_tests;
pub(crate) mod request_head;
pub(crate) mod request_log;
pub(crate) mod routes;
pub(crate) mod stage;
#[cfg(test)]
mod stage_tests;
pub(crate) mod strict;
pub(crate) mod telemetry;
