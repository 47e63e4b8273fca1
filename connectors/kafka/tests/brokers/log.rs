//! The topic itself: rides are produced into it, and all of its records are read.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context, Result};
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{PARTITIONS, PATIENCE, TOPIC};

/// The offset of a record, and its ride.
pub(crate) type Record = (i64, u64);

pub(crate) struct Log {
    brokers: String,
    producer: FutureProducer,
}

impl Log {
    /// # Errors
    /// If librdkafka refuses the settings.
    pub(crate) fn new(brokers: &str) -> Result<Self> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("linger.ms", "20")
            .set("reconnect.backoff.max.ms", "500")
            .create()?;
        Ok(Self {
            brokers: brokers.to_owned(),
            producer,
        })
    }

    /// Produces rides, each at least once.
    ///
    /// # Errors
    /// If the brokers do not take them.
    pub(crate) async fn ride(&self, numbers: Range<u64>) -> Result<()> {
        let mut sent = Vec::new();
        for number in numbers {
            let partition = i32::try_from(number % u64::from(PARTITIONS.unsigned_abs()))?;
            let ride = json!({ "RIDE_ID": number }).to_string();
            let record = FutureRecord::<str, str>::to(TOPIC)
                .partition(partition)
                .payload(&ride);
            sent.push(
                self.producer
                    .send_result(record)
                    .map_err(|(error, _)| error)?,
            );
        }
        for delivery in sent {
            let delivery = timeout(PATIENCE, delivery)
                .await
                .context("the brokers are away")?;
            delivery?.map_err(|(error, _)| error)?;
        }
        Ok(())
    }

    /// Reads each partition from its first record to its end.
    ///
    /// # Errors
    /// If the brokers do not answer.
    pub(crate) async fn read(&self) -> Result<BTreeMap<i32, Vec<Record>>> {
        let consumer: StreamConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", "reader")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .create()?;
        let mut list = TopicPartitionList::new();
        let mut unread = 0;
        let mut records: BTreeMap<i32, Vec<Record>> = BTreeMap::new();
        for partition in 0..PARTITIONS {
            list.add_partition_offset(TOPIC, partition, Offset::Beginning)?;
            records.insert(partition, Vec::new());
            unread += 1;
        }
        consumer.assign(&list)?;
        while unread > 0 {
            match timeout(PATIENCE, consumer.recv())
                .await
                .context("no records")?
            {
                Ok(record) => {
                    let ride: Value =
                        serde_json::from_slice(record.payload().context("no value")?)?;
                    let ride = ride
                        .get("RIDE_ID")
                        .and_then(Value::as_u64)
                        .context("no ride")?;
                    records
                        .entry(record.partition())
                        .or_default()
                        .push((record.offset(), ride));
                }
                Err(KafkaError::PartitionEOF(_)) => unread -= 1,
                // A broker that was killed a moment ago: librdkafka tries again.
                Err(error) => tracing::warn!(%error, "the log is read on"),
            }
        }
        records.retain(|_, records| !records.is_empty());
        Ok(records)
    }
}
