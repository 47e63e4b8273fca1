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
    /// It does not flush. The rows are sent when their batch is full or
    /// [`max_client_lag`](crate::ClientBuilder::max_client_lag) has passed, so the wait is the lag and then some seconds until
    /// the server commits. A handler of a request that must answer sooner calls
    /// [`initiate_flush`](crate::Channel::initiate_flush) after its append, or the client has a shorter lag; then each request
    /// is a small one of its own, and there are ten a second for each channel. Many handlers should await receipts at the same
    /// time and leave the batching to the lag:
    ///
    /// ```no_run
    /// # use snowpipe_streaming::{Channel, Result};
    /// # async fn example(channel: &tokio::sync::Mutex<Channel>, ride: serde_json::Value, id: u64) -> Result<()> {
    /// // The lock is for the append only: receipts of several handlers wait together.
    /// let receipt = channel.lock().await.append_row(&ride, id).await?;
    /// receipt.committed().await
    /// # }
    /// ```
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

/// Watches a channel's committed token, also after the channel is reopened.
///
/// ```no_run
/// # use snowpipe_streaming::{Channel, ErrorKind};
/// # async fn example(channel: &Channel) -> snowpipe_streaming::Result<()> {
/// let mut commits = channel.commits();
/// tokio::spawn(async move {
///     loop {
///         match commits.changed().await {
///             Ok(token) => println!("the source may forget everything up to {token}"),
///             // Whoever holds the channel reopens it.
///             Err(error) if matches!(error.kind(), ErrorKind::Invalidated(_)) => {}
///             Err(_) => break,
///         }
///     }
/// });
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Commits {
    /// The channel as it was opened last.
    hold: watch::Receiver<Arc<Shared>>,
    shared: Arc<Shared>,
    progress: watch::Receiver<Progress>,
    /// The token that `changed` returned last, or that there was at first.
    seen: Option<OffsetToken>,
    /// Whether `changed` has returned why this hold ended.
    is_end_seen: bool,
}

impl std::fmt::Debug for Commits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Commits")
            .field("latest", &self.latest())
            .finish()
    }
}

impl Commits {
    pub(crate) fn new(hold: watch::Receiver<Arc<Shared>>) -> Self {
        let shared = Arc::clone(&hold.borrow());
        let progress = shared.subscribe();
        let seen = progress.borrow().committed_token.clone();
        Self {
            hold,
            shared,
            progress,
            seen,
            is_end_seen: false,
        }
    }

    /// The last committed token now.
    pub fn latest(&self) -> Option<OffsetToken> {
        self.hold.borrow().progress().committed_token
    }

    /// Waits until the committed token is another than this returned last, or than it was when the observer was made, and
    /// returns it.
    ///
    /// When the channel is invalidated, it returns why, once. The next call then waits until the channel is reopened, and
    /// continues with the commits that follow.
    ///
    /// Cancel safe: no change is lost, intermediate tokens may be skipped.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Invalidated`]: the channel may be reopened.
    /// - [`ErrorKind::ChannelClosed`], [`ErrorKind::ClientClosed`]: no further commit will come.
    pub async fn changed(&mut self) -> Result<OffsetToken> {
        loop {
            let hold = Arc::clone(&self.hold.borrow_and_update());
            if !Arc::ptr_eq(&hold, &self.shared) {
                self.progress = hold.subscribe();
                self.shared = hold;
                self.is_end_seen = false;
            }
            let end = {
                let now = self.progress.borrow_and_update();
                if now.committed_token != self.seen {
                    self.seen.clone_from(&now.committed_token);
                    if let Some(token) = &self.seen {
                        return Ok(token.clone());
                    }
                }
                now.final_error()
            };
            match end {
                Some(error) if !self.is_end_seen => {
                    self.is_end_seen = true;
                    return Err(error);
                }
                // Without its handle the channel is not reopened.
                Some(error) => {
                    if self.hold.changed().await.is_err() {
                        return Err(error);
                    }
                }
                None => tokio::select! {
                    biased;
                    Ok(()) = self.hold.changed() => {}
                    changed = self.progress.changed() => {
                        if changed.is_err() {
                            return Err(Error::new(
                                ErrorKind::ChannelClosed,
                                "the channel is closed; no further commit will come",
                            ));
                        }
                    }
                },
            }
        }
    }
}
