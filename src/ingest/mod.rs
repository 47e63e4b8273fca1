//! From a source that can be read again to a table, each row once: what a source has to offer, and the loop that runs it.
//!
//! A [`Source`] is a queue, a table, a log or a file whose rows have offsets. [`run`] streams it into a channel: it opens
//! the channel, resumes after what is committed, reads, appends, releases what is committed, opens the channel again when it
//! was invalidated, and drains when it is asked to stop.
//!
//! ```
//! # use std::collections::BTreeMap;
//! # use std::convert::Infallible;
//! use snowpipe_streaming::ingest::{self, Batch, Finish, Rejected, Source};
//! # use snowpipe_streaming::emulator::Emulator;
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
//! # async fn main() -> snowpipe_streaming::Result<()> {
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
//! Each row is in the table once, or was rejected and is a dead letter, whatever crashes: the program, the server, or the
//! way between them. A row is *released* when it is committed, and when the dead letters among it are kept. Nothing that is
//! committed is appended again.
//!
//! That rests on the source:
//!
//! - Offsets rise, and the same offset always means the same row. A run that sees them fall ends with
//!   [`ErrorKind::Source`](crate::ErrorKind::Source).
//! - An offset's text reads back as the same offset. Integers do; [`Padded`], [`Pair`] and [`LogPosition`] help with others.
//! - What is not released can be read again.
//! - One run at a time for a channel name. Two take the channel from each other; each goes on after what the other has
//!   committed, none discards the other's rows, and the one that commits nothing in between ends with
//!   [`Fenced`](crate::InvalidationCause::Fenced). Give each instance of a program a name of its own.
//!
//! # Dead letters
//!
//! The server counts the rows it rejects and does not name them, so [`Source::dead_letter`] gets all rows of a stretch that
//! holds them. They are handed over before they are released, perhaps again after a crash: *at least once*. A source that
//! keeps them by offset, and the counter beside them (see [`Source::rejects_seen`]), hears of each reject and notices none
//! twice. Good rows among them are in the table.
//!
//! A source that cannot keep them is asked again, with pauses that grow from a tenth of a second to half a minute. Meanwhile
//! the run goes on, but releases nothing; after [`Run::source_patience`] it ends.
//!
//! # Channels that end
//!
//! | Why | What a run does |
//! |---|---|
//! | the server asks for a reopen, the channel is gone, a request went unanswered, the server was away for the client's `retry_for` | opens it again, at most three times without a commit in between |
//! | commits stall | opens it again once |
//! | another writer opened it, or committed an offset of its own | opens it again once, discards nothing, and goes on if what is committed lies ahead |
//! | the server refuses a batch for good, or the credentials | ends |
//!
//! Rows that were sent are given thirty seconds to be committed before they are sent again.
//!
//! # Several channels
//!
//! With [`Run::shards`] rows are spread by a key. Each shard keeps its order; the release waits for the slowest. Another
//! number of shards, or none, is refused until all that the old channels committed is released: run with the old number
//! until it ends, then change it.

mod flow;
mod layout;
mod offsets;
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

pub use self::offsets::{Gaps, LogPosition, Padded, Pair};
pub use self::report::{Finish, Progress, Report};
pub use self::run::Run;
pub use self::shards::stable_hash;
pub use self::source::{Batch, Offset, Rejected, Source};
use crate::client::StreamingIngestClient;

/// Streams a source into the channel `name`, or, with [`Run::shards`], into several named after it. Set options on what is
/// returned, then `.await` it.
///
/// Dropped before it is done, it is as if the program had crashed there, but for what was appended: that drains in the
/// background. The next run goes on from what is committed. With the same client it waits for that; before a run with another
/// client, [`abort`](StreamingIngestClient::abort) the first one, or the two are writers of one channel.
///
/// # Errors
///
/// What is not committed then is read again by the next run, which can begin at once.
///
/// - [`ErrorKind::Config`](crate::ErrorKind::Config): an option makes no sense, or an earlier run used another number of
///   shards.
/// - [`ErrorKind::Source`](crate::ErrorKind::Source): the source failed for good or for too long, and its error is the
///   error's source; or its offsets do not rise.
/// - [`ErrorKind::InvalidOffset`](crate::ErrorKind::InvalidOffset): the channel's committed token is not an offset of this
///   source.
/// - [`ErrorKind::InvalidRow`](crate::ErrorKind::InvalidRow), [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge): a row
///   that no channel takes.
/// - [`ErrorKind::Invalidated`](crate::ErrorKind::Invalidated): a channel that opening it again does not fix.
/// - Whatever keeps a channel from being opened.
pub fn run<'a, S: Source>(
    client: &StreamingIngestClient,
    name: impl Into<String>,
    source: &'a mut S,
) -> Run<'a, S> {
    Run::new(client, name.into(), source)
}
