//! Snowflake's SQL, compiled into SQLite's.

pub(crate) mod compiler;
pub(crate) mod failure;
pub(crate) mod functions;
pub(crate) mod names;
pub(crate) mod transforms;
#[cfg(test)]
mod transforms_tests;
