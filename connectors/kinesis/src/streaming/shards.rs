//! The shards of this program, for the group runner.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use snowpipe_connector_support::lines::Lines;
use snowpipe_streaming::StreamingIngestClient;
use snowpipe_streaming::ingest::group::{Event, Partitions, channel_name};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::partition::Partition;
use super::shard::ShardSource;
use crate::cli::{OnGap, SourceArgs, StreamArgs};
use crate::cursor::Cursor;
use crate::discovery::{Discovery, Elsewhere};
use crate::sensor::Measurement;
use crate::stream::{Shard, Stream, StreamError};

/// After a failure.
const PAUSE: Duration = Duration::from_secs(1);
/// How many records are read at once to find one that has a row.
const LOOK: usize = 1_000;

pub(super) struct Shards {
    stream: Stream,
    /// `stream@created`.
    name: Arc<str>,
    /// How many programs read the same shards.
    readers: u32,
    on_gap: OnGap,
    /// What the task finds. Each error is followed by a pause.
    found: mpsc::Receiver<Result<Vec<String>, StreamError>>,
    task: JoinHandle<()>,
    letters: Lines,
}

/// The channels of all programs, which have what is committed of each shard.
struct Channels {
    client: StreamingIngestClient,
    source_id: String,
    stream: Stream,
    name: Arc<str>,
    readers: u32,
}

impl Shards {
    /// Also returns where to say that all of a shard is committed.
    pub(super) fn new(
        stream: Stream,
        created: i64,
        client: StreamingIngestClient,
        args: &StreamArgs,
        letters: Lines,
    ) -> (Self, mpsc::UnboundedSender<String>) {
        let name: Arc<str> = format!("{}@{created}", stream.name()).into();
        let SourceArgs {
            worker,
            readers,
            on_gap,
            ..
        } = args.stream;
        let channels = Channels {
            client,
            source_id: args.source_id.clone(),
            stream: stream.clone(),
            name: Arc::clone(&name),
            readers,
        };
        let (mut discovery, finish) = Discovery::new(stream.clone(), worker, channels);
        // In a task: the group drops a wait whenever a partition has progressed, and a list takes several calls.
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
            on_gap,
            found,
            task,
            letters,
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
            let cursor = Cursor::new(self.stream.clone(), &*shard, self.readers, self.on_gap);
            let letters = self.letters.clone();
            let partition = Partition {
                stream: Arc::clone(&self.name),
                shard: shard.into(),
            };
            let source = ShardSource::new(partition.clone(), cursor, letters);
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
    async fn is_done(&self, shard: &Shard) -> Result<bool> {
        if shard.end.is_none() {
            return Ok(false);
        }
        let partition = Partition {
            stream: Arc::clone(&self.name),
            shard: shard.id.as_str().into(),
        };
        let channel = channel_name(&self.source_id, &partition);
        let tokens = self
            .client
            .latest_committed_offset_tokens(&[&channel])
            .await?;
        let token = tokens.get(&channel).cloned().flatten();
        let committed = token.map(|token| token.as_str().parse()).transpose()?;
        // This program reads the shard beside the others.
        let readers = self.readers.saturating_add(1);
        let stream = self.stream.clone();
        let mut cursor = Cursor::new(stream, &*shard.id, readers, OnGap::Continue);
        cursor.check(None).await?;
        cursor.seek(committed.as_ref());
        while !cursor.is_at_end() {
            cursor.ready().await;
            let records = cursor.read(LOOK).await?;
            let is_row = |data: &[u8]| Measurement::decode(data).is_ok();
            // An answer without records says nothing: the end is where there is no next iterator.
            if records.iter().any(|record| is_row(&record.data)) {
                // They are not committed.
                return Ok(false);
            }
        }
        Ok(true)
    }
}
