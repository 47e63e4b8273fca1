//! Tables and pipes, and how a JSON row becomes a row of a table.

pub(crate) mod account_zone;
pub(crate) mod binary;
pub(crate) mod cell;
pub(crate) mod coercion;
pub(crate) mod columns;
pub(crate) mod datetime;
pub(crate) mod datetime_formats;
pub(crate) mod decimal;
pub(crate) mod evolution;
pub(crate) mod fields;
#[cfg(feature = "server")]
pub(crate) mod json_reading;
pub(crate) mod object_name;
pub(crate) mod row;
pub(crate) mod row_error;
pub(crate) mod rules;
pub(crate) mod sequences;
pub(crate) mod tables;
pub(crate) mod transforms;
