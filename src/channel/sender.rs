//! Senders: shared handles that own an untracked channel together.

use std::time::Duration;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::append::Append;
use super::row_source::{BatchSource, Plain};
use super::weak_sender::WeakChannelSender;
use super::{Channel, Untracked};
use crate::base::retry::Backoff;
use crate::rows::RowBatch;
use crate::types::close_report::CloseReport;
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::uncommitted_rows::UncommittedRows;

/// The first and the longest pause before a channel is reopened.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Appends rows to an untracked channel from any number of tasks, and keeps the channel open. Cheap to clone. Made by
/// [`Channel::into_sender`].
///
/// ```
/// # use snowpipe_streaming_emulator::Emulator;
/// use snowpipe_streaming::{ChannelSender, PipePath, Result, StreamingIngestClient};
///
/// async fn rides(client: &StreamingIngestClient) -> Result<ChannelSender> {
///     Ok(client.open_untracked_channel("rides").await?.into_sender())
/// }
///
/// async fn handle(rides: ChannelSender, ride: serde_json::Value) -> Result<()> {
///     rides.append_row(&ride).await?.committed().await
/// }
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let emulator = Emulator::builder().build()?;
/// # let profile = emulator.profile()?;
/// # let pipe = PipePath::for_table("RESORT", "PUBLIC", "LIFT_RIDE")?;
/// # let client = StreamingIngestClient::builder(profile, pipe).transport(emulator.transport()).build().await?;
/// let rides = rides(&client).await?;
/// let handlers: Vec<_> = (0..10)
///     .map(|id| tokio::spawn(handle(rides.clone(), serde_json::json!({ "ID": id }))))
///     .collect();
/// for handler in handlers {
///     handler.await.expect("no panic")?;
/// }
/// let report = rides.close().await?;
/// assert_eq!(report.rows_committed, 10);
/// # Ok(()) }
/// ```
///
/// - **Reopening.** If the channel is invalidated, it is opened again after a pause of a second, which grows to a minute while that
///   does not help. Appends fail in between with [`ErrorKind::Invalidated`].
/// - **Rows that are given up** by an invalidation, which [`Recovery::Replay`](crate::Recovery::Replay) could not prevent, are kept for
///   [`take_uncommitted_rows`](Self::take_uncommitted_rows). Their receipts have failed.
/// - **The end.** [`close`](Self::close) ends the channel for all clones and says what became of the rows. When the last clone is
///   dropped, the channel drains in the background, as a dropped [`Channel`] does.
///
/// For order, receipts and memory see [`WeakChannelSender`].
#[derive(Debug, Clone)]
pub struct ChannelSender {
    rows: WeakChannelSender,
    /// The owner stops when the last clone is dropped.
    owner: mpsc::Sender<Close>,
}

/// The demand of a handle that the owner closes the channel.
type Close = oneshot::Sender<Result<CloseReport>>;

impl Channel<Untracked> {
    /// Converts the channel to a handle that can be cloned, that keeps the channel open and opens it again when it is invalidated.
    pub fn into_sender(self) -> ChannelSender {
        let (owner, commands) = mpsc::channel(1);
        let rows = self.weak_sender();
        let context = &self.registry.context;
        let runtime = tokio::runtime::Handle::try_current();
        let runtime = runtime.unwrap_or_else(|_| context.runtime.clone());
        runtime.spawn(own(self, commands));
        ChannelSender { rows, owner }
    }
}

/// Owns the channel, until it is to be closed or the last sender is dropped.
async fn own(mut channel: Channel<Untracked>, mut commands: mpsc::Receiver<Close>) {
    let mut pause = Pause::new();
    loop {
        let close = tokio::select! {
            biased;
            close = commands.recv() => close,
            () = keep_open(&mut channel, &mut pause) => continue,
        };
        // With the last sender the channel is dropped, and drains.
        if let Some(reply) = close {
            let _ = reply.send(channel.close().await);
        }
        return;
    }
}

/// Waits until the channel is invalidated, and reopens it once. Cancelled, the channel stays invalidated.
async fn keep_open(channel: &mut Channel<Untracked>, pause: &mut Pause) {
    let why = channel.invalidated().await;
    if channel.registry.is_closed() {
        // Nothing can be opened again.
        return std::future::pending().await;
    }
    let pause = pause.next(channel.registry.context.random_unit());
    warn!(%why, ?pause, "the channel is opened again");
    sleep(pause).await;
    if let Err(error) = channel.reopen().await {
        warn!(%error, "the channel cannot be opened again");
    }
}

/// The pause before the next reopen. It starts anew when the last reopen was long ago.
struct Pause {
    backoff: Backoff,
    last: Option<Instant>,
}

impl Pause {
    fn new() -> Self {
        Self {
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            last: None,
        }
    }

    fn next(&mut self, unit: f64) -> Duration {
        let now = Instant::now();
        let last = self.last.replace(now);
        if last.is_some_and(|last| now - last > 2 * LONGEST_PAUSE) {
            self.backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        }
        self.backoff.next(unit)
    }
}

fn gone() -> Error {
    Error::new(
        ErrorKind::ChannelClosed,
        "the channel was closed by another sender, or its runtime has ended",
    )
}

impl ChannelSender {
    /// Whether the channel was closed, so that no append succeeds any more.
    pub fn is_closed(&self) -> bool {
        self.rows.is_closed()
    }

    /// Appends one row. The row is encoded at the call. [`Append`] documents what the future waits for.
    ///
    /// # Errors
    ///
    /// As [`Channel::<Untracked>::append_row`]. [`ErrorKind::Invalidated`] while the channel is being opened again.
    pub fn append_row<R: Serialize + ?Sized>(&self, row: &R) -> Append<'static> {
        self.rows.append_row(row)
    }

    /// Appends one row that is already a JSON object, as [`Channel::<Untracked>::append_json`] does.
    ///
    /// # Errors
    ///
    /// As [`append_row`](Self::append_row). [`ErrorKind::InvalidRow`] also if the row is not valid JSON.
    pub fn append_json(&self, row: impl AsRef<[u8]>) -> Append<'static> {
        self.rows.append_json(row)
    }

    /// Appends rows, as [`WeakChannelSender::append_rows`] does.
    ///
    /// # Errors
    ///
    /// As [`append_row`](Self::append_row), but rows before the one at fault may have been appended.
    pub fn append_rows<I>(&self, rows: I) -> Append<'static, Plain<I::IntoIter>>
    where
        I: IntoIterator,
        I::Item: Serialize,
    {
        self.rows.append_rows(rows)
    }

    /// Appends encoded rows.
    ///
    /// # Errors
    ///
    /// As [`append_rows`](Self::append_rows).
    pub fn append_batch(&self, batch: &RowBatch) -> Append<'static, BatchSource> {
        self.rows.append_batch(batch)
    }

    /// Takes the rows that the channel has given up, as [`Channel::take_uncommitted_rows`] does. There are none once the channel is
    /// closed, because the error of the close has them.
    ///
    /// Cancel safe: a cancelled call takes nothing.
    pub async fn take_uncommitted_rows(&self) -> UncommittedRows {
        self.rows.take_uncommitted_rows().await
    }

    /// Closes the channel for all clones, as [`Channel::close`] does.
    ///
    /// If the future is cancelled, the channel closes in the background.
    ///
    /// # Errors
    ///
    /// As [`Channel::close`]; [`ErrorKind::ChannelClosed`] if another clone has closed it.
    pub async fn close(self) -> Result<CloseReport> {
        let (reply, closed) = oneshot::channel();
        if self.owner.try_send(reply).is_err() {
            return Err(gone());
        }
        closed.await.unwrap_or_else(|_| Err(gone()))
    }
}
