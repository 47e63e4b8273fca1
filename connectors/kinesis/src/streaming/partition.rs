//! The name of a shard in channels.

use std::fmt;
use std::sync::Arc;

/// A shard of a stream. Another stream of the same name has another time of creation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Partition {
    /// `stream@created`.
    pub(super) stream: Arc<str>,
    pub(super) shard: Arc<str>,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stream, shard } = self;
        write!(f, "{stream}:{shard}")
    }
}
