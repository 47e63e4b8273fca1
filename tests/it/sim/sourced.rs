//! A program that leaves everything to `ingest::run`: all it has is a source.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use snowpipe_streaming::ErrorKind;
use snowpipe_streaming::ingest::{self, Batch, Finish, Rejected, Report, Source};
use tokio::time::{sleep, sleep_until};

use super::desk::{Desk, Ending, Row};
use super::plan::Kind;
use super::world::House;

pub struct Program {
    pub desk: Arc<Desk>,
    pub house: Arc<House>,
    pub rng: fastrand::Rng,
}

/// What the source keeps, as on a disk.
#[derive(Debug, Default)]
pub struct Kept {
    /// Everything before this row is released.
    released: u64,
    dead: BTreeSet<u64>,
    counters: BTreeMap<String, u64>,
}

/// The source does not answer now.
#[derive(Debug, thiserror::Error)]
#[error("the source is away")]
pub struct Away;

impl Program {
    /// One run after the other, until one has come to the end of the source.
    pub async fn run(mut self) {
        while self.desk.ended().is_none() {
            self.desk.at("run");
            match self.once().await {
                Ok(report) => {
                    self.desk.tell(format!("{report:?}"));
                    self.check(&report);
                    if report.finish == Finish::Exhausted {
                        return self.desk.end(Ending::Done);
                    }
                }
                Err(error) => {
                    self.desk.tell(format!("the run failed: {error:?}"));
                    let odd = matches!(
                        error.kind(),
                        ErrorKind::Config
                            | ErrorKind::Source
                            | ErrorKind::InvalidOffset
                            | ErrorKind::TokenReused
                            | ErrorKind::TooLarge
                            | ErrorKind::InvalidRow
                    );
                    if odd {
                        self.desk.blame(format!("a run failed oddly: {error:?}"));
                    }
                }
            }
            sleep(Duration::from_millis(self.rng.u64(100..5_000))).await;
        }
    }

    async fn once(&mut self) -> Result<Report<u64>, snowpipe_streaming::Error> {
        let mut source = Rows {
            desk: Arc::clone(&self.desk),
            rng: self.rng.fork(),
        };
        let run = {
            let client = self.house.client.lock().unwrap();
            ingest::run(client.as_ref().unwrap(), &*self.desk.name, &mut source)
        };
        let run = run
            .batch_rows(usize::try_from(self.desk.plan.chunk).unwrap())
            .max_in_flight(self.rng.u64(30..200))
            .drain_timeout(Duration::from_secs(self.rng.u64(..60)));
        let run = match self.desk.plan.kind {
            Kind::Source { shards } if shards > 0 => {
                run.shards(usize::from(shards), |row| row.number() / 3)
            }
            _ => run,
        };
        // Told to stop now and then, as at a deployment.
        let life = Duration::from_millis(self.rng.u64(1_000..120_000));
        if self.rng.bool() && !self.desk.world.is_calm() {
            run.until(sleep(life)).await
        } else {
            run.await
        }
    }

    fn check(&self, report: &Report<u64>) {
        let rows = self.desk.plan.rows;
        if report.finish == Finish::Exhausted
            && (report.released != rows.checked_sub(1) || !report.uncommitted.is_empty())
        {
            self.desk.blame(format!("not at the end: {report:?}"));
        }
    }
}

/// The rows of a desk, as a source.
struct Rows {
    desk: Arc<Desk>,
    rng: fastrand::Rng,
}

impl Rows {
    /// Fails now and then.
    fn answer(&mut self) -> Result<(), Away> {
        let away = !self.desk.world.is_calm() && self.rng.u8(..50) == 0;
        if away {
            self.desk.world.count("source away");
        }
        if away { Err(Away) } else { Ok(()) }
    }

    /// Keeping takes a while.
    async fn work(&mut self) {
        sleep(Duration::from_millis(self.rng.u64(..500))).await;
    }

    fn kept<R>(&self, look: impl FnOnce(&mut Kept) -> R) -> R {
        look(&mut self.desk.state.lock().unwrap().kept)
    }
}

impl Source for Rows {
    type Offset = u64;
    type Row = Row<'static>;
    type Error = Away;

    async fn read_after(
        &mut self,
        after: Option<&u64>,
        max: usize,
    ) -> Result<Batch<u64, Row<'static>>, Away> {
        self.answer()?;
        let desk = &self.desk;
        let next = after.map_or(0, |after| after + 1);
        if next < self.kept(|kept| kept.released) && !desk.shared {
            desk.blame(format!("row {next} is read though it was released"));
        }
        if next >= desk.plan.rows {
            return Ok(Batch::end());
        }
        let end = desk.plan.rows.min(next + max as u64);
        let attempt = desk.world.id();
        let now = tokio::time::Instant::now();
        let there = (next..end).take_while(|n| desk.available(n + 1) <= now);
        Ok(Batch::new(
            there.map(|n| (n, desk.row(n, attempt))).collect(),
        ))
    }

    async fn ready(&mut self) -> Result<(), Away> {
        let next = self.desk.world.truth.next(self.desk.strand);
        let now = tokio::time::Instant::now();
        let there = (next + 1..).map(|rows| self.desk.available(rows));
        match there.take(1_000).find(|at| *at > now) {
            Some(at) => sleep_until(at).await,
            None => sleep(Duration::from_millis(100)).await,
        }
        Ok(())
    }

    async fn release_through(&mut self, through: &u64) -> Result<(), Away> {
        self.answer()?;
        self.work().await;
        let desk = &self.desk;
        desk.tell(format!("released through {through}"));
        if let Some(row) = desk.world.truth.missing(desk.strand, 0..through + 1) {
            desk.blame(format!("row {row} is released, and not committed"));
        }
        let refused = desk.world.truth.refused(desk.strand);
        let dead = self.kept(|kept| {
            kept.released = kept.released.max(through + 1);
            kept.dead.clone()
        });
        let mut released = refused.iter().filter(|row| **row <= *through);
        if let Some(row) = released.find(|row| !dead.contains(row))
            && !desk.shared
        {
            desk.blame(format!("row {row} is released before it is a dead letter"));
        }
        Ok(())
    }

    async fn released(&mut self) -> Result<Option<u64>, Away> {
        Ok(self.kept(|kept| kept.released).checked_sub(1))
    }

    async fn dead_letter(
        &mut self,
        rejected: &Rejected<u64>,
        rows: Vec<(u64, Row<'static>)>,
    ) -> Result<(), Away> {
        self.answer()?;
        self.work().await;
        self.desk.tell(format!("dead letters: {rejected:?}"));
        self.kept(|kept| {
            kept.dead.extend(rows.iter().map(|(offset, _)| offset));
            kept.counters
                .insert(rejected.channel.clone(), rejected.total);
        });
        Ok(())
    }

    async fn rejects_seen(&mut self, channel: &str) -> Result<Option<u64>, Away> {
        // From the first run on.
        let seen = self.kept(|kept| kept.counters.get(channel).copied());
        Ok(Some(seen.unwrap_or(0)))
    }
}
