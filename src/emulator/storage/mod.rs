//! Where rows, channels and accepted batches are kept: in memory, or in a SQLite file.

#[cfg(feature = "emulator-server")]
pub(crate) mod data_file;
#[cfg(feature = "emulator-server")]
pub(crate) mod data_file_changes;
#[cfg(feature = "emulator-server")]
pub(crate) mod data_file_lock;
#[cfg(feature = "emulator-server")]
pub(crate) mod data_file_tables;
pub(crate) mod landing;
pub(crate) mod memory;
pub(crate) mod row_snapshot;
#[cfg(feature = "emulator-server")]
pub(crate) mod sqlite;
#[cfg(feature = "emulator-server")]
pub(crate) mod sqlite_cells;
