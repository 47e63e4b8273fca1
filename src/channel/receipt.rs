//! Receipts: a position against a watermark. Making one costs a reference count, dropping one costs nothing.

use std::sync::Arc;

use tokio::sync::watch;

use super::core::progress::Progress;
use super::shared::Shared;
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::offset::OffsetToken;

/// Follows rows that were appended, through *accepted* to *committed*.
///
/// A receipt stands for the last row of its call and everything appended before it: to wait for many, wait for the last.
/// It is cheap to clone and to drop, and outlives its channel.
///
/// ```no_run
/// # use snowpipe_streaming::{Channel, ErrorKind};
/// # async fn example(channel: &mut Channel, rows: Vec<serde_json::Value>) -> snowpipe_streaming::Result<()> {
/// let receipt = channel.append_rows(&rows, 0..).await?;
/// match receipt.committed().await {
///     Ok(()) => println!("every row is in the table"),
///     Err(error) if error.kind() == ErrorKind::RowsRejected => println!("committed, but: {error}"),
///     Err(error) => return Err(error),
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Receipt {
    shared: Arc<Shared>,
    /// The rows of its call: after `from`, through `position`.
    from: u64,
    position: u64,
}

impl Receipt {
    pub(crate) fn new(shared: Arc<Shared>, from: u64, position: u64) -> Self {
        Self {
            shared,
            from,
            position,
        }
    }

    /// Waits until the server has buffered the rows. It may still lose them if the channel is reopened: only
    /// [`committed`](Self::committed) is durable.
    ///
    /// Cancel safe: dropping the future changes nothing.
    ///
    /// # Errors
    ///
    /// Why the channel was invalidated, if these rows were not accepted before.
    pub async fn accepted(&self) -> Result<()> {
        let (from, position) = (self.from, self.position);
        self.shared
            .wait(|p| p.accepted_outcome(from, position))
            .await
    }

    /// Waits until the rows are committed: each is in the table, or was rejected and counted.
    ///
    /// Cancel safe: dropping the future changes nothing.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::RowsRejected`] if the server rejected rows in a window that reaches into those up to here;
    ///   [`is_committed`](Error::is_committed) is true and the channel goes on.
    /// - Why the channel was invalidated; [`is_ambiguous`](Error::is_ambiguous) says whether the rows may be in the table
    ///   all the same.
    pub async fn committed(&self) -> Result<()> {
        let (from, position) = (self.from, self.position);
        let result = self
            .shared
            .wait(|p| p.committed_outcome(from, position))
            .await;
        if let Err(error) = &result
            && let Some(window) = error.rejects()
        {
            self.shared.reported(window);
        }
        result
    }
}

/// Watches a channel's committed token.
///
/// ```no_run
/// # use snowpipe_streaming::Channel;
/// # async fn example(channel: &Channel) -> snowpipe_streaming::Result<()> {
/// let mut commits = channel.commits();
/// tokio::spawn(async move {
///     while let Ok(Some(token)) = commits.changed().await {
///         println!("the source may forget everything up to {token}");
///     }
/// });
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Commits {
    progress: watch::Receiver<Progress>,
    /// The token that `changed` returned last, or that there was at first.
    seen: Option<OffsetToken>,
}

impl std::fmt::Debug for Commits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Commits")
            .field("latest", &self.latest())
            .finish()
    }
}

impl Commits {
    pub(crate) fn new(shared: &Shared) -> Self {
        let progress = shared.subscribe();
        let seen = progress.borrow().committed_token.clone();
        Self { progress, seen }
    }

    /// The last committed token now.
    pub fn latest(&self) -> Option<OffsetToken> {
        self.progress.borrow().committed_token.clone()
    }

    /// Waits until the committed token is another than this returned last, or than it was when the observer was made, and
    /// returns it.
    ///
    /// Cancel safe: no change is lost, intermediate tokens may be skipped.
    ///
    /// # Errors
    ///
    /// Why the channel was invalidated or closed, when no further commit will come.
    pub async fn changed(&mut self) -> Result<Option<OffsetToken>> {
        loop {
            {
                let now = self.progress.borrow_and_update();
                if now.committed_token != self.seen {
                    self.seen.clone_from(&now.committed_token);
                    return Ok(now.committed_token.clone());
                }
                if let Some(error) = now.final_error() {
                    return Err(error);
                }
            }
            if self.progress.changed().await.is_err() {
                return Err(Error::new(
                    ErrorKind::ChannelClosed,
                    "the channel is closed; no further commit will come",
                ));
            }
        }
    }
}
