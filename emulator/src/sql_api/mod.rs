//! Snowflake's SQL API: statements over the tables, computed by SQLite.

#[cfg(test)]
mod bounds_tests;
pub(crate) mod cells;
pub(crate) mod copies;
pub(crate) mod execution;
#[cfg(test)]
mod format_tests;
#[cfg(test)]
mod function_tests;
#[cfg(test)]
mod guide_tests;
#[cfg(test)]
pub(crate) mod meaning_tests;
#[cfg(test)]
mod operator_tests;
pub(crate) mod parsing;
mod pipe_status;
pub(crate) mod reading;
#[cfg(test)]
mod refusals_tests;
#[cfg(test)]
mod regexp_tests;
pub(crate) mod statements;
#[cfg(test)]
pub(crate) mod statements_tests;
#[cfg(test)]
mod table_function_tests;
mod views;
