//! The partitions that this member owns, and librdkafka's callbacks that change them.
//!
//! A callback runs inside the poll of the main queue and returns at once: it tells librdkafka about the assignment, pauses what is
//! new, and passes the change on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc;
use tracing::{debug, error, info, warn};

use crate::status::Status;

/// Errors of the connection are logged at most this often. While brokers are away, there are several a second.
const ERROR_EVERY: Duration = Duration::from_secs(10);

/// A partition of a topic. Topics cannot contain colons, so the text is unambiguous.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Partition {
    pub(crate) topic: Arc<str>,
    pub(crate) number: i32,
}

impl Partition {
    pub(crate) fn new(topic: &str, number: i32) -> Self {
        Self {
            topic: topic.into(),
            number,
        }
    }

    /// A list of this partition alone, for librdkafka.
    pub(crate) fn list(&self, offset: Offset) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, self.number, offset)?;
        Ok(list)
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.topic, self.number)
    }
}

impl From<&TopicPartitionListElem<'_>> for Partition {
    fn from(element: &TopicPartitionListElem<'_>) -> Self {
        Self::new(element.topic(), element.partition())
    }
}

/// A change of the assignment.
#[derive(Debug)]
pub(crate) enum Change {
    /// These partitions are owned from now on, each with the number of its assignment.
    Assigned(Vec<(Partition, u64)>),
    Revoked(Vec<Partition>),
    Lost(Vec<Partition>),
    /// librdkafka could not carry out an assignment.
    Failed(KafkaError),
}

/// What the group stores for a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    /// The next offset to read.
    pub(crate) next: i64,
    /// How many rejects of the channel were kept as dead letters by then. Stored as metadata of the offset. `None` if another
    /// program has committed the offset.
    pub(crate) rejects_kept: Option<u64>,
}

/// Introduces the number of rejects in the metadata of an offset.
const REJECTS: &str = "rejects=";

impl Stored {
    fn metadata(self) -> String {
        self.rejects_kept
            .map_or_else(String::new, |kept| format!("{REJECTS}{kept}"))
    }

    /// What a committed offset says. `None` if there is none.
    pub(crate) fn of(element: &TopicPartitionListElem<'_>) -> Option<Self> {
        let Offset::Offset(next) = element.offset() else {
            return None;
        };
        let kept = element.metadata().strip_prefix(REJECTS);
        Some(Self {
            next,
            rejects_kept: kept.and_then(|kept| kept.parse().ok()),
        })
    }
}

/// What the callbacks, the sources of partitions and the member share.
pub(crate) struct Owner {
    assignment: Mutex<Assignment>,
    changes: mpsc::UnboundedSender<Change>,
    /// What is to be committed to the group.
    positions: Mutex<BTreeMap<Partition, Stored>>,
    last_error: Mutex<Option<Instant>>,
    status: Arc<Status>,
}

/// The owned partitions with the numbers of their assignments.
#[derive(Default)]
pub(crate) struct Assignment {
    owned: BTreeMap<Partition, u64>,
    last: u64,
}

impl Assignment {
    /// Whether the partition still is assigned as it was under this number.
    pub(crate) fn has(&self, partition: &Partition, generation: u64) -> bool {
        self.owned.get(partition) == Some(&generation)
    }

    fn add(&mut self, partition: Partition) -> (Partition, u64) {
        self.last += 1;
        self.owned.insert(partition.clone(), self.last);
        (partition, self.last)
    }
}

impl Owner {
    pub(crate) fn new(status: Arc<Status>) -> (Self, mpsc::UnboundedReceiver<Change>) {
        let (changes, receiver) = mpsc::unbounded_channel();
        let owner = Self {
            assignment: Mutex::default(),
            changes,
            positions: Mutex::default(),
            last_error: Mutex::default(),
            status,
        };
        (owner, receiver)
    }

    /// The assignment. Callbacks wait while the guard is held, so nothing is revoked meanwhile.
    pub(crate) fn assignment(&self) -> MutexGuard<'_, Assignment> {
        locked(&self.assignment)
    }

    pub(crate) fn owns(&self, partition: &Partition, generation: u64) -> bool {
        self.assignment().has(partition, generation)
    }

    /// Notes how far a partition has come. Lag monitors and its next owner see it after the next commit to the group.
    pub(crate) fn reached(&self, partition: &Partition, stored: Stored) {
        locked(&self.positions).insert(partition.clone(), stored);
    }

    /// The offsets to commit to the group, of the owned partitions that have moved since the last call.
    pub(crate) fn take_positions(&self) -> KafkaResult<TopicPartitionList> {
        let positions = std::mem::take(&mut *locked(&self.positions));
        let assignment = self.assignment();
        let mut list = TopicPartitionList::new();
        for (partition, stored) in positions {
            if assignment.owned.contains_key(&partition) {
                let mut element = list.add_partition(&partition.topic, partition.number);
                element.set_offset(Offset::Offset(stored.next))?;
                element.set_metadata(stored.metadata());
            }
        }
        Ok(list)
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, list: &mut TopicPartitionList) {
        let mut assignment = self.assignment();
        // A placeholder: without an offset the partition would fail before the seek to the committed token.
        let done = list
            .set_all_offsets(Offset::Offset(0))
            .and_then(|()| consumer.incremental_assign(list))
            // Nothing is fetched until the channel is open.
            .and_then(|()| consumer.pause(list));
        let owned = list
            .elements()
            .iter()
            .map(Partition::from)
            .collect::<Vec<_>>();
        let owned = owned.into_iter().map(|p| assignment.add(p)).collect();
        drop(assignment);
        self.publish(Change::Assigned(owned));
        if let Err(error) = done {
            self.publish(Change::Failed(error));
        }
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let is_lost = consumer.assignment_lost();
        if !is_lost
            && let Ok(positions) = self.take_positions()
            && positions.count() > 0
        {
            Self::commit(consumer, &positions, CommitMode::Async);
        }
        let gone: Vec<_> = list.elements().iter().map(Partition::from).collect();
        let mut assignment = self.assignment();
        for partition in &gone {
            assignment.owned.remove(partition);
        }
        let done = consumer.incremental_unassign(list);
        drop(assignment);
        self.publish(if is_lost {
            Change::Lost(gone)
        } else {
            Change::Revoked(gone)
        });
        if let Err(error) = done {
            self.publish(Change::Failed(error));
        }
    }

    /// Commits offsets to the group, for lag monitors only. A failure loses nothing.
    pub(crate) fn commit<C: Consumer<Self>>(
        consumer: &C,
        positions: &TopicPartitionList,
        mode: CommitMode,
    ) {
        if let Err(error) = consumer.commit(positions, mode) {
            debug!(%error, "the offsets of the group were not committed");
        }
    }

    fn publish(&self, change: Change) {
        // Without a receiver the member is ending.
        let _ = self.changes.send(change);
    }

    /// Logs an error of the connection, unless one was logged a moment ago.
    pub(crate) fn connection_failed(&self, error: &KafkaError, reason: &str) {
        let now = Instant::now();
        let mut last = locked(&self.last_error);
        if last.is_none_or(|last| now - last >= ERROR_EVERY) {
            *last = Some(now);
            drop(last);
            let remedy = remedy(error);
            warn!(%error, reason, remedy, "the brokers cannot be used; librdkafka tries again");
        } else {
            debug!(%error, reason, "the brokers still cannot be used");
        }
    }
}

impl ClientContext for Owner {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                error!(facility, message, "librdkafka");
            }
            // Each is an error of the connection as well, which is logged at a limited rate.
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => {
                info!(facility, message, "librdkafka");
            }
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                debug!(facility, message, "librdkafka");
            }
        }
    }

    fn stats(&self, statistics: Statistics) {
        let assigned: BTreeSet<_> = self.assignment().owned.keys().cloned().collect();
        for (name, topic) in statistics.topics {
            for (number, partition) in topic.partitions {
                let key = Partition::new(&name, number);
                // Below zero: not known yet.
                if partition.hi_offset >= 0 && assigned.contains(&key) {
                    self.status.ends_at(&key, partition.hi_offset);
                }
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The queue of the partition reports the end of a log as well.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            self.connection_failed(&error, reason);
        }
    }
}

impl ConsumerContext for Owner {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        error: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        if error == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.assign(consumer, list);
        } else {
            self.revoke(consumer, list);
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            debug!(%error, "the brokers refused the offsets of the group");
        }
    }
}

/// What a person can do about an error of the brokers.
fn remedy(error: &KafkaError) -> &'static str {
    use RDKafkaErrorCode::{
        Authentication, GroupAuthorizationFailed, SaslAuthenticationFailed,
        TopicAuthorizationFailed, UnknownTopic, UnknownTopicOrPartition,
    };
    match error.rdkafka_error_code() {
        Some(UnknownTopic | UnknownTopicOrPartition) => "create the topic, or correct --topic",
        Some(TopicAuthorizationFailed) => "grant READ and DESCRIBE on the topic",
        Some(GroupAuthorizationFailed) => "grant READ on the group",
        Some(Authentication | SaslAuthenticationFailed) => "correct the credentials",
        _ => "check the brokers and the network",
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
