//! Streams a source that can be read again into a table, each row once.
//!
//! A [`Source`] is a queue, a table, a log or a file whose rows have offsets. [`run`] streams it into a channel: it opens
//! the channel, resumes after the committed offset, reads, appends, releases committed rows, reopens the channel when it is
//! invalidated, and drains it when asked to stop.
//!
//! ```
//! # use std::collections::BTreeMap;
//! # use std::convert::Infallible;
//! use snowpipe_streaming::ingest::{self, Batch, Finish, Rejected, Source};
//! # use snowpipe_streaming_emulator::Emulator;
//! # use snowpipe_streaming::{PipePath, StreamingIngestClient};
//!
//! #[derive(Clone, serde::Serialize)]
//! #[serde(rename_all = "UPPERCASE")]
//! struct Ride { lift: &'static str }
//!
//! /// Rides by their number. A real one would be on a disk.
//! struct Rides(BTreeMap<u64, Ride>);
//!
//! impl Source for Rides {
//!     type Offset = u64;
//!     type Row = Ride;
//!     type Error = Infallible;
//!
//!     async fn read_after(&mut self, after: Option<&u64>, max: usize) -> Result<Batch<u64, Ride>, Infallible> {
//!         let next = after.map_or(0, |last| last + 1);
//!         let rows: Vec<_> = self.0.range(next..).take(max).map(|(n, ride)| (*n, ride.clone())).collect();
//!         Ok(if rows.is_empty() { Batch::end() } else { Batch::new(rows) })
//!     }
//!
//!     async fn release_through(&mut self, through: &u64) -> Result<(), Infallible> {
//!         self.0.retain(|n, _| n > through);
//!         Ok(())
//!     }
//!
//!     async fn dead_letter(&mut self, rejected: &Rejected<u64>, rows: Vec<(u64, Ride)>) -> Result<(), Infallible> {
//!         eprintln!("{} of these {} rows are not in the table", rejected.count, rows.len());
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let emulator = Emulator::builder().build()?;
//! # let profile = emulator.profile()?;
//! # let client = StreamingIngestClient::builder(profile, PipePath::new("DB", "PUBLIC", "RIDES")?)
//! #     .transport(emulator.transport())
//! #     .build()
//! #     .await?;
//! let mut rides = Rides((0..100).map(|n| (n, Ride { lift: "Elkhorn" })).collect());
//! let report = ingest::run(&client, "rides-0", &mut rides).await?;
//! assert_eq!((report.finish, report.released), (Finish::Exhausted, Some(99)));
//! # assert_eq!(emulator.rows("DB.PUBLIC.RIDES")?.len(), 100);
//! # Ok(()) }
//! ```
//!
//! # What is guaranteed
//!
//! Each row is in the table once, or was rejected and is a dead letter, even if the program, the server or the network
//! fails. Rows are *released* when they are committed and the dead letters among them are kept. No committed row is appended
//! again.
//!
//! This relies on the source:
//!
//! - Offsets rise, and the same offset always means the same row. A run whose source violates the order ends with
//!   [`ErrorKind::Source`](crate::ErrorKind::Source).
//! - An offset can be parsed back from its text. This holds for integers. [`Padded`], [`Pair`] and [`LogPosition`] help with
//!   other offsets.
//! - Rows that are not released can be read again.
//! - It stores the counter of rejected rows ([`Source::rejects_seen`]). One that does not is told of the rows that are rejected while
//!   a run follows the channel. Rejects that are counted between two runs, after a crash or while a run ends, reach no dead letter,
//!   and their rows are released.
//! - There is one run at a time for a channel name. Two runs take the channel from each other: each resumes after the rows
//!   that the other has committed, neither discards the other's rows, and the one that commits nothing in between ends with
//!   [`Fenced`](crate::InvalidationCause::Fenced). Give each instance of a program a different name, or let an engine assign
//!   partitions to the instances: see [`group`](mod@group).
//!
//! # Dead letters
//!
//! The server counts the rows that it rejects and does not name them, so [`Source::dead_letter`] gets all rows of a range
//! that includes them. It gets them before they are released, and may get them again after a crash: *at least once*, if it stores
//! the counter. A source that keeps them by offset, together with the counter (see [`Source::rejects_seen`]), records each reject
//! exactly once. The
//! valid rows of the range are in the table.
//!
//! The count may come some seconds later than the commit. So a run that follows a crash, and whose source stores the counter, waits
//! five seconds after its open before it reads on; see [`delivery`](crate::guide::delivery#tokens-and-counters).
//!
//! If the source fails to keep them, the call is retried after pauses that grow from a tenth of a second to half a minute.
//! Meanwhile the run continues but releases nothing. After [`Run::source_patience`] it ends.
//!
//! # Channels that end
//!
//! | Why | What a run does |
//! |---|---|
//! | the server asks for a reopen, the channel is gone, a request got no answer, the server was unreachable for the client's `retry_for` | reopens it, at most three times without a commit in between |
//! | commits stall | reopens it once |
//! | another writer opened it, or committed another offset | reopens it once, discards nothing, and continues if the committed offset is not lower |
//! | any of these, and [`Source::ownership`] is not `Unknown` | `Owned`: reopens it as after a lost answer; `NotOwned`: ends |
//! | the server refuses a batch or the credential permanently | ends |
//!
//! Sent rows have thirty seconds to be committed before they are sent again.
//!
//! # Several channels
//!
//! With [`Run::shards`], rows are spread by a key. Each shard keeps its order, and the release waits for the slowest one. A
//! different number of shards is refused until everything that the old channels committed is released: run with the old
//! number until the source ends, then change it.

mod flow;
pub mod group;
mod layout;
mod offsets;
mod options;
mod recover;
mod rejects;
mod report;
mod resume;
mod retrying;
mod run;
mod shard;
mod shards;
mod shutdown;
mod source;

use self::group::{Group, Partitions};
pub use self::offsets::{Gaps, LogPosition, Padded, Pair};
pub use self::report::{Finish, Progress, Report};
pub use self::run::Run;
pub use self::shards::stable_hash;
pub use self::source::{Batch, Offset, Ownership, Rejected, Source};
use crate::client::StreamingIngestClient;

/// Streams a source into the channel `name`, or, with [`Run::shards`], into several channels named after it. Set options on
/// the returned value, then `.await` it.
///
/// Dropping the future before it resolves is like a crash of the program, except that appended rows drain in the background.
/// The next run resumes after the committed rows. With the same client, it waits for the drain. Before a run with another
/// client, [`abort`](StreamingIngestClient::abort) the first one. Otherwise both are writers of one channel.
///
/// # Errors
///
/// The next run, which may start at once, reads uncommitted rows again.
///
/// - [`ErrorKind::Config`](crate::ErrorKind::Config): an option is out of range, or an earlier run used another number of
///   shards.
/// - [`ErrorKind::Source`](crate::ErrorKind::Source): the source failed permanently or for too long, and its error is the
///   error's source; or its offsets do not rise.
/// - [`ErrorKind::InvalidOffset`](crate::ErrorKind::InvalidOffset): the channel's committed token is not an offset of this
///   source.
/// - [`ErrorKind::InvalidRow`](crate::ErrorKind::InvalidRow), [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge): a row
///   that no channel accepts.
/// - [`ErrorKind::Invalidated`](crate::ErrorKind::Invalidated): a channel was invalidated, and reopening it cannot help.
/// - The error of an open.
pub fn run<'a, S: Source>(
    client: &StreamingIngestClient,
    name: impl Into<String>,
    source: &'a mut S,
) -> Run<'a, S> {
    Run::new(client, name.into(), source)
}

/// Streams the partitions that an engine assigns to this program, each into a channel named after `name` and the partition. Set
/// options on the returned value, then `.await` it.
///
/// `name` is the same in each program that takes part, and in each run. Change it when the same names refer to other
/// partitions, for example when a topic was created again or the cluster was replaced.
///
/// Dropping the future before it resolves is like a crash of the program: the channels end at once, and rows that are not
/// committed are read again by the next owners of the partitions. The engine is not left.
///
/// See [`group`](mod@group) for what is guaranteed.
///
/// # Errors
///
/// What concerns one partition stops that partition only: see [`group::PartitionState`]. The errors are those that concern all:
///
/// - [`ErrorKind::Config`](crate::ErrorKind::Config): an option is out of range.
/// - [`ErrorKind::Source`](crate::ErrorKind::Source): the engine failed permanently or for too long.
/// - [`ErrorKind::Authentication`](crate::ErrorKind::Authentication), or an invalidation as
///   [`Unauthorized`](crate::InvalidationCause::Unauthorized): the credential is refused.
/// - [`ErrorKind::ClientClosed`](crate::ErrorKind::ClientClosed).
pub fn group<'a, T: Partitions>(
    client: &StreamingIngestClient,
    name: impl Into<String>,
    partitions: &'a mut T,
) -> Group<'a, T> {
    Group::new(client, name.into(), partitions)
}
