//! Streams partitions that an engine, such as a consumer group, hands out to several programs.
//!
//! [`ingest::group`](crate::ingest::group()) runs one channel for each partition that this program owns. It starts one when the
//! engine assigns a partition, and ends it when the partition is revoked or lost. Any number of programs on any number of
//! machines take part with the same name.
//!
//! ```
//! # use std::convert::Infallible;
//! use snowpipe_streaming::ingest::group::{Event, Partitions};
//! use snowpipe_streaming::ingest::{self, Batch, Finish, Rejected, Source};
//! # use snowpipe_streaming_emulator::Emulator;
//! # use snowpipe_streaming::{PipePath, StreamingIngestClient};
//!
//! #[derive(Clone, serde::Serialize)]
//! #[serde(rename_all = "UPPERCASE")]
//! struct Ride { lift: &'static str }
//!
//! /// A hundred rides at one lift.
//! struct Lift(&'static str);
//!
//! impl Source for Lift {
//!     type Offset = u64;
//!     type Row = Ride;
//!     type Error = Infallible;
//!
//!     async fn read_after(&mut self, after: Option<&u64>, max: usize) -> Result<Batch<u64, Ride>, Infallible> {
//!         let next = after.map_or(0, |last| last + 1);
//!         let rows: Vec<_> = (next..100).take(max).map(|n| (n, Ride { lift: self.0 })).collect();
//!         Ok(if rows.is_empty() { Batch::end() } else { Batch::new(rows) })
//!     }
//!
//!     async fn dead_letter(&mut self, _: &Rejected<u64>, _: Vec<(u64, Ride)>) -> Result<(), Infallible> {
//!         Ok(())
//!     }
//! }
//!
//! /// An engine that assigns two partitions and has nothing more to say. A real one is polled here.
//! struct Resort(Option<Vec<(&'static str, Lift)>>);
//!
//! impl Partitions for Resort {
//!     type Partition = &'static str;
//!     type Source = Lift;
//!     type Error = Infallible;
//!
//!     async fn next(&mut self) -> Result<Option<Event<&'static str, Lift>>, Infallible> {
//!         Ok(self.0.take().map(Event::Assigned))
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
//! let mut resort = Resort(Some(vec![("elkhorn", Lift("Elkhorn")), ("ridge", Lift("Ridge"))]));
//! let report = ingest::group(&client, "resort", &mut resort).await?;
//! assert_eq!((report.finish, report.totals.rows_committed), (Finish::Exhausted, 200));
//! assert_eq!(report.partitions["ridge"].channel, "resort:ridge");
//! # assert_eq!(emulator.rows("DB.PUBLIC.RIDES")?.len(), 200);
//! # Ok(()) }
//! ```
//!
//! # What is guaranteed
//!
//! As of a [run](crate::ingest#what-is-guaranteed): each row is in the table once, or was rejected and is a dead letter. It holds
//! for any number of programs, also while two of them believe that they own a partition, because the server accepts rows
//! only from the program that opened the channel last, and each program starts after the token that its own open returned. The guide's
//! chapter [More than one machine](crate::guide::machines) has the argument.
//!
//! # Positions
//!
//! The channel's committed offset token is the only position. The engine's own offsets follow it, for monitoring. A channel
//! without a token starts where the source starts to read without an offset; the source remembers this place before it returns
//! rows, so that a reopen before the first commit reads the same rows again.
//!
//! # Names
//!
//! A channel is named `<name>:<partition>`, never after a host or an instance. Capitals are written as `~` and the small letter,
//! because the server opens channels without regard to case: the partition `Rides:0` of `resort` has the channel
//! `resort:~rides:0`.
//!
//! # Partitions that fail
//!
//! | What failed | What happens |
//! |---|---|
//! | the server, the network, a commit that stalls | the run of the partition recovers as described for [a run](crate::ingest#channels-that-end); if it ends, it is run again after a pause of half a second to one minute |
//! | another writer opened the channel, and [`Source::ownership`] is `Owned` | the channel is opened again, at most three times without a commit in between |
//! | another writer opened the channel, and the ownership is `NotOwned` | the partition is ignored until its next assignment |
//! | another writer opened the channel, and the ownership is `Unknown`, the default | the channel is opened again once, as in a run; implement `ownership` for a group |
//! | a fatal error of the source, for example a committed offset that the partition does not explain; a row that no channel accepts; a token that went backward; a panic | the partition stands still, as [`PartitionState::Failed`], until it is assigned again |
//! | the credential is refused, the client is closed, the engine fails | the group ends |
//!
//! Partitions do not stop each other. The rows in flight are limited for each and in total.
//!
//! [`Source::ownership`]: crate::ingest::Source::ownership

mod board;
mod builder;
mod engine;
mod member;
mod names;
mod partitions;
pub(super) mod quota;
mod report;
mod task;

pub use self::builder::Group;
pub use self::names::channel_name;
pub use self::partitions::{Event, NextEvent, Partitions};
pub use self::report::{GroupProgress, GroupReport, PartitionReport, PartitionState, Totals};
