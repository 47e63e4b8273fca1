//! What a source of rows has to offer, so that its rows can be streamed exactly once.

use std::fmt;
use std::future::Future;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;

/// A place in a source: it becomes the offset token of its row, and is read back from it on resume.
///
/// The order must be that of the source, and the text must read back as the same offset. Implemented for everything that
/// has the traits, integers among them. `String` is in the order of its bytes, whatever it is made of: `"10" < "9"`.
pub trait Offset:
    Ord + Clone + fmt::Display + FromStr<Err: fmt::Display> + Send + Sync + 'static
{
}

impl<T> Offset for T where
    T: Ord + Clone + fmt::Display + FromStr<Err: fmt::Display> + Send + Sync + 'static
{
}

/// What a source has read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Batch<O, R> {
    /// Rows with their offsets, which rise.
    pub rows: Vec<(O, R)>,
    /// The place up to which the source was read: that of the last row, or beyond it if a filter dropped what came after.
    /// `None` if there was nothing to read.
    pub through: Option<O>,
    /// Whether the source will never have more.
    pub is_end: bool,
}

impl<O: Clone, R> Batch<O, R> {
    /// Rows, read up to the last one of them.
    pub fn new(rows: Vec<(O, R)>) -> Self {
        Self {
            through: rows.last().map(|(offset, _)| offset.clone()),
            rows,
            is_end: false,
        }
    }

    /// Nothing now; there may be more later.
    pub fn idle() -> Self {
        Self::new(Vec::new())
    }

    /// Nothing now or later: the run ends when everything before is committed.
    pub fn end() -> Self {
        Self {
            is_end: true,
            ..Self::idle()
        }
    }

    /// These rows are the last: the run ends when they are committed.
    #[must_use]
    pub fn with_end(mut self) -> Self {
        self.is_end = true;
        self
    }

    /// Read up to `through`, past the last row.
    #[must_use]
    pub fn with_through(mut self, through: O) -> Self {
        self.through = Some(through);
        self
    }
}

/// Rows among which the server rejected some, on their way to [`Source::dead_letter`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejected<O> {
    /// The channel.
    pub channel: String,
    /// How many rows were rejected.
    pub count: u64,
    /// They come after this offset; `None`: anywhere from the beginning.
    pub after: Option<O>,
    /// They come at or before this offset.
    pub through: O,
    /// What the server said of the last one.
    pub message: Option<String>,
    /// How many rows of the channel were rejected ever, as far as this call has them: a source that keeps the number in the
    /// same transaction as the rows, and returns it from [`Source::rejects_seen`], hears of each reject even if the program
    /// dies in between.
    pub total: u64,
}

impl<O> Rejected<O> {
    /// `count` rejected rows of a new channel, after the one offset and through the other: for tests of a source, which set
    /// the other fields.
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

/// Rows that can be read again from any offset that is not released.
///
/// Methods are called by one task, one at a time, and none but [`ready`](Self::ready) is cancelled unless the whole run is:
/// one that waits for a network sets itself a deadline. Work that blocks belongs on `tokio::task::spawn_blocking`.
pub trait Source: Send {
    /// A place in the source.
    type Offset: Offset;
    /// A row: serializes as a JSON object.
    type Row: Serialize + Send;
    /// Why the source failed. It is asked again, after a pause, unless [`is_fatal`](Self::is_fatal) says otherwise. A type of
    /// its own lets the run's caller find it again as the source of the run's error.
    type Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send;

    /// Reads at most `max` rows after the offset, in order; from the beginning if there is none. Returns at once: with
    /// [`Batch::idle`] if there is nothing now, with [`Batch::end`] if there never will be. The same offset gives the
    /// same rows again, as far as they are not released.
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

    /// Everything up to and including this offset is committed: it will not be read again and may be forgotten.
    /// Does nothing by default.
    fn release_through(
        &mut self,
        through: &Self::Offset,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        let _ = through;
        async { Ok(()) }
    }

    /// The offset that was released last, by this run or an earlier one, if the source keeps it. `None` by default.
    fn released(
        &mut self,
    ) -> impl Future<Output = Result<Option<Self::Offset>, Self::Error>> + Send {
        async { Ok(None) }
    }

    /// Keeps rows among which the server rejected some. Called before they are released, and perhaps again with the same
    /// rows after a restart. Its good rows are in the table: they are never sent again.
    ///
    /// Many rows come in several calls, in order. Only the last one has the new [`total`](Rejected::total), and it may
    /// have no rows.
    fn dead_letter(
        &mut self,
        rejected: &Rejected<Self::Offset>,
        rows: Vec<(Self::Offset, Self::Row)>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The [`total`](Rejected::total) of the channel that [`dead_letter`](Self::dead_letter) heard last, in any run; 0 if it
    /// never heard any. `None` if that is not kept, which is the default: rejects that were counted while nobody looked are then not reported.
    ///
    /// The name of a channel is unique in its pipe only: a store that serves several pipes or accounts needs these in its
    /// key as well.
    fn rejects_seen(
        &mut self,
        channel: &str,
    ) -> impl Future<Output = Result<Option<u64>, Self::Error>> + Send {
        let _ = channel;
        async { Ok(None) }
    }

    /// Looks at a channel's committed offset before anything is read, appended or released. An error that is fatal stops
    /// the run: the channel and the source do not belong together. Accepts everything by default.
    fn check(
        &mut self,
        channel: &str,
        committed: Option<&Self::Offset>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        let _ = (channel, committed);
        async { Ok(()) }
    }

    /// Whether asking again is of no use. `false` by default.
    fn is_fatal(&self, error: &Self::Error) -> bool {
        let _ = error;
        false
    }
}
