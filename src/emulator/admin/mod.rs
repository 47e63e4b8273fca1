//! The endpoints under `/_emulator/`, for tests that look at the emulator and change it.

#[cfg(feature = "emulator-server")]
pub(crate) mod endpoints;
#[cfg(feature = "emulator-server")]
pub(crate) mod faults;
#[cfg(feature = "emulator-server")]
pub(crate) mod requests;
#[cfg(feature = "emulator-server")]
pub(crate) mod tables;
#[cfg(test)]
mod tables_tests;
pub(crate) mod upkeep;
#[cfg(feature = "emulator-server")]
pub(crate) mod waiting;
