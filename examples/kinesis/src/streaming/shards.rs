//! The shards of this program, for the group runner.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use snowpipe_streaming::StreamingIngestClient;
use snowpipe_streaming::ingest::group::{Event, Partitions, channel_name};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::partition::Partition;
use super::shard::{Reading, ShardSource};
use crate::cursor::Cursor;
use crate::discovery::{Discovery, Elsewhere};
use crate::lineage::Share;
use crate::sensor::Measurement;
use crate::stream::{Stream, StreamError};

/// After a failure.
const PAUSE: Duration = Duration::from_secs(1);
/// How many records are read at once to find one that has a row.
const LOOK: usize = 1_000;

pub(super) struct Shards {
    stream: Stream,
    /// `stream@created`.
    name: Arc<str>,
    readers: u32,
    /// What the task finds. Each error is followed by a pause.
    found: mpsc::Receiver<Result<Vec<String>, StreamError>>,
    task: JoinHandle<()>,
    reading: Arc<Reading>,
}

/// The channels of all programs, which have what is committed of each shard.
struct Channels {
    client: StreamingIngestClient,
    source_id: String,
    stream: Stream,
    name: Arc<str>,
}

impl Shards {
    /// Also returns where to say that all of a shard is committed.
    pub(super) fn new(
        stream: Stream,
        created: i64,
        share: Share,
        readers: u32,
        client: StreamingIngestClient,
        source_id: String,
        reading: Reading,
    ) -> (Self, mpsc::UnboundedSender<String>) {
        let name: Arc<str> = format!("{}@{created}", stream.name()).into();
        let channels = Channels {
            client,
            source_id,
            stream: stream.clone(),
            name: Arc::clone(&name),
        };
        let (mut discovery, finish) = Discovery::new(stream.clone(), share, channels);
        // In a task of its own: the group drops a wait whenever a partition has progressed, and a list takes several calls.
        let (sender, found) = mpsc::channel(1);
        let task = tokio::spawn(async move {
            loop {
                let shards = discovery.next().await;
                let has_failed = shards.is_err();
                if sender.send(shards).await.is_err() {
                    return;
                }
                if has_failed {
                    sleep(PAUSE).await;
                }
            }
        });
        let shards = Self {
            stream,
            name,
            readers,
            found,
            task,
            reading: Arc::new(reading),
        };
        (shards, finish)
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Partitions for Shards {
    type Partition = Partition;
    type Source = ShardSource;
    type Error = StreamError;

    async fn next(&mut self) -> Result<Option<Event<Partition, ShardSource>>, StreamError> {
        let Some(shards) = self.found.recv().await.transpose()? else {
            return Ok(None);
        };
        let source = |shard: String| {
            let cursor = Cursor::new(self.stream.clone(), &*shard, self.readers);
            let stream = self.stream.clone();
            let reading = Arc::clone(&self.reading);
            let partition = Partition {
                stream: Arc::clone(&self.name),
                shard: shard.into(),
            };
            let source = ShardSource::new(stream, partition.clone(), cursor, reading);
            (partition, source)
        };
        Ok(Some(Event::Assigned(
            shards.into_iter().map(source).collect(),
        )))
    }

    fn is_fatal(&self, error: &StreamError) -> bool {
        error.is_fatal()
    }
}

impl Elsewhere for Channels {
    /// Whether no record with a row comes after the committed one, up to the end of the shard.
    async fn is_done(&self, shard: &str) -> Result<bool> {
        let partition = Partition {
            stream: Arc::clone(&self.name),
            shard: shard.into(),
        };
        let channel = channel_name(&self.source_id, &partition);
        let tokens = self
            .client
            .latest_committed_offset_tokens(&[&channel])
            .await?;
        let token = tokens.get(&channel).cloned().flatten();
        let committed = token.map(|token| token.as_str().parse()).transpose()?;
        let mut cursor = Cursor::new(self.stream.clone(), shard, 1);
        cursor.seek(committed.as_ref());
        while !cursor.is_at_end() {
            cursor.ready().await;
            let records = cursor.read(LOOK).await?;
            let is_row = |data: &[u8]| Measurement::decode(data).is_ok();
            if records.is_empty() && !cursor.is_at_end() || records.iter().any(|r| is_row(&r.data))
            {
                // It is open, or has rows that are not committed.
                return Ok(false);
            }
        }
        Ok(true)
    }
}
