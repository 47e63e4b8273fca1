//! Reads one shard from a position on, as fast as Kinesis allows.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::warn;

use crate::cli::OnGap;
use crate::sequence::Sequence;
use crate::stream::{Position, Record, Stream, StreamError};

/// A shard answers five calls of `GetRecords` a second, those of all programs together.
const CALLS_PER_SECOND: u32 = 5;
const SECOND: Duration = Duration::from_secs(1);
/// A shard returns 2 MB a second.
const BYTES_PER_SECOND: f64 = 2e6;
/// The most records of an answer.
const MAX_RECORDS: usize = 10_000;

#[derive(Debug)]
pub(crate) struct Cursor {
    stream: Stream,
    shard: String,
    /// How many programs read the shard.
    readers: u32,
    /// `None`: it has to be placed.
    iterator: Option<String>,
    /// The last record that was read.
    after: Option<Sequence>,
    is_at_end: bool,
    on_gap: OnGap,
    /// The begin was compared with what the shard still has.
    is_checked: bool,
    /// No call before that.
    next_call: Instant,
}

impl Cursor {
    /// A cursor before the oldest record.
    pub(crate) fn new(
        stream: Stream,
        shard: impl Into<String>,
        readers: u32,
        on_gap: OnGap,
    ) -> Self {
        Self {
            stream,
            shard: shard.into(),
            readers,
            iterator: None,
            after: None,
            is_at_end: false,
            on_gap,
            is_checked: false,
            next_call: Instant::now(),
        }
    }

    /// Continues after this record, or with the oldest one.
    pub(crate) fn seek(&mut self, after: Option<&Sequence>) {
        if self.after.as_ref() != after {
            self.after = after.cloned();
            self.iterator = None;
            self.is_at_end = false;
        }
    }

    /// Compares the record up to which everything is stored with what the shard still has, once.
    ///
    /// # Errors
    /// If records may be gone and the shard must not continue then, or Kinesis does not answer.
    pub(crate) async fn check(&mut self, stored: Option<&Sequence>) -> Result<(), StreamError> {
        if let Some(stored) = stored.filter(|_| !self.is_checked) {
            self.ready().await;
            let pause = pause(0, self.readers);
            let looked = self.stream.has(&self.shard, stored, pause).await;
            self.next_call = Instant::now() + pause;
            match (looked?, self.on_gap) {
                (Err(gap), OnGap::Stop) => return Err(gap.into()),
                (Err(gap), OnGap::Continue) => warn!(shard = self.shard, "{gap}"),
                (Ok(()), _) => {}
            }
        }
        self.is_checked = true;
        Ok(())
    }

    /// Whether the shard is closed and all of its records were read.
    pub(crate) fn is_at_end(&self) -> bool {
        self.is_at_end
    }

    /// Waits until the shard may be asked again. Cancel safe.
    pub(crate) async fn ready(&self) {
        sleep_until(self.next_call).await;
    }

    /// Reads the next records, at most `max`. Without a result if the shard must not be asked yet, or has no new records.
    ///
    /// # Errors
    /// If Kinesis does not answer. The next call continues at the same place.
    pub(crate) async fn read(&mut self, max: usize) -> Result<Vec<Record>, StreamError> {
        if self.is_at_end || Instant::now() < self.next_call {
            return Ok(Vec::new());
        }
        let limit = i32::try_from(max.clamp(1, MAX_RECORDS)).unwrap_or(i32::MAX);
        let read = self.read_checked(limit).await;
        let bytes = read.as_ref().map_or(0, |records| {
            records.iter().map(|record| record.data.len()).sum()
        });
        self.next_call = Instant::now() + pause(bytes, self.readers);
        read
    }

    async fn read_checked(&mut self, limit: i32) -> Result<Vec<Record>, StreamError> {
        let before = self.after.clone();
        let mut read = self.read_once(limit).await;
        if matches!(read, Err(StreamError::ExpiredIterator)) {
            // Read more slowly than every five minutes: a new iterator continues after the last record.
            self.iterator = None;
            self.is_checked = false;
            read = self.read_once(limit).await;
        }
        let records = read?;
        if self.is_checked || records.is_empty() {
            return Ok(records);
        }
        // What is there after the read was there before it. The place only moves when that is known.
        let after = std::mem::replace(&mut self.after, before.clone());
        let iterator = self.iterator.take();
        let is_at_end = std::mem::take(&mut self.is_at_end);
        let bytes = records.iter().map(|record| record.data.len()).sum();
        self.next_call = Instant::now() + pause(bytes, self.readers);
        self.check(before.as_ref()).await?;
        (self.after, self.iterator, self.is_at_end) = (after, iterator, is_at_end);
        Ok(records)
    }

    async fn read_once(&mut self, limit: i32) -> Result<Vec<Record>, StreamError> {
        let iterator = match self.iterator.take() {
            Some(iterator) => iterator,
            None => self.place().await?,
        };
        match self.stream.records(&iterator, limit).await {
            Ok(records) => {
                if let Some(last) = records.records.last() {
                    self.after = Some(last.sequence.clone());
                }
                self.is_at_end = records.next.is_none();
                self.iterator = records.next;
                Ok(records.records)
            }
            Err(error) => {
                self.iterator = Some(iterator);
                Err(error)
            }
        }
    }

    async fn place(&self) -> Result<String, StreamError> {
        let position = match &self.after {
            Some(sequence) => Position::After(sequence),
            None => Position::Horizon,
        };
        self.stream.iterator(&self.shard, position).await
    }
}

/// How long a reader must not ask after an answer of so many bytes.
fn pause(bytes: usize, readers: u32) -> Duration {
    #[allow(clippy::cast_precision_loss, reason = "an answer has at most 10 MB")]
    let transfer = Duration::from_secs_f64(bytes as f64 / BYTES_PER_SECOND);
    // How many calls each reader may make within any second.
    let calls = CALLS_PER_SECOND / readers.max(1);
    let between = match SECOND.checked_div(calls) {
        Some(pause) => pause,
        None => SECOND * readers / CALLS_PER_SECOND,
    };
    between.max(transfer * readers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_share_calls_and_bytes() {
        assert_eq!(pause(0, 1), Duration::from_millis(200));
        // Three calls of each would be six within some second.
        assert_eq!(pause(100_000, 2), Duration::from_millis(500));
        assert_eq!(pause(0, 5), Duration::from_secs(1));
        assert_eq!(pause(0, 10), Duration::from_secs(2));
        assert_eq!(pause(10_000_000, 1), Duration::from_secs(5));
        assert_eq!(pause(10_000_000, 2), Duration::from_secs(10));
    }
}
