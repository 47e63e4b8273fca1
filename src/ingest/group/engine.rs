//! Calls to the engine that hands out partitions: failures are retried.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};
use tracing::warn;

use super::partitions::{Event, Partitions};
use crate::base::retry::{Retry, RetryLimit};
use crate::client::StreamingIngestClient;
use crate::types::error::{Error, ErrorKind, Result};

/// The first and the longest pause after a failure.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long leaving the engine may take.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(30);

/// An engine with the state of its retries.
pub(super) struct Engine<'a, T> {
    partitions: &'a mut T,
    client: StreamingIngestClient,
    patience: Duration,
    retry: Option<Retry>,
    /// Since when it is polled without an answer.
    polled_since: Option<Instant>,
    /// When to call it again after a failure.
    due: Option<Instant>,
    /// There are no more events.
    is_over: bool,
}

impl<'a, T: Partitions> Engine<'a, T> {
    pub(super) fn new(
        partitions: &'a mut T,
        client: StreamingIngestClient,
        patience: Duration,
    ) -> Self {
        Self {
            partitions,
            client,
            patience,
            retry: None,
            polled_since: None,
            due: None,
            is_over: false,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Waits for the next event. Returns `None` once; later calls never resolve. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<Event<T::Partition, T::Source>>> {
        if self.is_over {
            return std::future::pending().await;
        }
        loop {
            if let Some(due) = self.due {
                sleep_until(due).await;
                self.due = None;
            }
            let since = *self.polled_since.get_or_insert_with(Instant::now);
            let next = self.partitions.next().await;
            self.polled_since = None;
            if since.elapsed() > LONGEST_PAUSE {
                // It had nothing to say, so it had recovered.
                self.retry = None;
            }
            match next {
                Ok(event) => {
                    self.retry = None;
                    self.is_over = event.is_none();
                    return Ok(event);
                }
                Err(error) => self.due = Some(self.failed("give the next event", error)?),
            }
        }
    }

    /// Leaves the engine, if it can be reached.
    pub(super) async fn leave(&mut self) {
        let Ok(left) = timeout(LEAVE_TIMEOUT, self.partitions.leave()).await else {
            warn!("the engine could not be left within {LEAVE_TIMEOUT:?}");
            return;
        };
        if let Err(error) = left {
            let error: Box<dyn std::error::Error + Send + Sync> = error.into();
            warn!(%error, "the engine could not be left; other programs get the partitions when it gives this one up");
        }
    }

    /// When to call again, or the error that ends the group.
    fn failed(&mut self, what: &str, error: T::Error) -> Result<Instant> {
        let is_fatal = self.partitions.is_fatal(&error);
        let error: Box<dyn std::error::Error + Send + Sync> = error.into();
        let now = Instant::now();
        let limit = RetryLimit::For(self.patience);
        let retry = self
            .retry
            .get_or_insert_with(|| Retry::new(FIRST_PAUSE, LONGEST_PAUSE, limit).started(now));
        let next = if is_fatal {
            None
        } else {
            retry.next(now, None, self.client.random_unit())
        };
        if let Some(next) = next {
            warn!(%error, "the source of partitions could not {what}; trying again");
            return Ok(next);
        }
        let how = if is_fatal {
            String::new()
        } else {
            format!(" for {:?}", retry.elapsed(now))
        };
        let text = format!("the source of partitions could not {what}{how}: {error}");
        Err(Error::new(ErrorKind::Source, text).with_boxed_source(error))
    }
}
