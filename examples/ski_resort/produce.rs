//! Runs the generator into the queue.

use std::time::Duration;

use anyhow::Result;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::cli::Until;
use crate::generator::Generator;
use crate::queue::{Progress, Queue};
use crate::rows::Writer;
use crate::speed::{Pace, Speed};
use crate::world::STEPS_PER_DAY;

/// The most steps that share a transaction: enough to spare the disk, few enough to stop soon.
const MOST_STEPS: u64 = 32;
/// A generator that would fill the disk waits while the queue holds more rows than this.
const MOST_QUEUED: i64 = 200_000;
/// How long it waits before it looks again.
const PAUSE: Duration = Duration::from_millis(100);

/// A generator that writes to a queue.
#[derive(Debug)]
pub(crate) struct Producer {
    generator: Generator,
    writer: Writer,
    queue: Queue,
}

impl Producer {
    /// The generator of this queue, where `progress` says it stopped. Redoes up to a simulated day: call it where
    /// blocking is allowed.
    pub(crate) fn resume(queue: Queue, progress: &Progress) -> Result<Self> {
        let checkpoint = queue.checkpoint()?;
        let generator = Generator::resume(
            progress.seed,
            progress.start,
            checkpoint.as_deref(),
            progress.next_step,
        )?;
        let writer = Writer::new(progress.seed, progress.start)?;
        Ok(Self {
            generator,
            writer,
            queue,
        })
    }

    /// Does `count` steps in one transaction, fewer if a simulated day ends before.
    pub(crate) fn produce(&mut self, count: u64) -> Result<()> {
        let first = self.generator.next_step();
        let count = count.min(STEPS_PER_DAY - first % STEPS_PER_DAY);
        let mut rows = Vec::new();
        for _ in 0..count {
            for event in self.generator.step()? {
                rows.push(self.writer.row(&event)?);
            }
        }
        let next = self.generator.next_step();
        let checkpoint = next
            .is_multiple_of(STEPS_PER_DAY)
            .then(|| self.generator.checkpoint())
            .transpose()?;
        self.queue.append(&rows, next, checkpoint.as_deref())
    }

    /// Generates at `speed` until it is done or `stop` turns true. Stops between two transactions. Without an end in
    /// sight it leaves a bounded number of rows in the queue for the streamer to catch up with.
    pub(crate) async fn run(
        mut self,
        speed: Speed,
        until: Until,
        mut stop: watch::Receiver<bool>,
    ) -> Result<()> {
        let began = Instant::now();
        let mut pace = Pace::new(speed, self.generator.next_step());
        // An end in steps is an end, and a pace leaves the streamer time.
        let is_bounded = matches!(until, Until::Step(_)) || speed != Speed::Max;
        let mut queued = 0;
        loop {
            let next = self.generator.next_step();
            let left = match until {
                Until::Step(end) => end.saturating_sub(next),
                Until::Wall(duration) if began.elapsed() >= duration => 0,
                Until::Wall(_) | Until::Stopped => MOST_STEPS,
            };
            if left == 0 {
                return tokio::task::spawn_blocking(move || self.queue.end()).await?;
            }
            let deadline = async {
                match until {
                    Until::Wall(duration) => tokio::time::sleep_until(began + duration).await,
                    Until::Step(_) | Until::Stopped => std::future::pending().await,
                }
            };
            let due = async {
                if is_bounded || queued <= MOST_QUEUED {
                    pace.due(next, left.min(MOST_STEPS)).await
                } else {
                    tokio::time::sleep(PAUSE).await;
                    0
                }
            };
            let count = tokio::select! {
                biased;
                // A sender that is gone means stop as well.
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
                () = deadline => continue,
                count = due => count,
            };
            (self, queued) = tokio::task::spawn_blocking(move || {
                if count > 0 {
                    self.produce(count)?;
                }
                let queued = if is_bounded { 0 } else { self.queue.queued()? };
                anyhow::Ok((self, queued))
            })
            .await??;
        }
    }
}
