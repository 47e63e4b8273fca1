//! The endpoints under `/_emulator/`, for tests that look at the emulator and change it.

#[cfg(feature = "server")]
pub(crate) mod endpoints;
#[cfg(feature = "server")]
pub(crate) mod faults;
#[cfg(feature = "server")]
pub(crate) mod requests;
#[cfg(feature = "server")]
pub(crate) mod tables;
#[cfg(test)]
mod tables_tests;
pub(crate) mod upkeep;
#[cfg(feature = "server")]
pub(crate) mod waiting;
