//! Snowflake's SQL API: statements over the tables, computed by SQLite.

pub(crate) mod cells;
pub(crate) mod copies;
pub(crate) mod functions;
pub(crate) mod parsing;
pub(crate) mod reading;
pub(crate) mod rewriting;
pub(crate) mod statements;
