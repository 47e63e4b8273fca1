//! A source in memory that survives simulated crashes of the program, and deletes released rows.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;
use snowpipe_streaming::ingest::{Batch, Rejected, Source};
use tokio::time::sleep;

use crate::support::row;

/// The simulated disk. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Shelf(Arc<Mutex<Stock>>);

#[derive(Debug, Default)]
pub struct Stock {
    pub rows: BTreeMap<i64, Value>,
    /// A filter has dropped all rows up to here that are not in `rows`.
    pub filtered_through: Option<i64>,
    /// Whether more rows may come.
    pub is_open: bool,
    /// How long `ready` takes; the default is a tenth of a second.
    pub ready_after: Option<Duration>,
    pub released: Option<i64>,
    /// Whether the source does not store what is released, and keeps all rows.
    pub is_forgetful: bool,
    /// The dead letters, with their channels.
    pub letters: BTreeMap<i64, String>,
    /// The server's messages about the rejects, one for each call.
    pub messages: Vec<String>,
    pub rejects_seen: BTreeMap<String, u64>,
    /// How long a call with dead letters takes.
    pub letters_take: Duration,
    /// Whether the source does not report which rejects it has seen.
    pub keeps_no_count: bool,
    /// The failures of the next calls, by method.
    pub failures: VecDeque<(&'static str, Failure)>,
    pub reads: usize,
    /// The calls of the run, without reads.
    pub calls: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("the disk is busy")]
    Passing,
    #[error("the disk is gone")]
    Fatal,
}

impl Shelf {
    /// A source of these rows, and then its end.
    pub fn of(numbers: std::ops::Range<i64>) -> Self {
        let shelf = Self::default();
        shelf.stock().rows = numbers.map(|n| (n, row(n))).collect();
        shelf
    }

    pub fn stock(&self) -> MutexGuard<'_, Stock> {
        self.0.lock().unwrap()
    }

    fn fail(&self, method: &'static str) -> Result<(), Failure> {
        let mut stock = self.stock();
        match stock.failures.front() {
            Some((failing, _)) if *failing == method => {}
            _ => return Ok(()),
        }
        Err(stock.failures.pop_front().unwrap().1)
    }
}

impl Source for Shelf {
    type Offset = i64;
    type Row = Value;
    type Error = Failure;

    async fn read_after(
        &mut self,
        after: Option<&i64>,
        max: usize,
    ) -> Result<Batch<i64, Value>, Failure> {
        self.fail("read")?;
        let mut stock = self.stock();
        stock.reads += 1;
        let after = after.copied().unwrap_or(i64::MIN);
        let rows = stock.rows.range(after.saturating_add(1)..).take(max);
        let rows: Vec<_> = rows.map(|(n, row)| (*n, row.clone())).collect();
        let is_short = rows.len() < max;
        let mut batch = Batch::new(rows);
        if is_short {
            batch.through = stock
                .filtered_through
                .filter(|n| *n > after)
                .or(batch.through);
            batch.is_end = !stock.is_open;
        }
        Ok(batch)
    }

    async fn ready(&mut self) -> Result<(), Failure> {
        self.fail("ready")?;
        let wait = self.stock().ready_after;
        sleep(wait.unwrap_or(Duration::from_millis(100))).await;
        Ok(())
    }

    async fn release_through(&mut self, through: &i64) -> Result<(), Failure> {
        self.fail("release")?;
        let mut stock = self.stock();
        assert!(
            stock.released < Some(*through),
            "released again: {through} after {:?}",
            stock.released
        );
        stock.calls.push(format!("release {through}"));
        if !stock.is_forgetful {
            stock.rows.retain(|n, _| n > through);
        }
        stock.released = Some(*through);
        Ok(())
    }

    async fn released(&mut self) -> Result<Option<i64>, Failure> {
        self.fail("released")?;
        let mut stock = self.stock();
        if stock.is_forgetful {
            stock.released = None;
        }
        Ok(stock.released)
    }

    async fn dead_letter(
        &mut self,
        rejected: &Rejected<i64>,
        rows: Vec<(i64, Value)>,
    ) -> Result<(), Failure> {
        self.fail("dead letter")?;
        let takes = self.stock().letters_take;
        sleep(takes).await;
        let mut stock = self.stock();
        let numbers: Vec<_> = rows.iter().map(|(n, _)| *n).collect();
        let call = format!("{} of {numbers:?} to {}", rejected.count, rejected.total);
        stock.calls.push(call);
        let message = rejected.message.clone().unwrap_or_default();
        stock.messages.push(message);
        let channel = &rejected.channel;
        stock
            .letters
            .extend(numbers.into_iter().map(|n| (n, channel.clone())));
        stock.rejects_seen.insert(channel.clone(), rejected.total);
        Ok(())
    }

    async fn rejects_seen(&mut self, channel: &str) -> Result<Option<u64>, Failure> {
        let stock = self.stock();
        let seen = stock.rejects_seen.get(channel).copied().unwrap_or(0);
        Ok((!stock.keeps_no_count).then_some(seen))
    }

    async fn check(&mut self, channel: &str, committed: Option<&i64>) -> Result<(), Failure> {
        let mut stock = self.stock();
        stock
            .calls
            .push(format!("check {channel} at {committed:?}"));
        drop(stock);
        self.fail("check")
    }

    fn is_fatal(&self, error: &Failure) -> bool {
        *error == Failure::Fatal
    }
}
