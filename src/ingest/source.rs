//! The interface of a source whose rows are streamed exactly once.

use std::fmt;
use std::future::Future;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;

/// A place in a source. Its text becomes the offset token of its row, and is parsed again on resume.
///
/// The order must be that of the source, and the text must parse as the same offset. Implemented for every type that has
/// these traits, including integers. `String` has the order of its bytes, even if it consists of digits: `"10" < "9"`.
pub trait Offset:
    Ord + Clone + fmt::Display + FromStr<Err: fmt::Display> + Send + Sync + 'static
{
}

impl<T> Offset for T where
    T: Ord + Clone + fmt::Display + FromStr<Err: fmt::Display> + Send + Sync + 'static
{
}

/// The result of a read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Batch<O, R> {
    /// Rows with rising offsets.
    pub rows: Vec<(O, R)>,
    /// The offset up to which the source was read: that of the last row, or a higher one if a filter dropped the rows after it.
    /// `None` if there was nothing to read.
    pub through: Option<O>,
    /// Whether the source has no more rows, now or later.
    pub is_end: bool,
}

impl<O: Clone, R> Batch<O, R> {
    /// A batch of rows that was read up to its last row.
    pub fn new(rows: Vec<(O, R)>) -> Self {
        Self {
            through: rows.last().map(|(offset, _)| offset.clone()),
            rows,
            is_end: false,
        }
    }

    /// No rows now. There may be more later.
    pub fn idle() -> Self {
        Self::new(Vec::new())
    }

    /// No rows now or later: the run ends when everything before is committed.
    pub fn end() -> Self {
        Self {
            is_end: true,
            ..Self::idle()
        }
    }

    /// Marks these rows as the last ones: the run ends when they are committed.
    #[must_use]
    pub fn with_end(mut self) -> Self {
        self.is_end = true;
        self
    }

    /// Sets the offset up to which the source was read, past the last row.
    #[must_use]
    pub fn with_through(mut self, through: O) -> Self {
        self.through = Some(through);
        self
    }
}

/// Describes the rows that are passed to [`Source::dead_letter`], some of which the server rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejected<O> {
    /// The channel.
    pub channel: String,
    /// How many rows were rejected.
    pub count: u64,
    /// The rejected rows come after this offset. `None`: anywhere from the beginning.
    pub after: Option<O>,
    /// The rejected rows come at or before this offset.
    pub through: O,
    /// The server's message about the last rejected row.
    pub message: Option<String>,
    /// The channel's reject counter, including the rejects of this call. A source that stores the counter in the same
    /// transaction as the rows, and returns it from [`Source::rejects_seen`], records each reject once, even if the program
    /// crashes in between.
    pub total: u64,
}

impl<O> Rejected<O> {
    /// `count` rejected rows of a new channel, after one offset and through another, for tests of a source. Set the other fields
    /// as needed.
    ///
    /// ```
    /// use snowpipe_streaming::ingest::Rejected;
    ///
    /// let mut rejected = Rejected::new("rides-0", 2, Some(7), 12);
    /// rejected.total = 5;
    /// rejected.message = Some("a null in a NOT NULL column".to_owned());
    /// ```
    pub fn new(channel: impl Into<String>, count: u64, after: Option<O>, through: O) -> Self {
        Self {
            channel: channel.into(),
            count,
            after,
            through,
            message: None,
            total: count,
        }
    }
}

/// Whether the rows of a source are still this program's to stream. See [`Source::ownership`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Ownership {
    /// The source does not know. A channel that another writer took is opened again once.
    #[default]
    Unknown,
    /// The source belongs to this program: the other writer took the channel by mistake or late. The channel is opened again,
    /// at most three times without a commit in between.
    Owned,
    /// The source belongs to another program by now. The channel is never opened again, and the run ends.
    NotOwned,
}

/// A source of rows that can be read again from any offset that is not released.
///
/// One task calls the methods, one at a time. Only [`ready`](Self::ready) and [`ownership`](Self::ownership) may be cancelled without the whole run being
/// cancelled, so a method that waits for a network should set a deadline. Work that blocks belongs on
/// `tokio::task::spawn_blocking`.
pub trait Source: Send {
    /// A place in the source.
    type Offset: Offset;
    /// A row: serializes as a JSON object.
    type Row: Serialize + Send;
    /// The error of a failed method. The call is retried after a pause, unless [`is_fatal`](Self::is_fatal) returns `true`. With
    /// a specific type, the run's caller can find it as the source of the run's error.
    type Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send;

    /// Reads at most `max` rows after the offset, or from the beginning without one, in order. Returns at once: with
    /// [`Batch::idle`] if there are no rows now, with [`Batch::end`] if there will never be any. The same offset returns the
    /// same rows again, unless they are released.
    fn read_after(
        &mut self,
        after: Option<&Self::Offset>,
        max: usize,
    ) -> impl Future<Output = Result<Batch<Self::Offset, Self::Row>, Self::Error>> + Send;

    /// Waits until there may be something to read. Must be cancel safe. Waits 100 ms by default.
    fn ready(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send {
        async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(())
        }
    }

    /// Everything up to and including this offset is committed. It will not be read again and may be deleted. Does nothing by
    /// default.
    fn release_through(
        &mut self,
        through: &Self::Offset,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        let _ = through;
        async { Ok(()) }
    }

    /// The last released offset, of this run or an earlier one, if the source stores it. `None` by default.
    fn released(
        &mut self,
    ) -> impl Future<Output = Result<Option<Self::Offset>, Self::Error>> + Send {
        async { Ok(None) }
    }

    /// Stores rows of which the server rejected some. Called before they are released, and possibly again with the same rows
    /// after a restart. The valid rows among them are in the table and never sent again.
    ///
    /// Many rows are passed in several calls, in order. Only the last call has the new [`total`](Rejected::total), and it may
    /// have no rows.
    fn dead_letter(
        &mut self,
        rejected: &Rejected<Self::Offset>,
        rows: Vec<(Self::Offset, Self::Row)>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The last [`total`](Rejected::total) of the channel that was passed to [`dead_letter`](Self::dead_letter) in any run, or 0
    /// if there was none. `None`, the default, if the source does not store it: rejects that were counted while no run was
    /// active are then not reported.
    ///
    /// A channel's name is unique only within its pipe. A store for several pipes or accounts needs these in its key as well.
    fn rejects_seen(
        &mut self,
        channel: &str,
    ) -> impl Future<Output = Result<Option<u64>, Self::Error>> + Send {
        let _ = channel;
        async { Ok(None) }
    }

    /// Checks a channel's committed offset before anything is read, appended or released. A fatal error stops the run, for
    /// example because the channel does not belong to this source. Accepts everything by default.
    fn check(
        &mut self,
        channel: &str,
        committed: Option<&Self::Offset>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        let _ = (channel, committed);
        async { Ok(()) }
    }

    /// Whether this program may open the channel again after it was invalidated. Called before each reopen: an open takes the
    /// channel from its writer, so a program that has lost its rows to another one must not open it.
    ///
    /// A source that gets its rows assigned, as a partition of a consumer group, asks the engine here, and may wait for an
    /// answer that is up to date. [`Ownership::Unknown`] by default.
    fn ownership(
        &mut self,
        channel: &str,
    ) -> impl Future<Output = Result<Ownership, Self::Error>> + Send {
        let _ = channel;
        async { Ok(Ownership::Unknown) }
    }

    /// Whether retrying is useless. `false` by default.
    fn is_fatal(&self, error: &Self::Error) -> bool {
        let _ = error;
        false
    }
}
