//! Receipts and the observer of commits. A receipt compares a position with the channel's watermarks: it costs a reference
//! count and no registration.

use std::sync::Arc;

use super::core::progress::Progress;
use super::shared::{Latest, Shared};
use crate::base::watched::Watched;
use crate::types::error::{ErrorKind, Result};
use crate::types::offset::OffsetToken;

/// Tracks appended rows until they are *accepted* and *committed*.
///
/// A receipt covers the rows of its call and everything appended before them: to wait for many appends, wait for the last
/// receipt. It is cheap to clone and to drop, and may outlive its channel.
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

    /// Waits until the server has answered that it buffers the rows. A reopen of the channel may still lose them, and the server
    /// may not have taken them if another program has opened the channel: only [`committed`](Self::committed) rows are durable.
    ///
    /// Cancel safe: dropping the future changes nothing.
    ///
    /// # Errors
    ///
    /// The reason if the channel was invalidated before these rows were accepted.
    pub async fn accepted(&self) -> Result<()> {
        let (from, position) = (self.from, self.position);
        self.shared
            .wait(|p| p.accepted_outcome(from, position))
            .await
    }

    /// Waits until the rows are committed: each is in the table, or was rejected and counted. The channel's token covers them, and
    /// its row counters account for them; see [`CommitEvidence`](crate::CommitEvidence).
    ///
    /// This call does not flush. The rows are sent when their batch is full or
    /// [`max_client_lag`](crate::ClientBuilder::max_client_lag) has passed, and the server takes some seconds more to commit
    /// them. A request handler that must answer sooner calls [`initiate_flush`](crate::Channel::initiate_flush) after its
    /// append, or the client is built with a shorter lag. Each append is then sent in a small request, and a channel may send
    /// ten of these a second. Prefer many handlers that await their receipts concurrently and leave the batching to the lag.
    /// If their rows need no offsets, each has a [`ChannelSender`](crate::ChannelSender):
    ///
    /// ```no_run
    /// # use snowpipe_streaming::{ChannelSender, Result};
    /// # async fn example(rides: ChannelSender, ride: serde_json::Value) -> Result<()> {
    /// let receipt = rides.append_row(&ride).await?;
    /// receipt.committed().await
    /// # }
    /// ```
    ///
    /// Cancel safe: dropping the future changes nothing.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::RowsRejected`](crate::ErrorKind::RowsRejected) if the server rejected rows in a window that overlaps with these rows.
    ///   [`is_committed`](crate::Error::is_committed) is true, and the channel can still be used.
    /// - The reason if the channel was invalidated. [`is_ambiguous`](crate::Error::is_ambiguous) says whether the rows may be in the
    ///   table nevertheless.
    pub async fn committed(&self) -> Result<()> {
        let (from, position) = (self.from, self.position);
        let result = self
            .shared
            .wait(|p| p.committed_outcome(from, position))
            .await;
        if let Err(error) = &result
            && let Some(window) = error.rejects()
        {
            self.shared.mark_reported(window);
        }
        result
    }
}

/// An observer of a channel's committed token, which continues after a reopen.
///
/// ```no_run
/// # use snowpipe_streaming::{Channel, ErrorKind};
/// # async fn example(channel: &Channel) -> snowpipe_streaming::Result<()> {
/// let mut commits = channel.commits();
/// tokio::spawn(async move {
///     loop {
///         match commits.changed().await {
///             Ok(token) => println!("the source may discard everything up to {token}"),
///             // The task that owns the channel reopens it.
///             Err(error) if matches!(error.kind(), ErrorKind::Invalidated(_)) => {}
///             Err(_) => break,
///         }
///     }
/// });
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Commits {
    latest: Arc<Watched<Latest>>,
    /// The shared state that is observed.
    shared: Arc<Shared>,
    /// The token that `changed` returned last, or the one at the start.
    seen: Option<OffsetToken>,
    /// Whether `changed` has returned the error that ended `shared`.
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
    pub(crate) fn new(latest: Arc<Watched<Latest>>) -> Self {
        let shared = Arc::clone(&latest.value().shared);
        let seen = shared.progress().committed_token;
        Self {
            latest,
            shared,
            seen,
            is_end_seen: false,
        }
    }

    /// The last committed token now.
    pub fn latest(&self) -> Option<OffsetToken> {
        let shared = Arc::clone(&self.latest.value().shared);
        shared.progress().committed_token
    }

    /// Waits until the committed token differs from the last one that this method returned, or from the one when the observer
    /// was created, and returns it.
    ///
    /// When the channel is invalidated, this method returns the reason once. The next call waits until the channel is reopened
    /// and continues with the commits that follow. A reopen of a channel that is not invalidated is not shown.
    ///
    /// Cancel safe: no change is lost. Intermediate tokens may be skipped.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Invalidated`](crate::ErrorKind::Invalidated): the channel may be reopened.
    /// - [`ErrorKind::ChannelClosed`](crate::ErrorKind::ChannelClosed), [`ErrorKind::ClientClosed`](crate::ErrorKind::ClientClosed): no further commit will come.
    pub async fn changed(&mut self) -> Result<OffsetToken> {
        loop {
            let latest = Arc::clone(&self.latest.value().shared);
            if !Arc::ptr_eq(&latest, &self.shared) {
                self.shared = latest;
                self.is_end_seen = false;
            }
            let now = self.shared.progress();
            if now.committed_token != self.seen {
                self.seen.clone_from(&now.committed_token);
                if let Some(token) = now.committed_token {
                    return Ok(token);
                }
            }
            let end = now.final_error();
            if let Some(error) = &end
                && !self.is_end_seen
            {
                self.is_end_seen = true;
                // A reopen without an invalidation ends the state before it, and the commits go on.
                let is_reopening = error.kind() == ErrorKind::ChannelClosed && !now.is_closing;
                if !is_reopening {
                    return Err(error.clone());
                }
            }
            let is_reopened = |latest: &Latest| !Arc::ptr_eq(&latest.shared, &self.shared);
            if let Some(error) = end {
                let next = |latest: &Latest| {
                    let is_reopened = is_reopened(latest);
                    (is_reopened || latest.is_final).then_some(is_reopened)
                };
                if !self.latest.wait(next).await {
                    return Err(error);
                }
            } else {
                let has_changed = |now: &Progress| {
                    now.committed_token != self.seen || now.final_error().is_some()
                };
                tokio::select! {
                    biased;
                    () = self.latest.wait(|latest| is_reopened(latest).then_some(())) => {}
                    () = self.shared.wait(|now| has_changed(now).then_some(())) => {}
                }
            }
        }
    }
}
