//! Runs the generator into the queue.

use std::time::Duration;

use anyhow::Result;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::cli::Until;
use crate::generator::Generator;
use crate::queue::{Progress, Queue, Turn};
use crate::rows::{Row, Writer};
use crate::speed::{Pace, Speed};
use crate::world::STEPS_PER_DAY;

/// The most steps in one transaction: enough to limit disk writes, few enough to stop quickly.
const MOST_STEPS: u64 = 32;
/// An unbounded generator waits while the queue holds more rows than this.
const MOST_QUEUED: i64 = 200_000;
/// How long it waits before it checks again.
const PAUSE: Duration = Duration::from_millis(100);

/// A generator that writes to a queue.
#[derive(Debug)]
pub(crate) struct Producer {
    generator: Generator,
    writer: Writer,
    queue: Queue,
    turn: Turn,
}

/// Generated steps that are not in the queue yet.
#[derive(Debug)]
struct Steps {
    rows: Vec<Row>,
    /// The step after them.
    next: u64,
    checkpoint: Option<String>,
}

impl Producer {
    /// The generator of this queue, continued after `progress`. It writes under the lock `turn`. Repeats up to a simulated day
    /// of steps, so it blocks.
    pub(crate) fn resume(queue: Queue, progress: &Progress, turn: Turn) -> Result<Self> {
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
            turn,
        })
    }

    /// Generates `count` steps in one transaction; fewer if a simulated day ends before.
    #[cfg(test)]
    pub(crate) fn produce(&mut self, count: u64) -> Result<()> {
        let steps = self.steps(count)?;
        self.keep(&steps)
    }

    /// Generates `count` steps; fewer if a simulated day ends before.
    fn steps(&mut self, count: u64) -> Result<Steps> {
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
        Ok(Steps {
            rows,
            next,
            checkpoint,
        })
    }

    /// Writes steps to the queue in one transaction.
    fn keep(&mut self, steps: &Steps) -> Result<()> {
        self.queue
            .append(&steps.rows, steps.next, steps.checkpoint.as_deref())
    }

    /// Generates at `speed` until the end or until `stop` becomes true. Stops between two transactions. At full speed without
    /// an end in steps, the number of rows in the queue is limited.
    pub(crate) async fn run(
        mut self,
        speed: Speed,
        until: Until,
        mut stop: watch::Receiver<bool>,
    ) -> Result<()> {
        let started = Instant::now();
        let ends = match until {
            // An end beyond the range of the clock means no end.
            Until::Wall(duration) => started.checked_add(duration),
            Until::Step(_) | Until::Stopped => None,
        };
        let mut pace = Pace::new(speed, self.generator.next_step());
        // With an end in steps the rows are limited, and with a pace the streamer keeps up.
        let is_bounded = matches!(until, Until::Step(_)) || speed != Speed::Max;
        let mut queued = 0;
        loop {
            let next = self.generator.next_step();
            let left = match until {
                Until::Step(end) => end.saturating_sub(next),
                Until::Wall(duration) if started.elapsed() >= duration => 0,
                Until::Wall(_) | Until::Stopped => MOST_STEPS,
            };
            if left == 0 {
                return self.turn.clone().write(move || self.queue.end()).await;
            }
            let deadline = async {
                match ends {
                    Some(ends) => tokio::time::sleep_until(ends).await,
                    None => std::future::pending().await,
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
                // A dropped sender also means stop.
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
                () = deadline => continue,
                count = due => count,
            };
            if count > 0 {
                let steps;
                (self, steps) = tokio::task::spawn_blocking(move || {
                    let steps = self.steps(count)?;
                    anyhow::Ok((self, steps))
                })
                .await??;
                self = self
                    .turn
                    .clone()
                    .write(move || {
                        self.keep(&steps)?;
                        Ok(self)
                    })
                    .await?;
            }
            if !is_bounded {
                (self, queued) = tokio::task::spawn_blocking(move || {
                    let queued = self.queue.queued()?;
                    anyhow::Ok((self, queued))
                })
                .await??;
            }
        }
    }
}
