//! The builder of a run, with its options.

use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;
use std::time::Duration;

use super::flow::Flow;
use super::group::quota::QuotaShare;
use super::layout::MOST_SHARDS;
use super::options::{Hash, Observer, Options, Stop};
use super::report::{Progress, Report};
use super::source::Source;
use crate::base::options::FAR_FUTURE;
use crate::client::StreamingIngestClient;
use crate::types::error::{Error, ErrorKind, Result};

/// A run that has not started: `.await` it, or set options first. Created by [`run`](super::run).
#[must_use = "nothing is read until this is awaited"]
pub struct Run<'a, S: Source> {
    pub(super) client: StreamingIngestClient,
    pub(super) name: String,
    pub(super) source: &'a mut S,
    pub(super) shards: Option<(usize, Hash<'a, S::Row>)>,
    pub(super) stop: Stop<'a>,
    pub(super) observer: Option<Observer<'a, S::Offset>>,
    pub(super) options: Options,
    /// The rows that a group allows this partition to have in flight, besides `max_in_flight`.
    pub(super) quota: Option<QuotaShare>,
    /// Of a partition: everything up to here was committed before this run. A channel without a token has lost it.
    pub(super) known: Option<S::Offset>,
}

impl<S: Source> fmt::Debug for Run<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("name", &self.name)
            .field("shards", &self.shards.as_ref().map(|(count, _)| count))
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl<'a, S: Source> Run<'a, S> {
    pub(super) fn new(client: &StreamingIngestClient, name: String, source: &'a mut S) -> Self {
        Self {
            client: client.clone(),
            name,
            source,
            shards: None,
            stop: Box::pin(std::future::pending()),
            observer: None,
            options: Options::default(),
            quota: None,
            known: None,
        }
    }

    /// A run of a partition of a group.
    pub(super) fn of_partition(
        mut self,
        options: Options,
        quota: QuotaShare,
        known: Option<S::Offset>,
    ) -> Self {
        self.known = known;
        self.options = Options {
            is_partition: true,
            ..options
        };
        self.quota = Some(quota);
        self
    }

    /// Stops the run when `stop` resolves: nothing more is read, and the run waits until the appended rows are committed, for at
    /// most the [`drain_timeout`](Self::drain_timeout). Default: never.
    pub fn until(mut self, stop: impl Future<Output = ()> + Send + 'a) -> Self {
        self.stop = Box::pin(stop);
        self
    }

    /// Spreads the rows over `count` channels, `<name>-0-of-<count>` and so on, by a hash of each row's key. Rows with
    /// the same hash stay in order. At most 64.
    ///
    /// The hash must be the same in every run: use [`stable_hash`](super::shards::stable_hash), and never a hasher of the
    /// standard library. A different count is refused until everything that the old channels committed is released.
    pub fn shards(mut self, count: usize, hash: impl FnMut(&S::Row) -> u64 + Send + 'a) -> Self {
        self.shards = Some((count, Box::new(hash)));
        self
    }

    /// How many rows are read at once. Default 10,000.
    pub fn batch_rows(mut self, rows: usize) -> Self {
        self.options.batch_rows = rows;
        self
    }

    /// How many rows may wait for their commit before the run pauses reading. Default 160,000.
    pub fn max_in_flight(mut self, rows: u64) -> Self {
        self.options.max_in_flight = rows;
        self
    }

    /// How long a run that was asked to stop waits until its appended rows are committed. Default 60 seconds.
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.options.drain_timeout = FAR_FUTURE.min(timeout);
        self
    }

    /// How long one method of the source may fail without a success before the run gives up. Successes of other methods do not
    /// count. Default ten minutes.
    pub fn source_patience(mut self, patience: Duration) -> Self {
        self.options.source_patience = FAR_FUTURE.min(patience);
        self
    }

    /// Calls `observe` whenever rows were appended, accepted, committed or released. It is called within the run's task, so it
    /// must be quick.
    pub fn observe(mut self, observe: impl FnMut(&Progress<S::Offset>) + Send + 'a) -> Self {
        self.observer = Some(Box::new(observe));
        self
    }

    fn check(&self) -> Result<()> {
        let wrong = match &self.shards {
            Some((count, _)) if !(1..=MOST_SHARDS).contains(count) => {
                format!("{count} shards; give 1 to {MOST_SHARDS}")
            }
            _ if self.options.batch_rows == 0 || self.options.max_in_flight == 0 => {
                "no rows at once or none in flight; give at least one".to_owned()
            }
            _ => return Ok(()),
        };
        Err(Error::new(
            ErrorKind::Config,
            format!("the run of {:?} cannot have {wrong}", self.name),
        ))
    }
}

impl<'a, S: Source> IntoFuture for Run<'a, S> {
    type Output = Result<Report<S::Offset>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            self.check()?;
            Flow::new(self).run().await
        })
    }
}
