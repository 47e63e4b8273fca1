//! From a source that can be read again to a table, each row once: what a source has to offer, and the loop that runs it.

mod brake;
mod flow;
mod layout;
mod patient;
mod recover;
mod report;
mod resume;
mod run;
mod shard;
mod shards;
mod source;

pub use self::report::{Finish, Progress, Report};
pub use self::run::Run;
pub use self::shards::stable_hash;
pub use self::source::{Batch, Offset, Rejected, Source};
use crate::client::StreamingIngestClient;

/// Streams a source into the channel `name`, or, with [`Run::shards`], into several named after it.
pub fn run<'a, S: Source>(
    client: &StreamingIngestClient,
    name: impl Into<String>,
    source: &'a mut S,
) -> Run<'a, S> {
    Run::new(client, name.into(), source)
}
