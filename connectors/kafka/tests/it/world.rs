//! Brokers, the emulator, and members that are started with the same options.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, StreamConsumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use snowpipe_streaming_emulator::{Emulator, EmulatorBuilder};
use tempfile::TempDir;
use tokio::time::timeout;

use snowpipe_kafka::demo::cluster::{Cluster, Rides};
use snowpipe_kafka::demo::landing::{Landing, PATIENCE, TABLE};
use snowpipe_kafka::demo::process::Process;

pub(crate) const TOPIC: &str = "rides";
pub(crate) const SOURCE_ID: &str = "resort";
/// A member that is silent for so long is dead. The mock cluster needs three seconds at least.
pub(crate) const SESSION: Duration = Duration::from_secs(3);

pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) landing: Landing,
    pub(crate) rides: Rides,
    pub(crate) partitions: i32,
    produced: u64,
    folder: TempDir,
    profile: PathBuf,
}

impl World {
    pub(crate) async fn new(partitions: i32) -> Result<Self> {
        Self::with(partitions, Emulator::builder()).await
    }

    /// A world with another emulator.
    pub(crate) async fn with(partitions: i32, emulator: EmulatorBuilder) -> Result<Self> {
        let landing = Landing::start(emulator).await?;
        let folder = TempDir::new()?;
        let profile = landing.write_profile(folder.path())?;
        Ok(Self {
            cluster: Cluster::start(TOPIC, partitions)?,
            landing,
            rides: Rides::new(),
            partitions,
            produced: 0,
            folder,
            profile,
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts a member with more options.
    pub(crate) fn member(&self, more: &[&str]) -> Result<Process> {
        let mut options = vec![
            format!("--brokers={}", self.cluster.brokers.bootstrap_servers()),
            "--group=resort".to_owned(),
            format!("--source-id={SOURCE_ID}"),
            format!("--topic={TOPIC}={TABLE}"),
            format!("--profile={}", self.profile.display()),
            format!("--set=session.timeout.ms={}", SESSION.as_millis()),
            "--set=heartbeat.interval.ms=500".to_owned(),
            "--with-metadata".to_owned(),
        ];
        options.extend(more.iter().map(|option| (*option).to_owned()));
        let program = Path::new(env!("CARGO_BIN_EXE_snowpipe-kafka"));
        Process::start(program, &options)
    }

    /// A client of the group that is no member.
    fn observer(&self) -> Result<BaseConsumer> {
        let mut config = ClientConfig::new();
        config.set(
            "bootstrap.servers",
            self.cluster.brokers.bootstrap_servers(),
        );
        Ok(config.set("group.id", "resort").create()?)
    }

    /// The offset that the group has committed.
    pub(crate) fn committed_offset(&self, partition: i32) -> Result<Option<i64>> {
        let mut list = TopicPartitionList::new();
        list.add_partition(TOPIC, partition);
        let found = self.observer()?.committed_offsets(list, SESSION)?;
        let found = found
            .find_partition(TOPIC, partition)
            .context("no such partition")?;
        Ok(found.offset().to_raw().filter(|offset| *offset >= 0))
    }

    /// Commits an offset as another program of the group would.
    pub(crate) fn commit_offset(&self, partition: i32, offset: i64) -> Result<()> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(TOPIC, partition, Offset::Offset(offset))?;
        Ok(self.observer()?.commit(&list, CommitMode::Sync)?)
    }

    /// The value of the first record in partition 0 of a topic.
    pub(crate) async fn first_value(&self, topic: &str) -> Result<String> {
        let mut config = ClientConfig::new();
        config.set(
            "bootstrap.servers",
            self.cluster.brokers.bootstrap_servers(),
        );
        let consumer: StreamConsumer = config.set("group.id", "reader").create()?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Beginning)?;
        consumer.assign(&list)?;
        let record = timeout(PATIENCE, consumer.recv())
            .await
            .context("no record")??;
        let value = record.payload_view::<str>().context("no value")??;
        Ok(value.to_owned())
    }

    /// Produces rides.
    pub(crate) async fn ride(&mut self, count: u64) -> Result<()> {
        let numbers = self.produced..self.produced + count;
        self.produced += count;
        let rides = &mut self.rides;
        self.cluster
            .ride(TOPIC, self.partitions, numbers, rides)
            .await
    }

    /// Waits until as many rows have landed as rides were produced.
    pub(crate) async fn lands(&mut self) -> Result<()> {
        self.landing.has_rows(self.produced).await
    }

    /// Fails unless each ride is in the table once, and each channel has committed its last one.
    pub(crate) fn is_exact(&self) -> Result<()> {
        for (partition, found) in self.landing.reconcile(SOURCE_ID, TOPIC, &self.rides)? {
            ensure!(
                found.is_exact && found.committed == found.produced,
                "partition {partition}: {found:?}"
            );
        }
        Ok(())
    }
}

/// Ends a member as SIGTERM does, which has to succeed.
pub(crate) async fn stop(mut member: Process) -> Result<()> {
    let ended = member.stop().await.context("the member has ended before")?;
    ensure!(ended.success(), "the member ended with {ended}");
    Ok(())
}
