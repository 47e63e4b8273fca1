//! One shard as a source of rows.

use std::sync::Arc;

use snowpipe_streaming::ingest::{Batch, Rejected, Source};
use tokio::time::sleep;
use tracing::warn;

use super::partition::Partition;
use crate::cli::OnGap;
use crate::cursor::Cursor;
use crate::letters::{DeadLetter, Kept};
use crate::lines::Lines;
use crate::sensor::{Measurement, Row};
use crate::sequence::Sequence;
use crate::stream::{Position, Stream, StreamError};

/// How often the oldest record is asked for. Kinesis may answer without records where there are some.
const LOOKS: usize = 5;

/// How records are read.
pub(super) struct Reading {
    pub(super) letters: Lines,
    pub(super) on_gap: OnGap,
}

pub(crate) struct ShardSource {
    stream: Stream,
    partition: Partition,
    cursor: Cursor,
    reading: Arc<Reading>,
    kept: Kept,
    /// The begin was compared with what the shard still has.
    is_checked: bool,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ShardError {
    #[error("{0}: {1}")]
    Stream(Partition, StreamError),
    #[error(
        "{partition}: the record {committed}, which is committed, is not in the shard any more; its oldest one is {oldest}, and \
         records between them may have been deleted by the retention of the stream before they were read; start with --on-gap \
         continue to continue with the oldest one"
    )]
    Gap {
        partition: Partition,
        committed: Sequence,
        oldest: Sequence,
    },
    #[error("cannot keep the dead letters: {0:#}")]
    Letters(anyhow::Error),
}

impl ShardSource {
    pub(super) fn new(
        stream: Stream,
        partition: Partition,
        cursor: Cursor,
        reading: Arc<Reading>,
    ) -> Self {
        Self {
            stream,
            partition,
            cursor,
            reading,
            kept: Kept::default(),
            is_checked: false,
        }
    }

    fn failed(&self, error: StreamError) -> ShardError {
        ShardError::Stream(self.partition.clone(), error)
    }

    /// The first record that the shard still has, if it has one.
    async fn oldest(&self) -> Result<Option<Sequence>, StreamError> {
        let shard = &self.partition.shard;
        let mut next = Some(self.stream.iterator(shard, Position::Horizon).await?);
        for _ in 0..LOOKS {
            let Some(iterator) = next else {
                break;
            };
            let records = self.stream.records(&iterator, 1).await?;
            if let Some(record) = records.records.into_iter().next() {
                return Ok(Some(record.sequence));
            }
            next = records.next;
            // The limit is five answers a second.
            sleep(std::time::Duration::from_millis(200)).await;
        }
        Ok(None)
    }
}

impl Source for ShardSource {
    type Offset = Sequence;
    type Row = Row;
    type Error = ShardError;

    async fn read_after(
        &mut self,
        after: Option<&Sequence>,
        max: usize,
    ) -> Result<Batch<Sequence, Row>, ShardError> {
        self.cursor.seek(after);
        let read = self.cursor.read(max).await;
        let records = read.map_err(|error| self.failed(error))?;
        let through = records.last().map(|record| record.sequence.clone());
        let mut rows = Vec::with_capacity(records.len());
        let mut malformed = Vec::new();
        for record in records {
            match Measurement::decode(&record.data) {
                Ok(measurement) => rows.push((record.sequence, measurement.into())),
                Err(reason) if self.kept.is_new(&record.sequence) => {
                    warn!(partition = %self.partition, sequence = %record.sequence, reason, "a malformed record");
                    malformed.push(DeadLetter::malformed(
                        &self.partition.shard,
                        &record,
                        reason,
                    ));
                }
                Err(_) => {}
            }
        }
        if !malformed.is_empty()
            && let Err(error) = self.reading.letters.append(malformed).await
        {
            // The records are read again.
            self.cursor.seek(None);
            self.cursor.seek(after);
            return Err(ShardError::Letters(error));
        }
        if let Some(through) = &through {
            self.kept.through(through.clone());
        }
        let mut batch = Batch::new(rows);
        batch.through = through;
        batch.is_end = self.cursor.is_at_end();
        Ok(batch)
    }

    async fn ready(&mut self) -> Result<(), ShardError> {
        self.cursor.ready().await;
        Ok(())
    }

    async fn dead_letter(
        &mut self,
        rejected: &Rejected<Sequence>,
        rows: Vec<(Sequence, Row)>,
    ) -> Result<(), ShardError> {
        let reason = format!(
            "the table rejected {} of the rows after {} and through {}: {}",
            rejected.count,
            rejected
                .after
                .as_ref()
                .map_or("the beginning", Sequence::as_str),
            rejected.through,
            rejected.message.as_deref().unwrap_or("no message"),
        );
        warn!(partition = %self.partition, reason, "rows are not in the table");
        let letter = |(sequence, row): (Sequence, Row)| {
            DeadLetter::rejected(
                &self.partition.shard,
                sequence.to_string(),
                reason.clone(),
                row,
            )
        };
        let rows = rows.into_iter().map(letter).collect();
        self.reading
            .letters
            .append(rows)
            .await
            .map_err(ShardError::Letters)
    }

    async fn check(&mut self, _: &str, committed: Option<&Sequence>) -> Result<(), ShardError> {
        let Some(committed) = committed.filter(|_| !self.is_checked) else {
            self.is_checked = true;
            return Ok(());
        };
        let oldest = self.oldest().await.map_err(|error| self.failed(error))?;
        if let Some(oldest) = oldest.filter(|oldest| oldest > committed) {
            let gap = ShardError::Gap {
                partition: self.partition.clone(),
                committed: committed.clone(),
                oldest,
            };
            match self.reading.on_gap {
                OnGap::Stop => return Err(gap),
                OnGap::Continue => warn!("{gap}"),
            }
        }
        self.is_checked = true;
        Ok(())
    }

    fn is_fatal(&self, error: &ShardError) -> bool {
        match error {
            ShardError::Stream(_, error) => error.is_fatal(),
            ShardError::Gap { .. } => true,
            ShardError::Letters(_) => false,
        }
    }
}
