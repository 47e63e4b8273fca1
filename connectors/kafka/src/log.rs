//! Calls to librdkafka about one partition. They block, so they run on threads for that, and each has a deadline.
//!
//! What changes the partition holds the lock of the assignment. So a call of an earlier assignment, which comes late, changes
//! nothing in a later one.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::Offset;
use rdkafka::consumer::Consumer;
use rdkafka::consumer::stream_consumer::StreamPartitionQueue;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::cli::{OnGap, Start};
use crate::member::KafkaConsumer;
use crate::owner::{Owner, Partition, Stored};
use crate::partition::PartitionError;
use crate::place::{Misplaced, Place, Watermarks, place};

/// A seek needs no broker, so it takes milliseconds.
const SEEK_TIMEOUT: Duration = Duration::from_secs(1);
const BROKER_TIMEOUT: Duration = Duration::from_secs(5);
/// A new leader may be behind for a moment: how often and how long after each other a log that is too short is looked at.
const SHORT_LOG_CHECKS: u32 = 5;
const SHORT_LOG_PAUSE: Duration = Duration::from_secs(1);

/// One assignment of a partition.
#[derive(Clone)]
pub(crate) struct Log {
    pub(crate) consumer: Arc<KafkaConsumer>,
    pub(crate) partition: Partition,
    pub(crate) generation: u64,
}

impl Log {
    pub(crate) fn owner(&self) -> &Owner {
        self.consumer.client().context()
    }

    /// Whether it was not revoked since, as far as this program knows.
    pub(crate) fn is_owned(&self) -> bool {
        self.owner().owns(&self.partition, self.generation)
    }

    /// Whether librdkafka still has it assigned, and is in touch with the group.
    pub(crate) async fn is_still_assigned(&self) -> Result<bool, PartitionError> {
        self.blocking(|log| {
            let assigned = log.consumer.assignment()?;
            let found = assigned.find_partition(&log.partition.topic, log.partition.number);
            Ok(found.is_some() && log.is_owned() && !log.consumer.assignment_lost())
        })
        .await
    }

    /// What the group has stored.
    pub(crate) async fn stored(&self) -> Result<Option<Stored>, PartitionError> {
        self.blocking(|log| {
            let wanted = log.partition.list(Offset::Invalid)?;
            let found = log.consumer.committed_offsets(wanted, BROKER_TIMEOUT)?;
            let found = found.find_partition(&log.partition.topic, log.partition.number);
            Ok(found.as_ref().and_then(Stored::of))
        })
        .await
    }

    /// Where to begin without a committed token. `None`: at the first offset of the log.
    pub(crate) async fn start(&self, start: Start) -> Result<Option<i64>, PartitionError> {
        match start {
            Start::Earliest => Ok(None),
            Start::Group => Ok(self.stored().await?.map(|stored| stored.next)),
        }
    }

    /// Compares the wanted offset with what the log has.
    pub(crate) async fn locate(
        &self,
        wanted: Option<i64>,
        on_gap: OnGap,
    ) -> Result<(Place, Watermarks), PartitionError> {
        let mut checks = 1;
        loop {
            let log = self.watermarks().await?;
            match place(wanted, log, on_gap) {
                Ok(place) => return Ok((place, log)),
                Err(Misplaced::Beyond { .. }) if checks < SHORT_LOG_CHECKS => {
                    checks += 1;
                    sleep(SHORT_LOG_PAUSE).await;
                }
                Err(error) => return Err(PartitionError::Misplaced(self.partition.clone(), error)),
            }
        }
    }

    async fn watermarks(&self) -> Result<Watermarks, PartitionError> {
        self.blocking(|log| {
            let Partition { topic, number } = &log.partition;
            let found = log
                .consumer
                .fetch_watermarks(topic, *number, BROKER_TIMEOUT)?;
            Ok(Watermarks {
                low: found.0,
                high: found.1,
            })
        })
        .await
    }

    /// Makes `next` the next record of the partition's queue, and lets it be fetched.
    pub(crate) async fn seek(&self, next: i64) -> Result<(), PartitionError> {
        self.changing(move |log| {
            let Partition { topic, number } = &log.partition;
            let next = Offset::Offset(next);
            log.consumer.seek(topic, *number, next, SEEK_TIMEOUT)?;
            log.consumer.resume(&log.partition.list(next)?)
        })
        .await
    }

    /// Takes the partition out of the assignment and back in. This helps where a seek does not: when the offset of a partition
    /// was out of range, librdkafka stops it. The group does not notice.
    pub(crate) async fn revive(
        &self,
        next: i64,
    ) -> Result<StreamPartitionQueue<Owner>, PartitionError> {
        self.changing(move |log| {
            let Partition { topic, number } = &log.partition;
            let list = log.partition.list(Offset::Offset(next))?;
            log.consumer.incremental_unassign(&list)?;
            let queue = log.consumer.split_partition_queue(topic, *number);
            log.consumer.incremental_assign(&list)?;
            log.consumer.resume(&list)?;
            let unknown = RDKafkaErrorCode::UnknownPartition;
            queue.ok_or(KafkaError::Subscription(unknown.to_string()))
        })
        .await
    }

    /// Calls `change` while the partition is owned and cannot be revoked.
    async fn changing<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Self) -> KafkaResult<T> + Send + 'static,
    ) -> Result<T, PartitionError> {
        let changed = self.blocking(|log| {
            let assignment = log.owner().assignment();
            if !assignment.has(&log.partition, log.generation) {
                return Ok(None);
            }
            change(log).map(Some)
        });
        let not_owned = || PartitionError::NotOwned(self.partition.clone());
        changed.await?.ok_or_else(not_owned)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Self) -> KafkaResult<T> + Send + 'static,
    ) -> Result<T, PartitionError> {
        let log = self.clone();
        let called = spawn_blocking(move || call(&log)).await;
        let partition = || self.partition.clone();
        let result = called.map_err(|_| PartitionError::Panicked(partition()))?;
        result.map_err(|error| PartitionError::Kafka(partition(), error))
    }
}
