//! Finds the shards that can be read: at the start, whenever one has come to its end, and each minute.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use crate::lineage::{Lineage, Share};
use crate::stream::{Shard, Stream, StreamError};

const LIST_EVERY: Duration = Duration::from_mins(1);
/// How often the end of another program's shard is looked for, while a child of it waits here.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// Knows whether a shard that another program reads is over: read to its end, and where it belongs.
pub(crate) trait Elsewhere: Send + Sync {
    /// # Errors
    /// If it cannot be found out now.
    fn is_done(&self, shard: &Shard) -> impl Future<Output = anyhow::Result<bool>> + Send;
}

pub(crate) struct Discovery<E> {
    stream: Stream,
    lineage: Lineage,
    elsewhere: E,
    finished: mpsc::UnboundedReceiver<String>,
    next_list: Instant,
}

impl<E: Elsewhere> Discovery<E> {
    /// Also returns where to say that a shard of this program is over.
    pub(crate) fn new(
        stream: Stream,
        share: Share,
        elsewhere: E,
    ) -> (Self, mpsc::UnboundedSender<String>) {
        // A message for each shard.
        let (finish, finished) = mpsc::unbounded_channel();
        let discovery = Self {
            stream,
            lineage: Lineage::new(share),
            elsewhere,
            finished,
            next_list: Instant::now(),
        };
        (discovery, finish)
    }

    /// Waits for shards that can be read now. Each is returned once. Cancel safe.
    ///
    /// # Errors
    /// If Kinesis does not answer.
    pub(crate) async fn next(&mut self) -> Result<Vec<String>, StreamError> {
        loop {
            tokio::select! {
                biased;
                Some(shard) = self.finished.recv() => {
                    self.lineage.finish(shard);
                    self.next_list = Instant::now();
                }
                () = sleep_until(self.next_list) => {
                    let ready = self.list().await?;
                    if !ready.is_empty() {
                        for shard in &ready {
                            self.lineage.begin(shard);
                        }
                        return Ok(ready);
                    }
                }
            }
        }
    }

    /// If it is cancelled, the next call lists again.
    async fn list(&mut self) -> Result<Vec<String>, StreamError> {
        let listed = self.stream.shards().await?;
        let mut plan = self.lineage.plan(&listed);
        let mut done = Vec::new();
        let is_awaited = |shard: &&Shard| plan.awaited.contains(&shard.id);
        for parent in listed.iter().filter(is_awaited) {
            match self.elsewhere.is_done(parent).await {
                Ok(true) => done.push(parent.id.clone()),
                Ok(false) => {}
                Err(error) => {
                    let error = format!("{error:#}");
                    warn!(
                        parent = parent.id,
                        error, "whether a shard is over cannot be found out now"
                    );
                }
            }
        }
        for parent in done {
            plan.awaited.remove(&parent);
            self.lineage.finish(parent);
        }
        let pause = if plan.awaited.is_empty() {
            LIST_EVERY
        } else {
            ASK_EVERY
        };
        let ready = self.lineage.plan(&listed).ready;
        self.lineage.forget(&listed);
        self.next_list = Instant::now() + pause;
        Ok(ready)
    }
}
