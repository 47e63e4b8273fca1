//! Operations on all channels of a client: flush, close and abort. Also its elastic channels, which are not in the registry
//! because they have no names.

use std::sync::{Arc, PoisonError, Weak};

use super::{ClientInner, StreamingIngestClient};
use crate::elastic::ElasticChannel;
use crate::elastic::shared::Settle;
use crate::types::error::{Error, ErrorKind, Result};

impl StreamingIngestClient {
    /// Returns a handle of the elastic channel of the client's pipe, with tags of type `T`. Rows are delivered at least once, in
    /// no order and without offsets. This does not call the server.
    ///
    /// Each handle that this method returns has separate batches and requests, which its clones share. Clone a handle instead
    /// of calling this method for each append.
    pub fn elastic_channel<T: Send + 'static>(&self) -> ElasticChannel<T> {
        let inner = &self.inner;
        let (channel, settle) = ElasticChannel::start(&inner.context);
        let mut elastic = inner.elastic.lock().unwrap_or_else(PoisonError::into_inner);
        elastic.retain(|channel| channel.strong_count() > 0);
        elastic.push(Arc::downgrade(&settle));
        drop(elastic);
        // Closing the client sets the flag before it takes the channels.
        if inner.registry.is_closed() {
            settle.end(&Error::new(
                ErrorKind::ClientClosed,
                "the client is closed; build a new one",
            ));
        }
        channel
    }

    /// Sends everything appended to any channel so far, without waiting for the lag.
    pub fn initiate_flush(&self) {
        for channel in self.inner.registry.channels() {
            channel.update_and_wake(|core, _| core.flush());
        }
        self.inner.flush_elastic();
    }

    /// Flushes all channels, and waits until the server has accepted everything appended to them so far. A reopen of a channel
    /// may still lose these rows; for durability wait for the commit of each channel.
    ///
    /// Bounded as [`Channel::wait_for_flush`](crate::Channel::wait_for_flush). Cancel safe.
    ///
    /// # Errors
    ///
    /// The error of the first invalidated channel, in the order of their names. Otherwise the error of an elastic channel with
    /// failed appends that are not yet reported.
    pub async fn wait_for_flush(&self) -> Result<()> {
        let inner = &self.inner;
        let named = inner.registry.channels().into_iter().map(|channel| {
            let through = channel.update_and_wake(|core, _| {
                core.flush();
                core.appended()
            });
            (channel, through)
        });
        let named: Vec<_> = named.collect();
        let elastic = inner.flush_elastic();
        let mut result = Ok(());
        for (channel, through) in named {
            let accepted = channel.wait(|p| p.accepted_outcome(through, through));
            result = result.and(accepted.await);
        }
        for (channel, through) in elastic {
            result = result.and(channel.settle(through).await);
        }
        result
    }

    /// Flushes all channels, waits until their rows are committed (on elastic channels, accepted) or the close timeout has
    /// passed, and ends the client. Channels that are still open then refuse appends.
    ///
    /// If the future is cancelled, the client stays open, and the flushed rows are still sent.
    ///
    /// # Errors
    ///
    /// The error of the first channel with uncommitted rows. Otherwise the error of an elastic channel with failed appends that
    /// are not yet reported.
    pub async fn close(self) -> Result<()> {
        let inner = Arc::clone(&self.inner);
        let channels = inner.registry.channels();
        for channel in &channels {
            channel.update_and_wake(|core, _| core.flush());
        }
        let elastic = inner.flush_elastic();
        let deadline = tokio::time::Instant::now() + inner.context.options.close_timeout;
        let closed = Error::new(ErrorKind::ClientClosed, "the client was closed");
        let mut result = Ok(());
        for channel in channels {
            let through = channel.core().appended();
            let done = channel.wait(|p| p.committed_outcome(through, through));
            let outcome = tokio::time::timeout_at(deadline, done)
                .await
                .unwrap_or_else(|_| {
                    let text = format!("the channel {:?} was not committed in time", channel.name);
                    Err(channel.update_and_wake(|core, now| {
                        let error = core.past_deadline(&text);
                        core.end(now, closed.clone(), false);
                        error.with_report(core.report())
                    }))
                });
            result = result.and(outcome);
        }
        for (channel, through) in elastic {
            let outcome = tokio::time::timeout_at(deadline, channel.settle(through)).await;
            let late = "the appends of the elastic channel were not acknowledged in time; their rows are handed back";
            result =
                result.and(outcome.unwrap_or_else(|_| Err(Error::new(ErrorKind::Timeout, late))));
        }
        inner.end(&closed);
        result
    }
}

impl StreamingIngestClient {
    /// Ends all channels at once, as a crash of the process does: nothing more is sent, requests under way are dropped, and
    /// receipts of uncommitted rows resolve to [`ErrorKind::ClientClosed`]. Elastic channels hand back the rows of appends
    /// without an outcome.
    ///
    /// This is for tests of what a program does after a crash, and for programs that must end now. Otherwise use
    /// [`close`](Self::close).
    ///
    /// ```
    /// # use snowpipe_streaming::{ErrorKind, Result, StreamingIngestClient};
    /// # async fn example(client: StreamingIngestClient) -> Result<()> {
    /// let mut channel = client.open_channel("rides-0").await?;
    /// let receipt = channel.append_row(&serde_json::json!({ "ID": 1 }), 1).await?;
    /// client.abort();
    /// assert_eq!(receipt.committed().await.unwrap_err().kind(), ErrorKind::ClientClosed);
    /// # Ok(()) }
    /// ```
    pub fn abort(&self) {
        let text = "the client was aborted; build a new one";
        self.inner.end(&Error::new(ErrorKind::ClientClosed, text));
    }
}

impl ClientInner {
    pub(super) fn end(&self, error: &Error) {
        if self.registry.end(error) {
            for channel in self.elastic_channels() {
                channel.end(error);
            }
        }
    }

    /// Flushes the elastic channels, and returns each with the number of appends that were flushed.
    fn flush_elastic(&self) -> Vec<(Arc<dyn Settle>, u64)> {
        let channels = self.elastic_channels().into_iter();
        channels
            .map(|channel| {
                let through = channel.flush();
                (channel, through)
            })
            .collect()
    }

    fn elastic_channels(&self) -> Vec<Arc<dyn Settle>> {
        let elastic = self.elastic.lock().unwrap_or_else(PoisonError::into_inner);
        elastic.iter().filter_map(Weak::upgrade).collect()
    }
}
