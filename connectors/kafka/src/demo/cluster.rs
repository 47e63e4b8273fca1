//! Brokers in this process: librdkafka's mock cluster, and a producer of ski rides.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result};
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{DefaultProducerContext, FutureProducer, FutureRecord};
use serde_json::json;

const LIFTS: [&str; 5] = ["Gondola", "Summit", "North", "Larch", "Glacier"];
/// How many records are on their way at once. The producer has room for more.
const AT_ONCE: usize = 20_000;

/// The rides of a topic by partition and offset.
pub type Rides = BTreeMap<i32, BTreeMap<i64, u64>>;

/// Brokers that live as long as this value, and a producer.
pub struct Cluster {
    /// The brokers. A test can create topics on them and make them fail.
    pub brokers: MockCluster<'static, DefaultProducerContext>,
    producer: FutureProducer,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let brokers = self.brokers.bootstrap_servers();
        f.debug_tuple("Cluster").field(&brokers).finish()
    }
}

impl Cluster {
    /// Three brokers, with a topic.
    ///
    /// # Errors
    /// If librdkafka cannot start them.
    pub fn start(topic: &str, partitions: i32) -> Result<Self> {
        let brokers = MockCluster::new(3).context("the mock cluster does not start")?;
        brokers.create_topic(topic, partitions, 3)?;
        let producer = ClientConfig::new()
            .set("bootstrap.servers", brokers.bootstrap_servers())
            .set("linger.ms", "5")
            // A broker that was away for a moment is asked again soon.
            .set("socket.timeout.ms", "5000")
            .create()?;
        Ok(Self { brokers, producer })
    }

    /// Sends records, each a partition, a key and a value, and waits until the brokers have them. Returns their offsets.
    ///
    /// # Errors
    /// If the brokers refuse a record.
    pub async fn send(
        &self,
        topic: &str,
        records: &[(i32, Option<String>, Option<String>)],
    ) -> Result<Vec<i64>> {
        let mut offsets = Vec::with_capacity(records.len());
        for records in records.chunks(AT_ONCE) {
            let mut sent = Vec::with_capacity(records.len());
            for (partition, key, value) in records {
                let record = FutureRecord {
                    topic,
                    partition: Some(*partition),
                    key: key.as_deref(),
                    payload: value.as_deref(),
                    timestamp: None,
                    headers: None,
                };
                let queued = self.producer.send_result(record);
                sent.push(queued.map_err(|(error, _)| error)?);
            }
            for delivery in sent {
                let delivery = delivery.await?.map_err(|(error, _)| error)?;
                offsets.push(delivery.offset);
            }
        }
        Ok(offsets)
    }

    /// Sends rides with these numbers, spread over the partitions, and adds them to `rides`.
    ///
    /// # Errors
    /// If the brokers refuse a record.
    pub async fn ride(
        &self,
        topic: &str,
        partitions: i32,
        numbers: std::ops::Range<u64>,
        rides: &mut Rides,
    ) -> Result<()> {
        let of = |number: u64| {
            let partition = i32::try_from(number % u64::from(partitions.unsigned_abs()));
            let lift = LIFTS.iter().cycle().nth(usize::try_from(number % 5)?);
            let value = json!({ "RIDE_ID": number, "LIFT": lift, "PASS": number % 997 });
            let key = (number % 997).to_string();
            Ok::<_, anyhow::Error>((partition?, Some(key), Some(value.to_string())))
        };
        let records = numbers.clone().map(of).collect::<Result<Vec<_>>>()?;
        let offsets = self.send(topic, &records).await?;
        for ((number, (partition, ..)), offset) in numbers.zip(&records).zip(offsets) {
            rides.entry(*partition).or_default().insert(offset, number);
        }
        Ok(())
    }
}
