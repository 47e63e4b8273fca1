//! Snowflake's DDL: parsing it, and changing the catalog by it. And fixtures: rows that are inserted beside it.

pub(crate) mod deep_stack;
pub(crate) mod defaults;
pub(crate) mod drops;
pub(crate) mod ignored;
pub(crate) mod insert;
pub(crate) mod literal;
pub(crate) mod options;
pub(crate) mod pipe;
pub(crate) mod pipe_source;
pub(crate) mod rows;
pub(crate) mod script;
pub(crate) mod session;
pub(crate) mod statements;
pub(crate) mod table;
#[cfg(test)]
mod zone_tests;
