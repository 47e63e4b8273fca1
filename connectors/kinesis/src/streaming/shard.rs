//! One shard as a source of rows.

use snowpipe_connector_support::lines::Lines;
use snowpipe_streaming::ingest::{Batch, Rejected, Source};
use tracing::warn;

use super::partition::Partition;
use crate::cursor::Cursor;
use crate::letters::{DeadLetter, Kept};
use crate::sensor::{Measurement, Row};
use crate::sequence::Sequence;
use crate::stream::StreamError;

pub(crate) struct ShardSource {
    partition: Partition,
    cursor: Cursor,
    letters: Lines,
    kept: Kept,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ShardError {
    #[error("{0}: {1}")]
    Stream(Partition, StreamError),
    #[error("cannot keep the dead letters: {0:#}")]
    Letters(anyhow::Error),
}

impl ShardSource {
    pub(super) fn new(partition: Partition, cursor: Cursor, letters: Lines) -> Self {
        Self {
            partition,
            cursor,
            letters,
            kept: Kept::default(),
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
                        &self.partition.to_string(),
                        &record,
                        reason,
                    ));
                }
                Err(_) => {}
            }
        }
        if !malformed.is_empty()
            && let Err(error) = self.letters.append(malformed).await
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
                &self.partition.to_string(),
                sequence.to_string(),
                reason.clone(),
                row,
            )
        };
        let rows = rows.into_iter().map(letter).collect();
        self.letters.append(rows).await.map_err(ShardError::Letters)
    }

    async fn check(&mut self, _: &str, committed: Option<&Sequence>) -> Result<(), ShardError> {
        let checked = self.cursor.check(committed).await;
        checked.map_err(|error| self.failed(error))
    }

    fn is_fatal(&self, error: &ShardError) -> bool {
        match error {
            ShardError::Stream(_, error) => error.is_fatal(),
            ShardError::Letters(_) => false,
        }
    }
}
