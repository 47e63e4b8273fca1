//! The commits of a channel as a stream.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::receipt::Commits;
use crate::types::error::{ErrorKind, Result};
use crate::types::offset::OffsetToken;

type Changed = Pin<Box<dyn Future<Output = (Commits, Result<OffsetToken>)> + Send>>;

/// The committed tokens of a channel as a [`Stream`]; see [`Commits::into_stream`].
pub struct CommitStream(Option<Changed>);

impl fmt::Debug for CommitStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommitStream")
            .field("is_terminated", &self.0.is_none())
            .finish()
    }
}

impl Commits {
    /// A stream of what [`changed`](Self::changed) returns. It ends after the error that says that no further commit will come:
    /// [`ErrorKind::ChannelClosed`] or [`ErrorKind::ClientClosed`]. After [`ErrorKind::Invalidated`] it continues, and waits until
    /// the channel is reopened.
    ///
    /// Feature `stream`.
    ///
    /// ```no_run
    /// # use snowpipe_streaming::Channel;
    /// use futures_util::StreamExt as _;
    ///
    /// # async fn example(channel: &Channel) {
    /// let mut commits = channel.commits().into_stream();
    /// while let Some(token) = commits.next().await {
    ///     println!("{token:?}");
    /// }
    /// # }
    /// ```
    pub fn into_stream(self) -> CommitStream {
        CommitStream(Some(changed(self)))
    }
}

fn changed(mut commits: Commits) -> Changed {
    Box::pin(async move {
        let result = commits.changed().await;
        (commits, result)
    })
}

impl Stream for CommitStream {
    type Item = Result<OffsetToken>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(next) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let (commits, result) = ready!(next.as_mut().poll(cx));
        let is_last = matches!(
            &result,
            Err(error) if !matches!(error.kind(), ErrorKind::Invalidated(_))
        );
        self.0 = (!is_last).then(|| changed(commits));
        Poll::Ready(Some(result))
    }
}
