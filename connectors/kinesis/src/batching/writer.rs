//! Writes the records of one shard to objects, in batches.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use snowpipe_connector_support::lines::Lines;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::checkpoint::{Batch, Checkpoint, Decided};
use crate::bucket::{Bucket, Changed};
use crate::cli::OnGap;
use crate::csv;
use crate::cursor::Cursor;
use crate::letters::{DeadLetter, Kept};
use crate::sensor::Measurement;
use crate::sequence::Sequence;
use crate::stopping;
use crate::stream::Record;

/// The most records of an object: the seed's batch size.
const BATCH: usize = 100;
/// The most batches that are decided at once.
const BATCHES: usize = 10;
/// How many records are read at once.
const READ: usize = 5_000;
/// How often the records of a batch that is written again are asked for in vain, before they are taken for lost.
const EMPTY_READS: usize = 50;
const FOLDER: &str = "kinesiscsv";

pub(super) struct Writer {
    pub(super) on_gap: OnGap,
    pub(super) cursor: Cursor,
    pub(super) bucket: Bucket,
    /// `stream@created`, which names the checkpoints.
    pub(super) stream: String,
    pub(super) shard: String,
    pub(super) letters: Lines,
    /// How long a batch waits for more records.
    pub(super) window: Duration,
    pub(super) kept: Kept,
    /// How many objects were written.
    pub(super) objects: u64,
}

/// The records of batches that were decided and not written are gone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{shard}: an object of the last {count} records up to {} is missing, and the stream does not have them any more; if the object was \
     loaded and deleted, or the records can be done without, start with --on-gap continue",
    through.as_ref().map_or("none", Sequence::as_str)
)]
pub(super) struct Lost {
    shard: String,
    through: Option<Sequence>,
    count: usize,
}

/// How a shard ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// It is closed, and all of its records are in objects.
    Done,
    /// The program was asked to stop.
    Stopped,
}

/// The records that were read and are in no object yet.
#[derive(Default)]
struct Pending {
    records: VecDeque<Record>,
    /// When the first of them was read.
    since: Option<Instant>,
}

/// An object that is not written yet.
struct Encoded {
    batch: Batch,
    csv: Bytes,
}

impl Writer {
    /// Writes until the shard ends or the program is asked to stop. After an error, call it again: it continues with the
    /// checkpoint.
    pub(super) async fn run(&mut self, stop: &mut watch::Receiver<bool>) -> Result<Ended> {
        let mut checkpoint = self.resume().await?;
        let mut pending = Pending::default();
        loop {
            if checkpoint.decided.is_done {
                return Ok(Ended::Done);
            }
            let is_stopped = *stop.borrow();
            let is_last = self.cursor.is_at_end()
                || is_stopped
                || pending
                    .since
                    .is_some_and(|since| since.elapsed() >= self.window);
            let batches = pending.next_batches(is_last);
            if !batches.is_empty() || self.cursor.is_at_end() {
                if self.write(&mut checkpoint, &batches).await? == Err(Changed) {
                    info!(
                        shard = self.shard,
                        "another program writes this shard as well"
                    );
                    checkpoint = self.resume().await?;
                    pending = Pending::default();
                }
                continue;
            }
            if is_stopped {
                return Ok(Ended::Stopped);
            }
            let deadline = pending.since.map(|since| since + self.window);
            tokio::select! {
                biased;
                () = stopping::requested(stop) => continue,
                () = self.cursor.ready() => {}
                () = until(deadline) => continue,
            }
            let records = self.cursor.read(READ).await?;
            if !records.is_empty() {
                pending.since.get_or_insert_with(Instant::now);
                pending.records.extend(records);
            }
        }
    }

    /// Loads the checkpoint, writes the batches that were decided last if one is missing, and places the cursor after them.
    async fn resume(&mut self) -> Result<Checkpoint> {
        let key = Checkpoint::key(&self.stream, &self.shard);
        let checkpoint = Checkpoint::load(self.bucket.clone(), key).await?;
        let decided = &checkpoint.decided;
        self.cursor.check(decided.through.as_ref()).await?;
        let missing = self.missing(&decided.batches).await?;
        if missing {
            info!(
                shard = self.shard,
                "writing batches that were decided and not written"
            );
        }
        let mut records = match self.read_again(decided, missing).await {
            Err(error) if self.on_gap == OnGap::Continue && error.is::<Lost>() => {
                warn!(shard = self.shard, "{error}");
                None
            }
            records => records?,
        };
        if let Some(records) = &mut records {
            let mut encoded = Vec::with_capacity(decided.batches.len());
            for batch in &decided.batches {
                let rest = records.split_off(batch.records.min(records.len()));
                let again = self.encode(&std::mem::replace(records, rest)).await?;
                let (was, is) = (&batch.object, &again.batch.object);
                ensure!(was == is, "the batch of {was:?} has become {is:?}");
                encoded.push(again);
            }
            self.put(encoded).await?;
        }
        self.cursor.seek(decided.through.as_ref());
        Ok(checkpoint)
    }

    /// Whether one of the objects is not there.
    async fn missing(&self, batches: &[Batch]) -> Result<bool> {
        for object in batches.iter().filter_map(|batch| batch.object.as_ref()) {
            if self.bucket.get(object).await?.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The records of the batches that were decided last, if they are needed.
    async fn read_again(
        &mut self,
        decided: &Decided,
        are_needed: bool,
    ) -> Result<Option<Vec<Record>>> {
        if !are_needed {
            return Ok(None);
        }
        let count = decided.batches.iter().map(|batch| batch.records).sum();
        self.cursor.seek(decided.after.as_ref());
        let mut records: Vec<Record> = Vec::new();
        let mut empty = 0;
        while records.len() < count && empty < EMPTY_READS {
            self.cursor.ready().await;
            let read = self.cursor.read(count - records.len()).await?;
            empty += usize::from(read.is_empty());
            records.extend(read);
        }
        let last = records.last().map(|record| &record.sequence);
        if last != decided.through.as_ref() || records.len() != count {
            return Err(Lost {
                shard: self.shard.clone(),
                through: decided.through.clone(),
                count,
            }
            .into());
        }
        Ok(Some(records))
    }

    /// Decides on batches and writes them. Without batches, the shard is done.
    async fn write(
        &mut self,
        checkpoint: &mut Checkpoint,
        batches: &[Vec<Record>],
    ) -> Result<Result<(), Changed>> {
        let before = &checkpoint.decided;
        let Some(last) = batches.last().and_then(|batch| batch.last()) else {
            let done = Decided {
                is_done: true,
                ..before.clone()
            };
            return checkpoint.decide(done).await;
        };
        let mut encoded = Vec::with_capacity(batches.len());
        for batch in batches {
            encoded.push(self.encode(batch).await?);
        }
        let decided = Decided {
            after: before.through.clone(),
            through: Some(last.sequence.clone()),
            batches: encoded
                .iter()
                .map(|encoded| encoded.batch.clone())
                .collect(),
            is_done: false,
        };
        if let Err(changed) = checkpoint.decide(decided).await? {
            return Ok(Err(changed));
        }
        self.put(encoded).await?;
        Ok(Ok(()))
    }

    async fn put(&mut self, encoded: Vec<Encoded>) -> Result<()> {
        let mut puts = JoinSet::new();
        for Encoded { batch, csv } in encoded {
            if let Some(object) = batch.object {
                let bucket = self.bucket.clone();
                // An object that is there already has the same bytes, and keeps its tag.
                puts.spawn(async move { bucket.replace(&object, None, csv).await });
            }
        }
        while let Some(put) = puts.join_next().await {
            self.objects += u64::from(put??.is_ok());
        }
        Ok(())
    }

    /// The object of a batch. Malformed records become dead letters.
    async fn encode(&mut self, records: &[Record]) -> Result<Encoded> {
        let mut measurements = Vec::with_capacity(records.len());
        let mut malformed = Vec::new();
        for record in records {
            match Measurement::decode(&record.data) {
                Ok(measurement) => measurements.push(measurement),
                Err(reason) if self.kept.is_new(&record.sequence) => {
                    warn!(shard = self.shard, sequence = %record.sequence, reason, "a malformed record");
                    malformed.push(DeadLetter::malformed(
                        &format!("{}:{}", self.stream, self.shard),
                        record,
                        reason,
                    ));
                }
                Err(_) => {}
            }
        }
        if !malformed.is_empty() {
            let kept = self.letters.append(malformed).await;
            kept.context("cannot keep the dead letters")?;
        }
        let mut object = None;
        if let (Some(first), Some(last)) = (records.first(), records.last()) {
            self.kept.through(last.sequence.clone());
            object = measurements.last().map(|measurement| {
                let sensor = measurement.sensor_id;
                let sensor = sensor.map_or_else(|| "unknown".to_owned(), |id| id.to_string());
                let (stream, _) = self.stream.split_once('@').unwrap_or((&self.stream, ""));
                let (shard, first, last) = (&self.shard, &first.sequence, &last.sequence);
                format!("{FOLDER}/sensor-{sensor}/{stream}-{shard}-{first}-{last}.csv")
            });
        }
        Ok(Encoded {
            batch: Batch {
                records: records.len(),
                object,
            },
            csv: csv::write(&measurements).into(),
        })
    }
}

impl Pending {
    /// Takes the next batches: those that are full, and at the end also what is left.
    fn next_batches(&mut self, is_last: bool) -> Vec<Vec<Record>> {
        let mut batches = Vec::new();
        while batches.len() < BATCHES
            && (self.records.len() >= BATCH || is_last && !self.records.is_empty())
        {
            let count = self.records.len().min(BATCH);
            batches.push(self.records.drain(..count).collect());
        }
        if !batches.is_empty() {
            // What remains has waited for less than the records before it.
            self.since = (!self.records.is_empty()).then(Instant::now);
        }
        batches
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_new_window_begins_for_what_remains() {
        let record = |number: usize| Record {
            sequence: number.to_string().parse().unwrap(),
            data: Bytes::new(),
        };
        let long_ago = Instant::now() - Duration::from_mins(1);
        let mut pending = Pending {
            records: (1..=120).map(record).collect(),
            since: Some(long_ago),
        };
        assert_eq!(pending.next_batches(false).len(), 1);
        assert_eq!(pending.records.len(), 20);
        assert!(pending.since.is_some_and(|since| since > long_ago));
        let since = pending.since;
        assert!(pending.next_batches(false).is_empty());
        assert_eq!(pending.since, since);
        assert_eq!(pending.next_batches(true)[0].len(), 20);
        assert_eq!(pending.since, None);
    }
}
