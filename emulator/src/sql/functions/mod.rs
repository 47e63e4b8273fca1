//! The functions that the compiler calls in SQLite's SQL: what Snowflake computes and SQLite does not.

pub(crate) mod aggregates;
pub(crate) mod arguments;
mod arrays;
pub(crate) mod deadline;
mod encodings;
mod flattening;
pub(crate) mod floats;
mod format_reading;
pub(crate) mod formats;
pub(crate) mod moments;
pub(crate) mod numbers;
pub(crate) mod patterns;
pub(crate) mod raised;
mod regex_patterns;
mod regexes;
pub(crate) mod scalars;
pub(crate) mod spelling;
pub(crate) mod texts;
pub(crate) mod variants;
pub(crate) mod volatile;
mod zones;
