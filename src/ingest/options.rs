//! The options of a run, with the closures that it is given.

use std::pin::Pin;
use std::time::Duration;

use super::recover::OWN_ROWS;
use super::report::Progress;
use crate::base::options::OnUncommitted;

/// Hashes the key of a row, to choose its shard.
pub(super) type Hash<'a, R> = Box<dyn FnMut(&R) -> u64 + Send + 'a>;
pub(super) type Observer<'a, O> = Box<dyn FnMut(&Progress<O>) + Send + 'a>;
pub(super) type Stop<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// The options of a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    pub(super) batch_rows: usize,
    pub(super) max_in_flight: u64,
    pub(super) drain_timeout: Duration,
    pub(super) source_patience: Duration,
    /// The policy for uncommitted rows of this source.
    pub(super) own_rows: OnUncommitted,
    /// The source is a partition of a group. It may be taken from this run at any time, which then ends at once.
    pub(super) is_partition: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            batch_rows: 10_000,
            max_in_flight: 160_000,
            drain_timeout: Duration::from_secs(60),
            source_patience: Duration::from_secs(600),
            own_rows: OWN_ROWS,
            is_partition: false,
        }
    }
}
