//! Channels: sequencers, accepted batches, commits, and the limits of the service.

pub(crate) mod channel;
pub(crate) mod committed_rows;
pub(crate) mod elastic;
pub(crate) mod limits;
pub(crate) mod state;
