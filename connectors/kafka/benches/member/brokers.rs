//! The process with the brokers: librdkafka's mock cluster with a topic whose partitions are full before a member starts.

use std::io::{Write as _, stdin, stdout};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use tokio::io::{AsyncBufReadExt as _, BufReader};

pub(crate) const TOPIC: &str = "rides";
const WAIT: Duration = Duration::from_secs(60);

/// Produces the lines of the pool into each partition, prints the addresses of the brokers, and serves until its input ends.
///
/// # Errors
/// If librdkafka fails.
pub(crate) fn run(pool: &Path, partitions: u32, rows: u64) -> Result<()> {
    let cluster = MockCluster::new(3).context("the mock cluster does not start")?;
    let count = i32::try_from(partitions)?;
    cluster.create_topic(TOPIC, count, 1)?;
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("compression.codec", "lz4")
        .set("linger.ms", "50")
        .set("batch.num.messages", "5000")
        .set("queue.buffering.max.messages", "200000")
        .create()?;
    let pool = std::fs::read_to_string(pool)?;
    for partition in 0..count {
        for ride in pool.lines() {
            let mut record = BaseRecord::<(), str>::to(TOPIC)
                .partition(partition)
                .payload(ride);
            while let Err((error, refused)) = producer.send(record) {
                let KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) = error else {
                    return Err(error.into());
                };
                producer.poll(Duration::from_millis(10));
                record = refused;
            }
        }
    }
    producer.flush(WAIT)?;
    for partition in 0..count {
        let (low, high) = producer.client().fetch_watermarks(TOPIC, partition, WAIT)?;
        ensure!(
            (low, high) == (0, i64::try_from(rows)?),
            "partition {partition} has the offsets {low} to {high}: it has no room for {rows} rows, use fewer"
        );
    }
    println!("{}", cluster.bootstrap_servers());
    stdout().flush()?;
    stdin().lines().for_each(drop);
    Ok(())
}

/// The running process. It ends when this is dropped.
pub(crate) struct Brokers {
    child: Child,
    pub(crate) addresses: String,
}

impl Brokers {
    /// # Errors
    /// If the process does not start.
    pub(crate) async fn start(pool: &Path, partitions: u32, rows: u64) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("brokers")
            .arg(pool)
            .args([partitions.to_string(), rows.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the brokers do not start")?;
        let output = child.stdout.take().context("it is piped")?;
        let output = tokio::process::ChildStdout::from_std(output)?;
        let mut addresses = String::new();
        BufReader::new(output).read_line(&mut addresses).await?;
        let addresses = addresses.trim().to_owned();
        ensure!(!addresses.is_empty(), "the brokers have ended");
        Ok(Self { child, addresses })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // Its output is not needed any more.
        let _ = self.child.wait();
    }
}
