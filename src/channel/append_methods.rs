//! The methods that append: with offset tokens on a tracked channel, without on an untracked one.

use std::sync::Arc;

use serde::Serialize;

use super::append::Append;
use super::receipt::{Commits, Receipt};
use super::row_source::{BatchSource, Each, Numbered, Plain};
use super::{Channel, Tracked, Untracked};
use crate::rows::RowBatch;
#[allow(unused_imports, reason = "documentation links")]
use crate::types::error::ErrorKind;
use crate::types::error::Result;
use crate::types::offset::OffsetToken;
use crate::types::offset::arguments::{IntoOffset, IntoOffsets, Offset};

impl Channel<Tracked> {
    /// Appends one row with its offset token. The row is encoded at the call. For what the future waits, see [`Append`].
    ///
    /// ```no_run
    /// # use snowpipe_streaming::Channel;
    /// # async fn example(channel: &mut Channel, row: &serde_json::Value) -> snowpipe_streaming::Result<()> {
    /// channel.append_row(row, 42).await?;
    /// channel.append_row(row, "order_17").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// Nothing was appended:
    /// - [`ErrorKind::InvalidRow`], [`ErrorKind::TooLarge`]: the row is at fault.
    /// - [`ErrorKind::InvalidOffset`], [`ErrorKind::TokenReused`]: the offset is at fault.
    /// - [`ErrorKind::Backpressure`]: there was no memory within the append timeout. Without a timeout, this error means that
    ///   rows that were handed back use up the memory of the channel or of the client until the caller takes them.
    /// - [`ErrorKind::Invalidated`] and the like: the channel accepts no more rows.
    pub fn append_row<R: Serialize + ?Sized>(
        &mut self,
        row: &R,
        offset: impl IntoOffset,
    ) -> Append<'_> {
        Append::row(&mut self.writer, row, offset.into_offset().map(Some))
    }

    /// Appends one row that is already a JSON object, as brokers and files deliver it, with its offset token. The row is
    /// validated but not decoded, so its nulls stay, whatever [`Nulls`](crate::Nulls) says.
    ///
    /// ```
    /// # use snowpipe_streaming::{Channel, Result};
    /// # struct Message { payload: Vec<u8>, offset: i64 }
    /// # struct Consumer(std::vec::IntoIter<Message>);
    /// # impl Consumer { async fn recv(&mut self) -> Option<Message> { self.0.next() } }
    /// /// Streams a partition of a log into the channel that is named after it.
    /// async fn stream(mut partition: Consumer, channel: &mut Channel) -> Result<()> {
    ///     while let Some(message) = partition.recv().await {
    ///         channel.append_json(&message.payload, message.offset).await?;
    ///     }
    ///     channel.wait_for_commit().await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`append_row`](Self::append_row). [`ErrorKind::InvalidRow`] also if the row is not valid JSON.
    pub fn append_json(&mut self, row: impl AsRef<[u8]>, offset: impl IntoOffset) -> Append<'_> {
        let offset = offset.into_offset().map(Some);
        Append::json(&mut self.writer, row.as_ref(), offset)
    }

    /// Appends rows with their offsets: see [`IntoOffsets`] for what `first..`, `first..=last` and a pair mean.
    ///
    /// ```no_run
    /// # use snowpipe_streaming::Channel;
    /// # async fn example(channel: &mut Channel, rows: Vec<serde_json::Value>) -> snowpipe_streaming::Result<()> {
    /// // A token for each row: 1000, 1001 and so on.
    /// channel.append_rows(&rows, 1000..).await?;
    /// // One pair of tokens for all: they are committed together.
    /// channel.append_rows(&rows, ("file-7:1", "file-7:2000")).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// With `first..`, rows are encoded as memory allows, and after a failure or a cancellation a prefix may be appended;
    /// [`last_appended`](Self::last_appended) returns its last token. Without rows, nothing is appended.
    ///
    /// # Errors
    ///
    /// As [`append_row`](Self::append_row).
    pub fn append_rows<I>(
        &mut self,
        rows: I,
        offsets: impl IntoOffsets,
    ) -> Append<'_, Numbered<I::IntoIter>>
    where
        I: IntoIterator,
        I::Item: Serialize,
    {
        Append::rows(&mut self.writer, rows.into_iter(), offsets.into_offsets())
    }

    /// Appends rows with an offset each. The rows may be split anywhere.
    ///
    /// ```no_run
    /// # use snowpipe_streaming::Channel;
    /// # async fn example(channel: &mut Channel, orders: Vec<(String, serde_json::Value)>) -> snowpipe_streaming::Result<()> {
    /// // Offsets may have gaps and may be text.
    /// channel.append_each(orders.iter().map(|(id, order)| (order, id))).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`append_row`](Self::append_row). Rows before the one at fault may have been appended.
    pub fn append_each<I, R, O>(&mut self, rows: I) -> Append<'_, Each<I::IntoIter>>
    where
        I: IntoIterator<Item = (R, O)>,
        R: Serialize,
        O: IntoOffset,
    {
        Append::each(&mut self.writer, rows.into_iter())
    }

    /// Appends encoded rows, with offsets as in [`append_rows`](Self::append_rows).
    ///
    /// # Errors
    ///
    /// As [`append_rows`](Self::append_rows).
    pub fn append_batch(
        &mut self,
        batch: &RowBatch,
        offsets: impl IntoOffsets,
    ) -> Append<'_, BatchSource> {
        Append::batch(
            &mut self.writer,
            batch.clone(),
            offsets.into_offsets().map(Some),
        )
    }

    /// Appends all of `batch` if there is memory for it now, and nothing of it otherwise.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Backpressure`] if there is no memory now; else as [`append_row`](Self::append_row).
    pub fn try_append_batch(
        &mut self,
        batch: &RowBatch,
        offsets: impl IntoOffsets,
    ) -> Result<Receipt> {
        let offsets = offsets.into_offsets()?;
        self.writer.try_append(batch, Some(offsets))
    }

    /// The last committed token that this channel knows, without a call to the server: at first the one from the open.
    pub fn latest_committed_offset_token(&self) -> Option<OffsetToken> {
        self.shared().core().committed_token()
    }

    /// Returns an observer of the committed token.
    pub fn commits(&self) -> Commits {
        Commits::new(Arc::clone(&self.latest))
    }

    /// Flushes, and waits until everything appended so far is committed. Returns the committed token.
    ///
    /// Bounded by the client's `retry_for` and `commit_stall_timeout`, with [`Recovery::Replay`](crate::Recovery::Replay) once
    /// more for each reopen. Cancel safe: for a shorter wait, wrap it in `tokio::time::timeout`.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::RowsRejected`] if the server rejected rows that no call has reported yet. Everything is committed, and the
    ///   channel can still be used.
    /// - The reason if the channel was invalidated.
    pub async fn wait_for_commit(&self) -> Result<Option<OffsetToken>> {
        self.commit_all().await
    }

    /// The token of the last row that was appended since this channel was opened.
    pub fn last_appended(&self) -> Option<OffsetToken> {
        self.writer.last.clone().map(Offset::into_token)
    }

    /// The last committed token, parsed as the caller's type, or `None` if the channel has none. The row with this token is
    /// committed: resume with the row after it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOffset`] if the token cannot be parsed as a `T`, because another program wrote it.
    pub fn resume_after<T: std::str::FromStr>(&self) -> Result<Option<T>>
    where
        T::Err: std::fmt::Display,
    {
        self.latest_committed_offset_token()
            .map(|token| token.parse())
            .transpose()
    }
}

impl Channel<Untracked> {
    /// Flushes, and waits until everything appended so far is committed. Bounded as [`Channel::<Tracked>::wait_for_commit`].
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// As [`Channel::<Tracked>::wait_for_commit`].
    pub async fn wait_for_commit(&self) -> Result<()> {
        self.commit_all().await.map(drop)
    }

    /// Appends one row. The row is encoded at the call. For what the future waits, see [`Append`].
    ///
    /// # Errors
    ///
    /// As [`Channel::<Tracked>::append_row`].
    pub fn append_row<R: Serialize + ?Sized>(&mut self, row: &R) -> Append<'_> {
        Append::row(&mut self.writer, row, Ok(None))
    }

    /// Appends one row that is already a JSON object, as [`Channel::<Tracked>::append_json`] does.
    ///
    /// # Errors
    ///
    /// As [`Channel::<Tracked>::append_json`].
    pub fn append_json(&mut self, row: impl AsRef<[u8]>) -> Append<'_> {
        Append::json(&mut self.writer, row.as_ref(), Ok(None))
    }

    /// Appends rows. The rows may be split anywhere.
    ///
    /// # Errors
    ///
    /// As [`Channel::<Tracked>::append_row`]. Rows before the one at fault may have been appended.
    pub fn append_rows<I>(&mut self, rows: I) -> Append<'_, Plain<I::IntoIter>>
    where
        I: IntoIterator,
        I::Item: Serialize,
    {
        Append::plain(&mut self.writer, rows.into_iter())
    }

    /// Appends encoded rows.
    ///
    /// # Errors
    ///
    /// As [`append_rows`](Self::append_rows).
    pub fn append_batch(&mut self, batch: &RowBatch) -> Append<'_, BatchSource> {
        Append::batch(&mut self.writer, batch.clone(), Ok(None))
    }

    /// Appends all of `batch` if there is memory for it now, and nothing of it otherwise.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Backpressure`] if there is no memory now; else as [`append_rows`](Self::append_rows).
    pub fn try_append_batch(&mut self, batch: &RowBatch) -> Result<Receipt> {
        self.writer.try_append(batch, None)
    }
}
