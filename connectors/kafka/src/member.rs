//! The member of the consumer group: what the group runner asks which partitions it has.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Message};
use snowpipe_streaming::ingest::group::{Event, Partitions};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tracing::warn;

use crate::owner::{Change, Owner, Partition};
use crate::partition::PartitionSource;
use crate::reading::Reading;

/// How often the offsets of the group follow the committed rows.
const COMMIT_EVERY: Duration = Duration::from_secs(5);
/// How long leaving the group may take.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) type KafkaConsumer = StreamConsumer<Owner>;

pub(crate) struct Member {
    /// `None` after the group was left.
    consumer: Option<Arc<KafkaConsumer>>,
    changes: mpsc::UnboundedReceiver<Change>,
    commits: Interval,
    reading: Arc<Reading>,
}

/// A failure of the member as a whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MemberError {
    #[error("librdkafka could not carry out the assignment: {0}")]
    Assignment(KafkaError),
    #[error("the consumer failed permanently: {0}")]
    Fatal(KafkaError),
}

impl Member {
    /// Joins the group. The brokers need not be reachable yet.
    ///
    /// # Errors
    /// If librdkafka refuses the settings.
    pub(crate) fn join(
        config: &ClientConfig,
        topics: &[&str],
        reading: Arc<Reading>,
    ) -> anyhow::Result<Self> {
        let (owner, changes) = Owner::new(Arc::clone(&reading.status));
        let consumer: KafkaConsumer = config
            .create_with_context(owner)
            .context("librdkafka refuses the settings")?;
        consumer
            .subscribe(topics)
            .with_context(|| format!("cannot subscribe to {}", topics.join(", ")))?;
        let mut commits = interval(COMMIT_EVERY);
        commits.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            consumer: Some(Arc::new(consumer)),
            changes,
            commits,
            reading,
        })
    }

    fn event(
        consumer: &Arc<KafkaConsumer>,
        reading: &Arc<Reading>,
        change: Change,
    ) -> Result<Event<Partition, PartitionSource>, MemberError> {
        let source = |(partition, generation): (Partition, u64)| {
            let source = PartitionSource::new(
                Arc::clone(consumer),
                partition.clone(),
                generation,
                Arc::clone(reading),
            );
            (partition, source)
        };
        Ok(match change {
            Change::Assigned(owned) => Event::Assigned(owned.into_iter().map(source).collect()),
            Change::Revoked(partitions) => Event::Revoked(partitions),
            Change::Lost(partitions) => Event::Lost(partitions),
            Change::Failed(error) => return Err(MemberError::Assignment(error)),
        })
    }
}

impl Partitions for Member {
    type Partition = Partition;
    type Source = PartitionSource;
    type Error = MemberError;

    async fn next(&mut self) -> Result<Option<Event<Partition, PartitionSource>>, MemberError> {
        let Some(consumer) = &self.consumer else {
            return Ok(None);
        };
        let owner = Arc::clone(consumer.client().context());
        loop {
            tokio::select! {
                biased;
                Some(change) = self.changes.recv() => {
                    return Self::event(consumer, &self.reading, change).map(Some);
                }
                // The callbacks run in here. The rows are in the queues of the partitions.
                polled = consumer.recv() => match polled {
                    // From before the queue of its partition was split off: the seek brings it again.
                    Ok(message) => {
                        let (topic, offset) = (message.topic(), message.offset());
                        warn!(topic, partition = message.partition(), offset, "a record arrived in the main queue");
                    }
                    Err(error @ KafkaError::MessageConsumptionFatal(_)) => {
                        return Err(MemberError::Fatal(error));
                    }
                    Err(error) => owner.connection_failed(&error, "the main queue"),
                },
                _ = self.commits.tick() => match owner.take_positions() {
                    Ok(positions) if positions.count() > 0 => {
                        Owner::commit(consumer.as_ref(), &positions, CommitMode::Async);
                    }
                    Ok(_) => {}
                    Err(error) => warn!(%error, "the offsets of the group cannot be listed"),
                },
            }
        }
    }

    async fn leave(&mut self) -> Result<(), MemberError> {
        let Some(consumer) = self.consumer.take() else {
            return Ok(());
        };
        let leave = spawn_blocking(move || {
            let owner = Arc::clone(consumer.client().context());
            if let Ok(positions) = owner.take_positions()
                && positions.count() > 0
            {
                Owner::commit(consumer.as_ref(), &positions, CommitMode::Sync);
            }
            consumer.unsubscribe();
            // Waits until the group was left.
            drop(consumer);
        });
        if timeout(LEAVE_TIMEOUT, leave).await.is_err() {
            warn!("the brokers did not answer the departure from the group in time");
        }
        Ok(())
    }

    fn is_fatal(&self, error: &MemberError) -> bool {
        matches!(error, MemberError::Fatal(_) | MemberError::Assignment(_))
    }
}
