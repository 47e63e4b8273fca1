//! Channels: sequencers, accepted batches, commits, and the limits of the service.

pub(crate) mod channel;
pub(crate) mod committed_rows;
pub(crate) mod elastic;
pub(crate) mod limits;
#[cfg(feature = "emulator-server")]
pub(crate) mod schema_change;
pub(crate) mod state;
