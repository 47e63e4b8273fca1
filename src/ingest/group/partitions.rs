//! The interface of a source whose partitions are handed out to several programs.

use std::fmt;
use std::future::Future;

use crate::ingest::source::Source;

/// A change of the partitions that this program owns.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<P, S> {
    /// These partitions are this program's from now on, each with its source. A partition that is owned already is taken back
    /// first, as if it had been lost.
    Assigned(Vec<(P, S)>),
    /// An orderly rebalance moves these partitions to another program.
    Revoked(Vec<P>),
    /// These partitions may belong to another program already, because this program missed its session timeout.
    Lost(Vec<P>),
}

/// What [`Partitions::next`] returns.
pub type NextEvent<T> = Result<
    Option<Event<<T as Partitions>::Partition, <T as Partitions>::Source>>,
    <T as Partitions>::Error,
>;

/// A source of partitions that an engine, as a consumer group, hands out to the programs that take part.
///
/// The engine must give a partition to at most one program at a time, as far as it can know. It may be wrong: a program that was
/// suspended learns late that its partitions are another one's. The channel of the partition then still accepts the rows of one
/// program only, the one that opened it last.
pub trait Partitions: Send {
    /// Names a partition, the same in each program and each run. Its text becomes a part of the channel's name, so partitions
    /// that differ must have texts that differ.
    type Partition: Ord + Clone + fmt::Display + Send + Sync + 'static;
    /// The rows of one partition. The source of an earlier assignment of the partition is dropped before a method of the new one
    /// is called. Implement [`Source::ownership`]: without it, a program that has lost a partition may take its channel back once.
    ///
    /// [`Source::check`] gets the committed offset of each open, before anything is read: this is the place to compare it with
    /// what the partition still has, and to remember where to start if there is none. [`Source::ownership`] is asked before a
    /// channel is opened again. The
    /// channel's token is the only position. What [`Source::released`] returns is used for rejected rows only.
    ///
    /// Rows that the last owner of a partition has sent may be rejected after it is gone. They become dead letters if the source
    /// knows which rejects were kept: it stores the last [`total`](crate::ingest::Rejected::total) together with the released
    /// offset, for example as the metadata of the engine's committed offset, and returns both from [`Source::rejects_seen`] and
    /// [`Source::released`]. All rows from this offset to the committed token are then passed to [`Source::dead_letter`]. A source
    /// that stores neither does not hear of these rejects; the server's counter and its error table still show them.
    type Source: Source + 'static;
    /// The error of a failed method. The call is retried after a pause, unless [`is_fatal`](Self::is_fatal) returns `true`.
    type Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send;

    /// Waits for the next change. `None`: there will be no more, and the group ends when the partitions that it has are at
    /// their end. Must be cancel safe.
    ///
    /// It is called until the group ends, also while it drains, so an engine that has to be polled can be polled here.
    fn next(&mut self) -> impl Future<Output = NextEvent<Self>> + Send;

    /// Leaves the engine, so that other programs get the partitions at once. Called when the group ends, after everything is
    /// committed, the drain timeout has passed, or an error ended it. Does nothing by default.
    fn leave(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send {
        async { Ok(()) }
    }

    /// Whether retrying is useless. `false` by default.
    fn is_fatal(&self, error: &Self::Error) -> bool {
        let _ = error;
        false
    }
}
