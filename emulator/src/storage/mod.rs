//! The storage of rows, channels and accepted batches: in memory, or in a SQLite file.

#[cfg(feature = "server")]
pub(crate) mod data_file;
#[cfg(feature = "server")]
pub(crate) mod data_file_changes;
#[cfg(feature = "server")]
pub(crate) mod data_file_lock;
#[cfg(feature = "server")]
pub(crate) mod data_file_tables;
#[cfg(test)]
mod failure_tests;
pub(crate) mod interface;
pub(crate) mod memory;
pub(crate) mod records;
#[cfg(test)]
mod restart_tests;
pub(crate) mod row_snapshot;
#[cfg(feature = "server")]
pub(crate) mod sqlite_cells;
#[cfg(feature = "server")]
pub(crate) mod sqlite_file;
