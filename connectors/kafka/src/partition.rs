//! One assigned partition as a source of rows.
//!
//! The queue of the partition is placed by a seek: first after the committed token, and again whenever the run asks for other
//! rows than the next ones. Records below the wanted offset are dropped.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use rdkafka::Message;
use rdkafka::consumer::stream_consumer::StreamPartitionQueue;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, OwnedMessage};
use snowpipe_streaming::ingest::{Batch, Ownership, Rejected, Source};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::cli::{Rejects, Undecodable};
use crate::letters::DeadLetter;
use crate::log::Log;
use crate::member::KafkaConsumer;
use crate::owner::{Owner, Partition, Stored};
use crate::place::Misplaced;
use crate::reading::Reading;
use crate::row::{Decoded, Row};

/// How long a read waits for records that it has had before.
const KNOWN_RECORDS: Duration = Duration::from_secs(10);
/// A read ends with the record that exceeds this length.
const MAX_BYTES: usize = 4 << 20;

pub(crate) struct PartitionSource {
    log: Log,
    reading: Arc<Reading>,
    queue: Option<StreamPartitionQueue<Owner>>,
    /// Where this assignment began to read.
    start: Option<i64>,
    /// The first offset of the log.
    low: i64,
    /// How many rejects of the channel were kept, if that is known.
    rejects_kept: Option<u64>,
    /// The records from here on may have been rejected since.
    rejects_from: Option<i64>,
    /// The next offset of the queue. `None`: the queue has to be placed.
    position: Option<i64>,
    /// The offset after the last record that was ever read.
    highest: i64,
    /// The partition fetches nothing any more, and a seek does not help.
    is_dead: bool,
    /// A record that [`Source::ready`] has received.
    next: Option<OwnedMessage>,
    /// Everything up to here is in the table or was skipped.
    released: Option<i64>,
    /// An undecodable record that stops the partition, once everything before it is in the table.
    obstacle: Option<Obstacle>,
}

struct Obstacle {
    /// The position before it.
    next: i64,
    offset: i64,
    reason: String,
}

/// A failure of one partition.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PartitionError {
    #[error("{0} is no longer owned")]
    NotOwned(Partition),
    #[error("{0}: {1}")]
    Misplaced(Partition, Misplaced),
    #[error("{0} at offset {1}: {2}; see --undecodable")]
    Undecodable(Partition, i64, String),
    #[error(
        "{0}: {1}; keep such rows with --dead-letters or --dead-letter-topic, or skip them with --rejected skip"
    )]
    Rejected(Partition, String),
    /// See [`Obstacle`], which says more.
    #[error("an undecodable record")]
    Obstacle,
    #[error("{0}: the records after {1} did not arrive in time")]
    Late(Partition, i64),
    #[error("{0}: {1}")]
    Kafka(Partition, KafkaError),
    #[error("cannot keep the dead letters: {0:#}")]
    Letters(anyhow::Error),
    #[error("{0}: a call to librdkafka panicked")]
    Panicked(Partition),
}

/// The records of one read.
#[derive(Default)]
struct Records {
    rows: Vec<(i64, Row)>,
    /// The offset of the last record, whether it has a row or not.
    through: Option<i64>,
    /// How many there were, and their length in bytes.
    count: usize,
    bytes: usize,
    undecodable: Vec<DeadLetter>,
    tombstones: u64,
}

impl PartitionSource {
    pub(crate) fn new(
        consumer: Arc<KafkaConsumer>,
        partition: Partition,
        generation: u64,
        reading: Arc<Reading>,
    ) -> Self {
        Self {
            queue: None,
            log: Log {
                consumer,
                partition,
                generation,
            },
            reading,
            start: None,
            low: 0,
            rejects_kept: None,
            rejects_from: None,
            position: None,
            highest: 0,
            is_dead: false,
            next: None,
            released: None,
            obstacle: None,
        }
    }

    fn partition(&self) -> &Partition {
        &self.log.partition
    }

    /// Finds out where to read, from the wanted offset on.
    async fn locate(&mut self, wanted: Option<i64>) -> Result<i64, PartitionError> {
        let (place, log) = self.log.locate(wanted, self.reading.on_gap).await?;
        let partition = self.partition();
        self.reading.status.update(partition, |status| {
            status.end = Some(log.high);
            status.missing += place.missing.unsigned_abs();
        });
        if place.missing > 0 {
            let (missing, next) = (place.missing, place.next);
            warn!(%partition, missing, next, "records were deleted before they were read; continuing without them");
            self.start = Some(next);
        }
        self.low = log.low;
        Ok(place.next)
    }

    /// Places the queue, so that its next record is `next` or the first one after it.
    async fn seek(&mut self, next: i64) -> Result<(), PartitionError> {
        self.position = None;
        self.next = None;
        let mut next = next;
        if self.is_dead {
            // Why it is dead: the offset may be gone.
            next = self.locate(Some(next)).await?;
        } else {
            match self.log.seek(next).await {
                Ok(()) => {}
                Err(PartitionError::Kafka(partition, error)) => {
                    info!(%partition, %error, next, "the seek failed; assigning the partition again");
                    self.is_dead = true;
                }
                Err(error) => return Err(error),
            }
        }
        if self.is_dead {
            self.queue = None;
            self.queue = Some(self.log.revive(next).await?);
            self.is_dead = false;
        }
        self.position = Some(next);
        Ok(())
    }

    /// Takes what has arrived, at most `max` records. An error is returned if nothing has arrived before it.
    fn take(&mut self, max: usize) -> Result<Records, PartitionError> {
        let mut records = Records::default();
        if let Some(record) = self.next.take() {
            self.add(&mut records, &record)?;
        }
        let Some(queue) = self.queue.take() else {
            return Ok(records);
        };
        let mut stream = queue.stream();
        let mut outcome = Ok(());
        while records.count < max && records.bytes < MAX_BYTES && outcome.is_ok() {
            outcome = match stream.next().now_or_never().flatten() {
                Some(Ok(record)) => self.add(&mut records, &record),
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    self.highest = self.position.unwrap_or(self.highest);
                    break;
                }
                Some(Err(error)) => Err(self.failed(error)),
                None => break,
            };
        }
        drop(stream);
        self.queue = Some(queue);
        if outcome.is_err() {
            // The next read begins with what could not be read.
            self.position = None;
        }
        match outcome {
            Err(error) if records.through.is_none() => Err(error),
            _ => Ok(records),
        }
    }

    fn add(&mut self, records: &mut Records, record: &impl Message) -> Result<(), PartitionError> {
        let offset = record.offset();
        if self.position.is_none_or(|position| offset < position) {
            return Ok(());
        }
        match self.reading.layout.decode(record) {
            Decoded::Row(row) => records.rows.push((offset, row)),
            Decoded::Skipped => records.tombstones += 1,
            Decoded::Undecodable(reason) => {
                if self.reading.undecodable == Undecodable::Stop {
                    self.obstacle = Some(Obstacle {
                        next: self.position.unwrap_or(offset),
                        offset,
                        reason,
                    });
                    return Err(PartitionError::Obstacle);
                }
                let letter = DeadLetter::undecodable(record, reason);
                records.undecodable.push(letter);
            }
        }
        records.count += 1;
        records.bytes += record.payload().map_or(0, <[u8]>::len);
        records.through = Some(offset);
        self.position = Some(offset + 1);
        self.highest = self.highest.max(offset + 1);
        Ok(())
    }

    /// The lowest offset that a read may ask for.
    fn lowest(&self) -> i64 {
        let start = self.start.unwrap_or(0);
        self.rejects_from.unwrap_or(start).min(start).max(self.low)
    }

    /// An error that came out of the queue.
    fn failed(&mut self, error: KafkaError) -> PartitionError {
        use RDKafkaErrorCode::{AutoOffsetReset, NoOffset, OffsetOutOfRange};
        self.position = None;
        self.is_dead |= matches!(
            error.rdkafka_error_code(),
            Some(AutoOffsetReset | NoOffset | OffsetOutOfRange)
        );
        PartitionError::Kafka(self.partition().clone(), error)
    }

    /// Whether rows before an obstacle are not yet known to be in the table.
    fn is_pending_before(&self, obstacle: &Obstacle) -> bool {
        let begin = self.start.map(|start| start - 1);
        self.released.max(begin) < Some(obstacle.next - 1)
    }

    /// The end of the partition, if everything before the obstacle is in the table.
    fn stopped_by(&mut self, obstacle: Obstacle) -> Result<Batch<i64, Row>, PartitionError> {
        if self.is_pending_before(&obstacle) {
            self.obstacle = Some(obstacle);
            return Ok(Batch::idle());
        }
        let partition = self.partition().clone();
        let Obstacle { offset, reason, .. } = obstacle;
        Err(PartitionError::Undecodable(partition, offset, reason))
    }

    /// Counts the undecodable records and keeps them as dead letters.
    async fn keep(&mut self, undecodable: Vec<DeadLetter>) -> Result<(), PartitionError> {
        let count = undecodable.len() as u64;
        let Some(last) = undecodable.last() else {
            return Ok(());
        };
        let (offset, reason) = (last.offset, last.reason.clone());
        let partition = self.partition().clone();
        if self.reading.undecodable == Undecodable::DeadLetter
            && let Some(letters) = &self.reading.letters
            && let Err(error) = letters.keep(undecodable).await
        {
            self.position = None;
            return Err(PartitionError::Letters(error));
        }
        warn!(%partition, offset, reason, count, "records cannot be decoded and are not in the table");
        let add = |status: &mut crate::status::PartitionStatus| status.undecodable += count;
        self.reading.status.update(&partition, add);
        Ok(())
    }

    /// Waits for the next record of the queue.
    async fn receive(&mut self) -> Result<(), PartitionError> {
        let Some(queue) = &self.queue else {
            return Ok(());
        };
        match queue.recv().await.as_ref().map(BorrowedMessage::detach) {
            Ok(record) => self.next = Some(record),
            Err(KafkaError::PartitionEOF(_)) => {
                self.highest = self.position.unwrap_or(self.highest);
            }
            Err(error) => {
                let error = error.clone();
                return Err(self.failed(error));
            }
        }
        Ok(())
    }
}

impl Source for PartitionSource {
    type Offset = i64;
    type Row = Row;
    type Error = PartitionError;

    async fn read_after(
        &mut self,
        after: Option<&i64>,
        max: usize,
    ) -> Result<Batch<i64, Row>, PartitionError> {
        let start = self.start.unwrap_or(0);
        let next = after.map_or(start, |after| after.saturating_add(1));
        let next = next.max(self.lowest());
        if let Some(obstacle) = self.obstacle.take_if(|obstacle| obstacle.next == next) {
            return self.stopped_by(obstacle);
        }
        if self.position != Some(next) {
            // The record is read again, if it still is there.
            self.obstacle = None;
            self.seek(next).await?;
        }
        // Rows that it has returned before have to be returned again.
        while self.next.is_none() && self.position.is_some_and(|at| at < self.highest) {
            let Ok(received) = timeout(KNOWN_RECORDS, self.receive()).await else {
                self.position = None;
                return Err(PartitionError::Late(self.partition().clone(), next));
            };
            received?;
            // What was in the queue before the seek.
            let position = self.position;
            self.next = self.next.take().filter(|r| Some(r.offset()) >= position);
        }
        let records = match self.take(max) {
            Err(PartitionError::Obstacle) => return Ok(Batch::idle()),
            records => records?,
        };
        self.keep(records.undecodable).await?;
        if records.tombstones > 0 {
            self.reading.status.update(&self.log.partition, |status| {
                status.skipped_tombstones += records.tombstones;
            });
        }
        let mut batch = Batch::new(records.rows);
        batch.through = records.through;
        Ok(batch)
    }

    async fn ready(&mut self) -> Result<(), PartitionError> {
        if self
            .obstacle
            .as_ref()
            .is_some_and(|o| self.is_pending_before(o))
        {
            // Called again after the next commit.
            std::future::pending().await
        } else if self.next.is_some() || self.position.is_none() {
            Ok(())
        } else {
            self.receive().await
        }
    }

    async fn release_through(&mut self, through: &i64) -> Result<(), PartitionError> {
        let owner = self.log.owner();
        let stored = Stored {
            next: through.saturating_add(1),
            rejects_kept: self.rejects_kept,
        };
        owner.reached(self.partition(), stored);
        self.released = Some(*through);
        Ok(())
    }

    async fn released(&mut self) -> Result<Option<i64>, PartitionError> {
        let stored = self.log.stored().await?;
        // An offset of another program says nothing about rejects.
        let own = stored.filter(|stored| stored.rejects_kept.is_some());
        self.rejects_kept = own.and_then(|own| own.rejects_kept);
        self.rejects_from = own.map(|own| own.next);
        Ok(own.map(|own| own.next - 1))
    }

    async fn rejects_seen(&mut self, _: &str) -> Result<Option<u64>, PartitionError> {
        Ok(self.rejects_kept)
    }

    async fn dead_letter(
        &mut self,
        rejected: &Rejected<i64>,
        rows: Vec<(i64, Row)>,
    ) -> Result<(), PartitionError> {
        let partition = self.partition().clone();
        let reason = format!(
            "the table rejected {} of the rows after {} and through {}: {}",
            rejected.count,
            rejected.after.unwrap_or(-1),
            rejected.through,
            rejected.message.as_deref().unwrap_or("no message"),
        );
        let total = rejected.total;
        let letters = match (self.reading.rejected, &self.reading.letters) {
            (Rejects::DeadLetter, Some(letters)) => letters,
            (Rejects::Skip, _) => {
                warn!(%partition, reason, "rows are not in the table, and are skipped");
                self.rejects_kept = Some(total);
                return Ok(());
            }
            // The count of kept rejects stays behind, so the next owner stops here as well.
            _ => return Err(PartitionError::Rejected(partition, reason)),
        };
        warn!(%partition, reason, "rows are not in the table, and are kept as dead letters");
        let letter = |(offset, row): (i64, Row)| DeadLetter {
            topic: partition.topic.to_string(),
            partition: partition.number,
            offset,
            reason: reason.clone(),
            timestamp: None,
            key: None,
            value: None,
            row: Some(row.0),
        };
        let rows = rows.into_iter().map(letter).collect();
        letters.keep(rows).await.map_err(PartitionError::Letters)?;
        self.rejects_kept = Some(total);
        Ok(())
    }

    async fn check(&mut self, _: &str, committed: Option<&i64>) -> Result<(), PartitionError> {
        let wanted = match (committed, self.start) {
            (Some(committed), _) => Some(committed.saturating_add(1)),
            // Nothing was committed since this assignment began.
            (None, Some(start)) => Some(start),
            (None, None) => self.log.start(self.reading.start).await?,
        };
        let next = self.locate(wanted).await?;
        if self.queue.is_none() {
            // Not before: until then the source of the last assignment may have the queue.
            let Partition { topic, number } = self.partition().clone();
            self.queue = self.log.consumer.split_partition_queue(&topic, number);
            self.is_dead |= self.queue.is_none();
        }
        self.start.get_or_insert(next);
        if committed.is_none() {
            // The channel is new. Its next owner learns that no reject was kept, even if nothing is released before.
            let rejects_kept = Some(*self.rejects_kept.get_or_insert(0));
            let stored = Stored { next, rejects_kept };
            self.log.owner().reached(self.partition(), stored);
        }
        // The records up to the committed one are there, and may be read again for the dead letters.
        self.highest = self.highest.max(next);
        Ok(())
    }

    async fn ownership(&mut self, _: &str) -> Result<Ownership, PartitionError> {
        if self.log.is_owned() {
            // Within this time a member that was suspended receives its revocation.
            sleep(self.reading.heartbeat.mul_f64(1.0 + fastrand::f64() / 2.0)).await;
        }
        Ok(if self.log.is_still_assigned().await? {
            Ownership::Owned
        } else {
            Ownership::NotOwned
        })
    }

    fn is_fatal(&self, error: &PartitionError) -> bool {
        matches!(
            error,
            PartitionError::Misplaced(..)
                | PartitionError::Undecodable(..)
                | PartitionError::Rejected(..)
        )
    }
}
