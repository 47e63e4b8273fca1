//! Weak senders: handles with which many tasks append to one untracked channel that another task owns.
//!
//! A channel has one handle, because tokens must rise in the order of appends. Rows without tokens have no such order, so an
//! untracked channel has senders as well. Each append of a sender encodes into a buffer that no other append uses, and meets
//! the others only at the core's lock and at the budget. So the core decides which positions an append has. A receipt covers
//! the positions from its first row to its last one, and those of other tasks' rows between its pieces.

use std::sync::Arc;

use serde::Serialize;

use super::append::Append;
use super::row_source::{BatchSource, Plain};
use super::shared::{Latest, Shared};
use super::writer::Writer;
use super::{Channel, Untracked};
use crate::base::watched::Watched;
use crate::context::ClientContext;
use crate::rows::RowBatch;
#[allow(unused_imports, reason = "documentation links")]
use crate::types::error::ErrorKind;
use crate::types::uncommitted_rows::UncommittedRows;

/// Appends rows to an untracked channel from any number of tasks, while one task owns the [`Channel`]. Cheap to clone.
///
/// If no task wants to own the channel, [`Channel::into_sender`] makes a [`ChannelSender`](crate::ChannelSender), which keeps it
/// open.
///
/// Each append encodes its rows on its own task, outside of any lock, so a sender needs no mutex around it. A request handler
/// can take it as its state:
///
/// ```
/// # use snowpipe_streaming_emulator::Emulator;
/// use snowpipe_streaming::{PipePath, Result, StreamingIngestClient, WeakChannelSender};
///
/// async fn handle(rides: WeakChannelSender, ride: serde_json::Value) -> Result<()> {
///     rides.append_row(&ride).await?.committed().await
/// }
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let emulator = Emulator::builder().build()?;
/// # let profile = emulator.profile()?;
/// # let pipe = PipePath::for_table("RESORT", "PUBLIC", "LIFT_RIDE")?;
/// # let client = StreamingIngestClient::builder(profile, pipe).transport(emulator.transport()).build().await?;
/// let channel = client.open_untracked_channel("rides").await?;
/// let rides = channel.weak_sender();
/// let handlers: Vec<_> = (0..10)
///     .map(|id| tokio::spawn(handle(rides.clone(), serde_json::json!({ "ID": id }))))
///     .collect();
/// for handler in handlers {
///     handler.await.expect("no panic")?;
/// }
/// channel.close().await?;
/// # assert_eq!(emulator.rows("RESORT.PUBLIC.LIFT_RIDE")?.len(), 10);
/// # Ok(()) }
/// ```
///
/// The task that owns the [`Channel`] closes it, and reopens it after an invalidation; [`Channel::invalidated`] says when. A
/// sender appends to the channel as it is at the call, so it works again after a reopen. A sender does not keep the channel
/// open, and dropping one changes nothing.
///
/// # Order and receipts
///
/// The rows of one append keep their order. Rows of appends that run at once have no order, and an append of many rows may
/// have rows of other tasks between its own. Its [receipt](crate::Receipt) covers everything from its first row to its last
/// one, so [`ErrorKind::RowsRejected`] may be about a row of another task.
///
/// # Memory
///
/// Rows count as memory of the channel once they are appended. An append that waits for memory holds the rows that it has
/// encoded besides: a single row, or of many at most 256 KiB. Appends get memory in the order in which they ask for it. A
/// service bounds how many appends wait, or how long:
/// [`append_timeout`](crate::ClientBuilder::append_timeout).
///
/// # Only for untracked channels
///
/// Offset tokens must rise in the order of appends. Tasks that append at once cannot promise that, so a
/// [`Channel<Tracked>`](crate::Tracked) has no senders.
#[derive(Clone)]
pub struct WeakChannelSender {
    context: Arc<ClientContext>,
    latest: Arc<Watched<Latest>>,
}

impl std::fmt::Debug for WeakChannelSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WeakChannelSender")
            .field("channel", &self.current())
            .finish_non_exhaustive()
    }
}

impl Channel<Untracked> {
    /// Returns a handle with which other tasks append to this channel as long as this handle is there. A function that returns it
    /// and drops the channel wants [`into_sender`](Self::into_sender).
    pub fn weak_sender(&self) -> WeakChannelSender {
        WeakChannelSender {
            context: Arc::clone(&self.registry.context),
            latest: Arc::clone(&self.latest),
        }
    }
}

impl WeakChannelSender {
    fn current(&self) -> Arc<Shared> {
        Arc::clone(&self.latest.value().shared)
    }

    /// The rows that the channel has given up, for the senders that own it.
    pub(super) async fn take_uncommitted_rows(&self) -> UncommittedRows {
        self.current().take_uncommitted_rows().await
    }

    fn writer(&self) -> Writer {
        Writer::new(Arc::clone(&self.context), self.current())
    }

    /// Whether the channel was closed or dropped, so that no append succeeds any more.
    pub fn is_closed(&self) -> bool {
        self.current().progress().is_closing
    }

    /// Appends one row. The row is encoded at the call. [`Append`] documents what the future waits for.
    ///
    /// # Errors
    ///
    /// As [`Channel::<Untracked>::append_row`]. Nothing was appended:
    /// - [`ErrorKind::Invalidated`]: the task that owns the channel may reopen it.
    /// - [`ErrorKind::ChannelClosed`]: the channel was closed or dropped ([`is_closed`](Self::is_closed)), or is being
    ///   reopened without an invalidation.
    pub fn append_row<R: Serialize + ?Sized>(&self, row: &R) -> Append<'static> {
        Append::row(self.writer(), row, Ok(None))
    }

    /// Appends one row that is already a JSON object, as [`Channel::<Untracked>::append_json`] does.
    ///
    /// # Errors
    ///
    /// As [`append_row`](Self::append_row). [`ErrorKind::InvalidRow`] also if the row is not valid JSON.
    pub fn append_json(&self, row: impl AsRef<[u8]>) -> Append<'static> {
        Append::json(self.writer(), row.as_ref(), Ok(None))
    }

    /// Appends rows. The rows may be split anywhere, and rows of other tasks may come between.
    ///
    /// # Errors
    ///
    /// As [`append_row`](Self::append_row), but rows before the one at fault may have been appended, and so may rows before
    /// the channel was closed or invalidated.
    pub fn append_rows<I>(&self, rows: I) -> Append<'static, Plain<I::IntoIter>>
    where
        I: IntoIterator,
        I::Item: Serialize,
    {
        Append::plain(self.writer(), rows.into_iter())
    }

    /// Appends encoded rows.
    ///
    /// # Errors
    ///
    /// As [`append_rows`](Self::append_rows).
    pub fn append_batch(&self, batch: &RowBatch) -> Append<'static, BatchSource> {
        Append::batch(self.writer(), batch.clone(), Ok(None))
    }
}
