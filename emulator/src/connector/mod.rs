//! What Snowflake's connectors send: a session, and statements in it.

pub(crate) mod answers;
pub(crate) mod cells;
pub(crate) mod changes;
#[cfg(test)]
mod changes_tests;
pub(crate) mod listing;
pub(crate) mod login;
#[cfg(test)]
mod names_tests;
pub(crate) mod over_sql_api;
pub(crate) mod parameters;
pub(crate) mod requests;
pub(crate) mod sessions;
pub(crate) mod statement;
#[cfg(test)]
pub(crate) mod tests;
