//! The builder of a group, with its options.

use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;
use std::time::Duration;

use super::member::Member;
use super::partitions::Partitions;
use super::report::{GroupProgress, GroupReport};
use crate::base::options::{FAR_FUTURE, OnUncommitted};
use crate::client::StreamingIngestClient;
use crate::ingest::options::{Options, Stop};
use crate::ingest::source::Source;
use crate::types::error::{Error, ErrorKind, Result};

type Offset<T> = <<T as Partitions>::Source as Source>::Offset;
pub(super) type ClientFor<'a, P> = Box<dyn FnMut(&P) -> StreamingIngestClient + Send + 'a>;
pub(super) type Observer<'a, P, O> = Box<dyn FnMut(&GroupProgress<'_, P, O>) + Send + 'a>;

/// How long an open waits for the rows that the last owner of a partition has sent. Then they are discarded and read again.
const TAKEOVER_WAIT: Duration = Duration::from_secs(10);
/// The rows that all partitions may have in flight.
const TOTAL_IN_FLIGHT: u64 = 1_000_000;

/// A group that has not started: `.await` it, or set options first. Created by [`group`](crate::ingest::group()).
#[must_use = "nothing is read until this is awaited"]
pub struct Group<'a, T: Partitions> {
    pub(super) client: StreamingIngestClient,
    pub(super) client_for: Option<ClientFor<'a, T::Partition>>,
    pub(super) name: String,
    pub(super) partitions: &'a mut T,
    pub(super) stop: Stop<'a>,
    pub(super) observer: Option<Observer<'a, T::Partition, Offset<T>>>,
    pub(super) options: Options,
    pub(super) total_in_flight: u64,
}

impl<T: Partitions> fmt::Debug for Group<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("name", &self.name)
            .field("options", &self.options)
            .field("total_in_flight", &self.total_in_flight)
            .finish_non_exhaustive()
    }
}

impl<'a, T: Partitions> Group<'a, T> {
    pub(crate) fn new(client: &StreamingIngestClient, name: String, partitions: &'a mut T) -> Self {
        Self {
            client: client.clone(),
            client_for: None,
            name,
            partitions,
            stop: Box::pin(std::future::pending()),
            observer: None,
            options: Options {
                own_rows: OnUncommitted::WaitThenDiscard(TAKEOVER_WAIT),
                ..Options::default()
            },
            total_in_flight: TOTAL_IN_FLIGHT,
        }
    }

    /// Stops the group when `stop` resolves: nothing more is read, the appended rows are committed, for at most the
    /// [`drain_timeout`](Self::drain_timeout), and the engine is left. Default: never.
    pub fn until(mut self, stop: impl Future<Output = ()> + Send + 'a) -> Self {
        self.stop = Box::pin(stop);
        self
    }

    /// Chooses the client of each partition, for partitions that go to different tables. Use clients that share one login
    /// and one memory budget: see [`StreamingIngestClient::for_pipe`]. It must choose the same table in each program and each
    /// run. Default: the client that was passed.
    pub fn client_for(
        mut self,
        client_for: impl FnMut(&T::Partition) -> StreamingIngestClient + Send + 'a,
    ) -> Self {
        self.client_for = Some(Box::new(client_for));
        self
    }

    /// How many rows of a partition are read at once. Default 10,000.
    pub fn batch_rows(mut self, rows: usize) -> Self {
        self.options.batch_rows = rows;
        self
    }

    /// How many rows of a partition may wait for their commit before reading it pauses. Default 160,000.
    pub fn max_in_flight(mut self, rows: u64) -> Self {
        self.options.max_in_flight = rows;
        self
    }

    /// How many rows of all partitions may wait for their commit. A partition with none may always read an equal share of the limit, so
    /// that partitions whose rows are not committed do not stop the others; together they have at most twice as many. Default
    /// one million.
    pub fn total_in_flight(mut self, rows: u64) -> Self {
        self.total_in_flight = rows;
        self
    }

    /// How long a group that was asked to stop waits until its appended rows are committed. Default 60 seconds.
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.options.drain_timeout = FAR_FUTURE.min(timeout);
        self
    }

    /// How long the open of a partition waits until the rows that its last owner has sent are committed. Then they are discarded
    /// and read again. Default ten seconds.
    pub fn takeover_wait(mut self, wait: Duration) -> Self {
        self.options.own_rows = OnUncommitted::WaitThenDiscard(FAR_FUTURE.min(wait));
        self
    }

    /// How long the engine, or one method of a partition's source, may fail without a success. Then the group ends, or the
    /// partition is run again after a pause. Default ten minutes.
    pub fn source_patience(mut self, patience: Duration) -> Self {
        self.options.source_patience = FAR_FUTURE.min(patience);
        self
    }

    /// Calls `observe` for each partition whose progress or state has changed. Changes in quick succession are reported
    /// once. It is called within the group's task, so it must be quick.
    pub fn observe(
        mut self,
        observe: impl FnMut(&GroupProgress<'_, T::Partition, Offset<T>>) + Send + 'a,
    ) -> Self {
        self.observer = Some(Box::new(observe));
        self
    }

    fn check(&self) -> Result<()> {
        let problem = if self.name.is_empty() {
            "an empty name; use one that is the same in each program and each run"
        } else if self.options.batch_rows == 0
            || self.options.max_in_flight == 0
            || self.total_in_flight == 0
        {
            "no rows at once or none in flight; give at least one"
        } else {
            return Ok(());
        };
        Err(Error::new(
            ErrorKind::Config,
            format!("the group {:?} cannot have {problem}", self.name),
        ))
    }
}

impl<'a, T: Partitions> IntoFuture for Group<'a, T> {
    type Output = Result<GroupReport<T::Partition, Offset<T>>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            self.check()?;
            Member::new(self).run().await
        })
    }
}
