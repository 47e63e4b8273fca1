//! A program that appends rows through a clone of the channel until all of them are acknowledged.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::{Value, json};
use snowpipe_streaming::elastic::{Accepted, Ack, ElasticAppend, FailedAppend};
use snowpipe_streaming::{ElasticChannel, ErrorKind, RowBatch};
use tokio::time::{sleep, timeout};

use super::super::content::content;
use super::world::World;

pub struct Producer {
    pub world: Arc<World>,
    pub number: usize,
    pub channel: ElasticChannel<u64>,
    pub rng: fastrand::Rng,
    /// Appends whose acknowledgement is awaited later, or dropped.
    pub acks: Vec<(u64, Ack<u64>)>,
    /// Appends whose acknowledgement was dropped. A checkpoint has to report their failures.
    pub unobserved: BTreeSet<u64>,
    /// Appends before this one are older than the last checkpoint, which reported their failures.
    pub checked: u64,
}

impl Producer {
    /// Runs until every row is acknowledged or the client is closed.
    pub async fn run(mut self) {
        loop {
            let rows = self.next();
            if rows.is_empty() {
                let over = self.settle().await;
                let is_done = self.world.ledger().unsent[self.number].is_empty();
                if over || is_done {
                    return;
                }
                continue;
            }
            if !self.append(rows).await {
                self.settle().await;
                return;
            }
            self.idle().await;
        }
    }

    /// Some of the unsent rows.
    fn next(&mut self) -> Vec<u64> {
        let most = self.rng.usize(1..=self.world.plan.chunk);
        let ledger = self.world.ledger();
        ledger.unsent[self.number]
            .iter()
            .take(most)
            .copied()
            .collect()
    }

    fn row(&self, n: u64, attempt: u64) -> Value {
        let noise = content(self.number, n, attempt, self.world.plan.noise);
        json!({ "P": self.number, "N": n, "A": attempt, "X": noise })
    }

    fn start(&mut self, rows: &[u64], attempt: u64) -> ElasticAppend<u64> {
        let rows: Vec<Value> = rows.iter().map(|n| self.row(*n, attempt)).collect();
        match (rows.as_slice(), self.rng.bool()) {
            ([row], true) => self.channel.append_row(row, attempt),
            (rows, true) => self.channel.append_rows(rows, attempt),
            (rows, false) => {
                let lines: String = rows
                    .iter()
                    .flat_map(|row| [row.to_string(), "\n".to_owned()])
                    .collect();
                let batch = RowBatch::from_ndjson(lines).unwrap();
                self.channel.append_batch(&batch, attempt)
            }
        }
    }

    /// Appends rows. Returns whether the channel still accepts appends.
    async fn append(&mut self, rows: Vec<u64>) -> bool {
        let attempt = self.world.ledger().attempt(self.number, rows.clone());
        let append = self.start(&rows, attempt);
        let time_limit = match self.rng.u32(..10) {
            0 => Duration::from_millis(self.rng.u64(..500)),
            _ => Duration::MAX,
        };
        match timeout(time_limit, append).await {
            Ok(Ok(ack)) => self.follow(attempt, ack).await,
            Ok(Err(error)) => {
                self.world.ledger().not_appended(attempt);
                self.world
                    .log(format!("append {attempt}: {:?}", error.kind()));
                match error.kind() {
                    ErrorKind::Backpressure => {}
                    ErrorKind::ClientClosed => return false,
                    // Unreported failures stop all appends.
                    _ => self.checkpoint().await,
                }
            }
            Err(_) => {
                self.world.count("append given up");
                self.world.ledger().not_appended(attempt);
            }
        }
        true
    }

    async fn follow(&mut self, attempt: u64, ack: Ack<u64>) {
        match self.rng.u32(..11) {
            10 => {
                drop(ack);
                self.unobserved.insert(attempt);
            }
            n if n < self.world.plan.awaited => self.await_ack(ack).await,
            _ => self.acks.push((attempt, ack)),
        }
    }

    async fn await_ack(&self, ack: Ack<u64>) {
        self.observe(&ack.await);
    }

    fn observe(&self, outcome: &Result<Accepted<u64>, FailedAppend<u64>>) {
        let mut ledger = self.world.ledger();
        match outcome {
            Ok(accepted) => ledger.accepted(accepted),
            Err(failed) => ledger.failed(failed),
        }
        drop(ledger);
        if let Err(failed) = outcome {
            self.world.judge(failed);
        }
        self.world.log(format!("reported {outcome:?}"));
    }

    /// Awaits all kept acknowledgements. Checks that the rows of unread failures count as memory in use.
    async fn await_acks(&mut self) {
        let held = self.world.memory_in_use();
        let (mut unread, mut waiting) = (0, Vec::new());
        for (_, mut ack) in std::mem::take(&mut self.acks) {
            let Some(outcome) = (&mut ack).now_or_never() else {
                waiting.push(ack);
                continue;
            };
            if let Err(failed) = &outcome {
                self.world.count("unread failure");
                unread += failed.rows().unwrap().as_bytes().len();
            }
            self.observe(&outcome);
        }
        // All contents are slices of the same 64 KiB of letters that hardly compress, which bounds the compression ratio.
        if let Some(held) = held.filter(|held| unread / 40 > *held)
            && self.world.plan.noise >= 500
        {
            self.world.report_violation(format!(
                "{unread} bytes were handed back and not taken, and {held} are in use"
            ));
        }
        for ack in waiting {
            self.await_ack(ack).await;
        }
    }

    async fn idle(&mut self) {
        match self.rng.u32(..30) {
            0 => self.channel.initiate_flush(),
            1 => self.checkpoint().await,
            2 => {
                let time_limit = Duration::from_millis(self.rng.u64(..5_000));
                let flushed = timeout(time_limit, self.channel.wait_for_flush()).await;
                self.world
                    .log(format!("flushed {}: {}", self.number, flushed.is_ok()));
            }
            3 => {
                let some = self.acks.len() / 2;
                let dropped = self.acks.drain(..some).map(|(attempt, _)| attempt);
                self.unobserved.extend(dropped);
            }
            4 => {
                self.await_acks().await;
            }
            5 => {
                // A cancelled checkpoint reports nothing.
                let time_limit = Duration::from_millis(self.rng.u64(..2_000));
                let _ = timeout(time_limit, self.checkpoint()).await;
            }
            _ => {
                sleep(Duration::from_millis(
                    self.rng.u64(..=self.world.plan.pause_ms),
                ))
                .await;
            }
        }
    }

    async fn checkpoint(&mut self) {
        let through = self.world.ledger().attempts.len() as u64;
        let checked = self.channel.checkpoint().await;
        let mut ledger = self.world.ledger();
        let is_clean = checked.is_ok();
        let failures = checked
            .err()
            .map(snowpipe_streaming::elastic::CheckpointError::into_failed);
        for failed in failures.iter().flatten() {
            self.world.count("failure reported by a checkpoint");
            ledger.failed(failed);
        }
        // Appends of this task are all older than the checkpoint.
        for attempt in std::mem::take(&mut self.unobserved) {
            if ledger.is_unknown(attempt) {
                ledger.checkpointed(attempt);
            } else if is_clean && attempt >= self.checked {
                self.world.report_violation(format!(
                    "append {attempt} failed, and a checkpoint does not know"
                ));
            }
        }
        drop(ledger);
        self.checked = through;
        self.world
            .log(format!("checkpoint {}: {is_clean}", self.number));
    }

    /// Awaits the outcomes of all appends. Returns whether the channel is closed.
    async fn settle(&mut self) -> bool {
        self.await_acks().await;
        self.checkpoint().await;
        self.channel.is_closed()
    }
}
