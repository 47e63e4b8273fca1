//! A group on partitions that a test assigns and takes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use snowpipe_streaming::ingest::group::{
    Event, GroupReport, PartitionReport, PartitionState, Partitions,
};
use snowpipe_streaming::ingest::{self, Batch, Finish, Ownership, Rejected, Source};
use snowpipe_streaming::{Error, StreamingIngestClient};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::source::{Failure, Shelf};
use crate::support::row;

/// How long a report that a test waits for may take.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// A partition of a test: a shelf, and an answer to who owns it.
#[derive(Debug, Clone)]
pub struct Lift {
    pub shelf: Shelf,
    pub ownership: Arc<Mutex<Ownership>>,
    /// The next read panics.
    pub panics: bool,
}

impl Lift {
    pub fn of(numbers: std::ops::Range<i64>) -> Self {
        let shelf = Shelf::of(numbers);
        shelf.stock().is_open = true;
        // The token of the channel is the only position.
        shelf.stock().is_forgetful = true;
        Self {
            shelf,
            ownership: Arc::default(),
            panics: false,
        }
    }

    pub fn owned(self, ownership: Ownership) -> Self {
        *self.ownership.lock().unwrap() = ownership;
        self
    }

    pub fn add(&self, numbers: std::ops::Range<i64>) {
        let rows = numbers.map(|n| (n, row(n)));
        self.shelf.stock().rows.extend(rows);
    }
}

impl Source for Lift {
    type Offset = i64;
    type Row = Value;
    type Error = Failure;

    async fn read_after(
        &mut self,
        after: Option<&i64>,
        max: usize,
    ) -> Result<Batch<i64, Value>, Failure> {
        assert!(!self.panics, "this lift is out of order");
        assert!(max > 0);
        self.shelf.read_after(after, max).await
    }

    async fn release_through(&mut self, _: &i64) -> Result<(), Failure> {
        Ok(())
    }

    async fn dead_letter(
        &mut self,
        rejected: &Rejected<i64>,
        rows: Vec<(i64, Value)>,
    ) -> Result<(), Failure> {
        self.shelf.dead_letter(rejected, rows).await
    }

    async fn check(&mut self, channel: &str, committed: Option<&i64>) -> Result<(), Failure> {
        self.shelf.check(channel, committed).await
    }

    async fn ownership(&mut self, _: &str) -> Result<Ownership, Failure> {
        Ok(*self.ownership.lock().unwrap())
    }

    fn is_fatal(&self, error: &Failure) -> bool {
        self.shelf.is_fatal(error)
    }
}

/// An engine that says what a test says.
struct Resort {
    events: mpsc::UnboundedReceiver<Event<&'static str, Lift>>,
    has_left: Arc<Notify>,
}

impl Partitions for Resort {
    type Partition = &'static str;
    type Source = Lift;
    type Error = Failure;

    async fn next(&mut self) -> Result<Option<Event<&'static str, Lift>>, Failure> {
        Ok(self.events.recv().await)
    }

    async fn leave(&mut self) -> Result<(), Failure> {
        self.has_left.notify_one();
        Ok(())
    }
}

type Reports = Arc<Mutex<BTreeMap<&'static str, PartitionReport<i64>>>>;
pub type Ended = Result<GroupReport<&'static str, i64>, Error>;

/// A group that runs beside the test.
pub struct Group {
    pub engine: Option<mpsc::UnboundedSender<Event<&'static str, Lift>>>,
    stop: Arc<Notify>,
    pub has_left: Arc<Notify>,
    reports: Reports,
    changed: Arc<Notify>,
    pub task: JoinHandle<Ended>,
}

impl Group {
    pub fn start(client: &StreamingIngestClient) -> Self {
        let (engine, events) = mpsc::unbounded_channel();
        let (stop, has_left) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (reports, changed) = (Reports::default(), Arc::new(Notify::new()));
        let task = {
            let (client, stop) = (client.clone(), Arc::clone(&stop));
            let (reports, changed) = (Arc::clone(&reports), Arc::clone(&changed));
            let has_left = Arc::clone(&has_left);
            tokio::spawn(async move {
                let mut engine = Resort { events, has_left };
                ingest::group(&client, "resort", &mut engine)
                    .observe(|progress| {
                        let report = progress.report.clone();
                        reports.lock().unwrap().insert(progress.partition, report);
                        changed.notify_one();
                    })
                    .until(stop.notified())
                    .await
            })
        };
        Self {
            engine: Some(engine),
            stop,
            has_left,
            reports,
            changed,
            task,
        }
    }

    pub fn say(&self, event: Event<&'static str, Lift>) {
        let engine = self.engine.as_ref().unwrap();
        assert!(engine.send(event).is_ok(), "the group has ended");
    }

    pub fn assign(&self, partition: &'static str, lift: &Lift) {
        self.say(Event::Assigned(vec![(partition, lift.clone())]));
    }

    /// Waits until the report of a partition is as wanted.
    pub async fn until(
        &self,
        partition: &str,
        is_so: impl Fn(&PartitionReport<i64>) -> bool,
    ) -> PartitionReport<i64> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let report = self.reports.lock().unwrap().get(partition).cloned();
            if let Some(report) = report.filter(&is_so) {
                return report;
            }
            let changed = timeout_at(deadline, self.changed.notified()).await;
            assert!(changed.is_ok(), "{:#?}", self.reports.lock().unwrap());
        }
    }

    pub async fn state(&self, partition: &str, state: PartitionState) -> PartitionReport<i64> {
        self.until(partition, |report| report.state == state).await
    }

    pub async fn committed(&self, partition: &str, rows: u64) -> PartitionReport<i64> {
        let is_so = |report: &PartitionReport<i64>| report.rows_committed == rows;
        self.until(partition, is_so).await
    }

    /// Stops the group, which drains.
    pub async fn stop(self) -> GroupReport<&'static str, i64> {
        self.stop.notify_one();
        let report = self.task.await.unwrap().unwrap();
        assert_eq!(report.finish, Finish::Stopped);
        report
    }
}
