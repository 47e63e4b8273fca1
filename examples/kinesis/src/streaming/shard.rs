//! One shard as a source of rows.

use std::sync::Arc;

use snowpipe_streaming::ingest::{Batch, Rejected, Source};
use tracing::warn;

use super::partition::Partition;
use crate::cli::OnGap;
use crate::cursor::Cursor;
use crate::letters::{DeadLetter, Kept};
use crate::lines::Lines;
use crate::sensor::{Measurement, Row};
use crate::sequence::Sequence;
use crate::stream::{Gap, Stream, StreamError};

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
    #[error("{0}: {1}")]
    Gap(Partition, Gap),
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
        let looked = self.stream.has(&self.partition.shard, committed).await;
        if let Err(gap) = looked.map_err(|error| self.failed(error))? {
            match self.reading.on_gap {
                OnGap::Stop => return Err(ShardError::Gap(self.partition.clone(), gap)),
                OnGap::Continue => warn!(partition = %self.partition, "{gap}"),
            }
        }
        self.is_checked = true;
        Ok(())
    }

    fn is_fatal(&self, error: &ShardError) -> bool {
        match error {
            ShardError::Stream(_, error) => error.is_fatal(),
            ShardError::Gap(..) => true,
            ShardError::Letters(_) => false,
        }
    }
}
