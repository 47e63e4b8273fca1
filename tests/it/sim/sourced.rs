//! A program that leaves everything to `ingest::run`: all it has is a source.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use snowpipe_streaming::ingest::{self, Batch, Finish, Rejected, Report, Source};
use snowpipe_streaming::{Error, ErrorKind};
use tokio::time::{sleep, sleep_until};

use super::desk::{Desk, Ending, Row};
use super::digits::Place;
use super::judge;
use super::plan::Kind;
use super::rejects::{self, Kept};
use super::spell::{Call, Streak};
use super::truth::Sabotage;
use super::world::House;

pub struct Program {
    pub desk: Arc<Desk>,
    pub house: Arc<House>,
    pub rng: fastrand::Rng,
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
            let outcome = match self.desk.plan.kind {
                Kind::Source { digits: true, .. } => {
                    self.desk.world.count("offsets of digits");
                    self.once::<String>().await
                }
                _ => self.once::<u64>().await,
            };
            match outcome {
                Ok(Finish::Exhausted) => return self.desk.end(Ending::Done),
                Ok(_) => {}
                Err(error) => {
                    self.desk.tell(format!("the run failed: {error:?}"));
                    judge::invalidation(&self.desk, &self.house, &error);
                    let odd = matches!(
                        error.kind(),
                        ErrorKind::Config
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

    async fn once<O: Place>(&mut self) -> Result<Finish, Error> {
        let plan = &self.desk.plan;
        let mut source = Rows::<O> {
            desk: Arc::clone(&self.desk),
            rng: self.rng.fork(),
            streaks: Default::default(),
            told: 0,
            offset: PhantomData,
        };
        let name = self.desk.spelled(&mut self.rng);
        let run = {
            let client = self.house.client.lock().unwrap();
            ingest::run(client.as_ref().unwrap(), name, &mut source)
        };
        let run = run
            .batch_rows(usize::try_from(plan.chunk).unwrap())
            .max_in_flight(self.rng.u64(30..200))
            .drain_timeout(Duration::from_secs(self.rng.u64(..60)))
            .source_patience(Duration::from_millis(plan.patience_ms));
        let run = match plan.kind {
            Kind::Source { shards, .. } if shards > 0 => {
                run.shards(usize::from(shards), |row: &Row<'_>| row.number() / 3)
            }
            _ => run,
        };
        // Told to stop now and then, as at a deployment.
        let life = Duration::from_millis(self.rng.u64(1_000..120_000));
        let outcome = if self.rng.bool() && !self.desk.world.is_calm() {
            run.until(sleep(life)).await
        } else {
            run.await
        };
        match outcome {
            Ok(report) => {
                self.check(&report, source.told);
                Ok(report.finish)
            }
            Err(error) => {
                if error.kind() == ErrorKind::Source {
                    source.check_given_up(&error);
                }
                Err(error)
            }
        }
    }

    fn check<O: Place>(&self, report: &Report<O>, told: u64) {
        let desk = &self.desk;
        desk.tell(format!(
            "{:?}, released through {:?}",
            report.finish,
            report.released.as_ref().map(Place::row)
        ));
        desk.state.lock().unwrap().reopens += report.reopens;
        let released = report.released.as_ref().map(Place::row);
        if report.finish == Finish::Exhausted
            && (released != desk.plan.rows.checked_sub(1) || !report.uncommitted.is_empty())
        {
            desk.blame("a run that is at its end has not released everything");
        }
        let kept = desk.state.lock().unwrap().kept.released.checked_sub(1);
        // A run that is stopped at once has not asked what is released.
        let is_other = released.is_some() && released != kept;
        if !desk.shared && (report.rows_rejected != told || is_other) {
            desk.blame(format!(
                "of {told} rejects and a release through {kept:?} a run says {report:?}"
            ));
        }
    }
}

/// The rows of a desk, as a source.
struct Rows<O> {
    desk: Arc<Desk>,
    rng: fastrand::Rng,
    /// Of each call in [`Call::ALL`].
    streaks: [Streak; 7],
    /// How many rejects it has heard of.
    told: u64,
    offset: PhantomData<O>,
}

impl<O> Rows<O> {
    fn patience(&self) -> Duration {
        Duration::from_millis(self.desk.plan.patience_ms)
    }

    /// Fails now and then, and each time during a spell.
    fn answer(&mut self, call: Call) -> Result<(), Away> {
        self.start(call)?;
        self.note(call, false);
        Ok(())
    }

    /// As [`answer`](Self::answer), of a call that succeeds later.
    fn start(&mut self, call: Call) -> Result<(), Away> {
        let world = &self.desk.world;
        let spell = self.desk.plan.spell;
        let is_spell = spell.is_some_and(|spell| spell.strikes(call, world.now_ms()));
        let is_away = !world.is_calm() && self.rng.u8(..50) == 0;
        if is_spell {
            world.count(call.name());
        } else if is_away {
            world.count("source away");
        }
        if is_spell || is_away {
            self.note(call, true);
            return Err(Away);
        }
        Ok(())
    }

    fn note(&mut self, call: Call, failed: bool) {
        let patience = self.patience();
        if let Err(why) = self.streaks[call as usize].note(failed, patience) {
            self.desk.blame(format!("{call:?}: {why}"));
        }
    }

    /// A run gives a source up only after it failed for as long as it may.
    fn check_given_up(&self, error: &Error) {
        self.desk.world.count("source given up");
        let longest = self.streaks.iter().map(Streak::length).max().unwrap();
        if longest < self.patience() {
            self.desk.blame(format!(
                "a source that failed for {longest:?} was given up: {error:?}"
            ));
        }
    }

    /// Keeping takes a while.
    async fn work(&mut self) {
        sleep(Duration::from_millis(self.rng.u64(..500))).await;
    }

    fn kept<R>(&self, look: impl FnOnce(&mut Kept) -> R) -> R {
        look(&mut self.desk.state.lock().unwrap().kept)
    }
}

impl<O: Place> Source for Rows<O> {
    type Offset = O;
    type Row = Row<'static>;
    type Error = Away;

    async fn read_after(
        &mut self,
        after: Option<&O>,
        max: usize,
    ) -> Result<Batch<O, Row<'static>>, Away> {
        self.answer(Call::Read)?;
        let desk = &self.desk;
        let next = after.map_or(0, |after| after.row() + 1);
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
            there.map(|n| (O::of(n), desk.row(n, attempt))).collect(),
        ))
    }

    async fn ready(&mut self) -> Result<(), Away> {
        self.start(Call::Ready)?;
        let next = self.desk.world.truth.next(self.desk.strand);
        let now = tokio::time::Instant::now();
        let there = (next + 1..).map(|rows| self.desk.available(rows));
        match there.take(1_000).find(|at| *at > now) {
            Some(at) => sleep_until(at).await,
            None => sleep(Duration::from_millis(100)).await,
        }
        // Until here the run may have given up waiting.
        self.note(Call::Ready, false);
        Ok(())
    }

    async fn release_through(&mut self, through: &O) -> Result<(), Away> {
        self.answer(Call::Release)?;
        let through = through.row();
        let desk = Arc::clone(&self.desk);
        rejects::release(&desk, through);
        self.work().await;
        desk.tell(format!("released through {through}"));
        self.kept(|kept| kept.released = kept.released.max(through + 1));
        Ok(())
    }

    async fn released(&mut self) -> Result<Option<O>, Away> {
        self.answer(Call::Released)?;
        let mut released = self.kept(|kept| kept.released);
        if self.desk.world.sabotage == Some(Sabotage::ForgetRelease) {
            released /= 2;
        }
        Ok(released.checked_sub(1).map(O::of))
    }

    async fn dead_letter(
        &mut self,
        rejected: &Rejected<O>,
        mut rows: Vec<(O, Row<'static>)>,
    ) -> Result<(), Away> {
        self.answer(Call::DeadLetter)?;
        let desk = Arc::clone(&self.desk);
        match (desk.world.sabotage, &mut rows[..]) {
            (Some(Sabotage::SwapLetters), [first, .., last]) => {
                std::mem::swap(&mut first.1, &mut last.1);
            }
            (Some(Sabotage::LoseLetter), [_, .., _]) => {
                let bad = rows
                    .iter()
                    .position(|(offset, _)| desk.is_bad(offset.row()));
                rows.remove(bad.unwrap_or(0));
            }
            _ => {}
        }
        rejects::letter(&desk, rejected, &rows);
        let is_last = rejected.total > self.kept(|kept| kept.seen(&rejected.channel));
        if is_last {
            self.told += rejected.count;
        }
        self.work().await;
        let (after, through) = (rejected.after.as_ref().map(O::row), rejected.through.row());
        desk.tell(format!(
            "dead letters of {}: {} after {after:?} through {through}, {} in all",
            rejected.channel, rejected.count, rejected.total
        ));
        let later = match desk.world.sabotage {
            Some(Sabotage::KeepLater) if is_last => std::mem::take(&mut rows),
            _ => Vec::new(),
        };
        self.kept(|kept| kept.keep(rejected, &rows));
        if !later.is_empty() {
            let rejected = rejected.clone();
            tokio::spawn(async move {
                sleep(Duration::from_millis(5)).await;
                desk.state.lock().unwrap().kept.keep(&rejected, &later);
            });
        }
        Ok(())
    }

    async fn rejects_seen(&mut self, channel: &str) -> Result<Option<u64>, Away> {
        self.answer(Call::RejectsSeen)?;
        // From the first run on.
        Ok(Some(self.kept(|kept| kept.seen(channel))))
    }

    async fn check(&mut self, channel: &str, committed: Option<&O>) -> Result<(), Away> {
        let desk = &self.desk;
        let committed = committed.map(O::row);
        let landed = desk.world.truth.last(desk.strand, channel);
        if committed > landed || (committed < landed && !desk.shared) {
            desk.blame(format!(
                "{channel} resumes after {committed:?}, and {landed:?} landed last"
            ));
        }
        self.answer(Call::Check)
    }
}
