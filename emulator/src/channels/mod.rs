//! Channels: sequencers, accepted batches, commits, and the limits of the service.

pub(crate) mod channel;
#[cfg(test)]
mod commits_tests;
pub(crate) mod committed_rows;
pub(crate) mod controls;
pub(crate) mod elastic;
#[cfg(test)]
mod elastic_tests;
#[cfg_attr(
    not(feature = "server"),
    expect(dead_code, reason = "only queries read events")
)]
pub(crate) mod events;
pub(crate) mod evolving;
#[cfg(test)]
mod evolving_tests;
pub(crate) mod failed_commits;
pub(crate) mod landing;
pub(crate) mod limits;
#[cfg(test)]
mod limits_tests;
pub(crate) mod numbers;
#[cfg(test)]
#[cfg(feature = "server")]
mod numbers_tests;
pub(crate) mod pipes;
pub(crate) mod refusals;
#[cfg(feature = "server")]
pub(crate) mod schema_change;
#[cfg(test)]
mod schema_change_tests;
pub(crate) mod state;
#[cfg(test)]
mod state_tests;
