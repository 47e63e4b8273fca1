//! A program that streams its source with `ingest::run`.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use snowpipe_streaming::ingest::{self, Batch, Finish, Rejected, Report, Source};
use snowpipe_streaming::{Error, ErrorKind};
use tokio::time::{sleep, sleep_until};

use super::digit_tokens::SourceOffset;
use super::judge;
use super::plan::Kind;
use super::rejects::{self, DurableState};
use super::source_outage::{Call, FailureStreak};
use super::source_record::{Ending, Row, SourceRecord};
use super::truth::Sabotage;
use super::world::ClientProcess;

pub struct Program {
    pub record: Arc<SourceRecord>,
    pub process: Arc<ClientProcess>,
    pub rng: fastrand::Rng,
}

/// The source is temporarily unavailable.
#[derive(Debug, thiserror::Error)]
#[error("the source is away")]
pub struct SourceUnavailable;

impl Program {
    /// Repeats runs until one reaches the end of the source.
    pub async fn run(mut self) {
        while self.record.ended().is_none() {
            self.record.set_activity("run");
            let outcome = match self.record.plan.kind {
                Kind::Source { digits: true, .. } => {
                    self.record.world.count("offsets of digits");
                    self.run_once::<String>().await
                }
                _ => self.run_once::<u64>().await,
            };
            match outcome {
                Ok(Finish::Exhausted) => return self.record.end(Ending::Done),
                Ok(_) => {}
                Err(error) => {
                    self.record.log(format!("the run failed: {error:?}"));
                    judge::invalidation(&self.record, &self.process, &error);
                    let odd = matches!(
                        error.kind(),
                        ErrorKind::Config
                            | ErrorKind::InvalidOffset
                            | ErrorKind::TokenReused
                            | ErrorKind::TooLarge
                            | ErrorKind::InvalidRow
                    );
                    if odd {
                        self.record
                            .report_violation(format!("a run failed unexpectedly: {error:?}"));
                    }
                }
            }
            sleep(Duration::from_millis(self.rng.u64(100..5_000))).await;
        }
    }

    async fn run_once<O: SourceOffset>(&mut self) -> Result<Finish, Error> {
        let plan = &self.record.plan;
        let mut source = Rows::<O> {
            record: Arc::clone(&self.record),
            rng: self.rng.fork(),
            streaks: Default::default(),
            reported: 0,
            offset: PhantomData,
        };
        let name = self.record.spelled(&mut self.rng);
        let run = {
            let client = self.process.client.lock().unwrap();
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
        // Stop some runs early, as a deployment does.
        let life = Duration::from_millis(self.rng.u64(1_000..120_000));
        let outcome = if self.rng.bool() && !self.record.world.faults_are_over() {
            run.until(sleep(life)).await
        } else {
            run.await
        };
        match outcome {
            Ok(report) => {
                self.check(&report, source.reported);
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

    fn check<O: SourceOffset>(&self, report: &Report<O>, reported: u64) {
        let record = &self.record;
        record.log(format!(
            "{:?}, released through {:?}",
            report.finish,
            report.released.as_ref().map(SourceOffset::row)
        ));
        record.state.lock().unwrap().reopens += report.reopens;
        let released = report.released.as_ref().map(SourceOffset::row);
        if report.finish == Finish::Exhausted
            && (released != record.plan.rows.checked_sub(1) || !report.uncommitted.is_empty())
        {
            record.report_violation("a run that is at its end has not released everything");
        }
        let kept = record.state.lock().unwrap().kept.released.checked_sub(1);
        // A run that is stopped at once has not read the release position.
        let is_other = released.is_some() && released != kept;
        if !record.shared && (report.rows_rejected != reported || is_other) {
            record.report_violation(format!(
                "of {reported} rejects and a release through {kept:?} a run says {report:?}"
            ));
        }
    }
}

/// The rows of a source record, as a source.
struct Rows<O> {
    record: Arc<SourceRecord>,
    rng: fastrand::Rng,
    /// By call, in the order of [`Call::ALL`].
    streaks: [FailureStreak; 7],
    /// The number of rejects reported to it.
    reported: u64,
    offset: PhantomData<O>,
}

impl<O> Rows<O> {
    fn time_limit(&self) -> Duration {
        Duration::from_millis(self.record.plan.patience_ms)
    }

    /// Fails at random, and always during an outage of this call.
    fn answer(&mut self, call: Call) -> Result<(), SourceUnavailable> {
        self.start(call)?;
        self.note(call, false);
        Ok(())
    }

    /// Like [`answer`](Self::answer), for a call that succeeds later.
    fn start(&mut self, call: Call) -> Result<(), SourceUnavailable> {
        let world = &self.record.world;
        let source_outage = self.record.plan.source_outage;
        let is_outage =
            source_outage.is_some_and(|source_outage| source_outage.applies(call, world.now_ms()));
        let is_transient = !world.faults_are_over() && self.rng.u8(..50) == 0;
        if is_outage {
            world.count(call.name());
        } else if is_transient {
            world.count("source away");
        }
        if is_outage || is_transient {
            self.note(call, true);
            return Err(SourceUnavailable);
        }
        Ok(())
    }

    fn note(&mut self, call: Call, failed: bool) {
        let time_limit = self.time_limit();
        if let Err(why) = self.streaks[call as usize].note(failed, time_limit) {
            self.record.report_violation(format!("{call:?}: {why}"));
        }
    }

    /// Checks that a run gave up its source only after it had failed for the time limit.
    fn check_given_up(&self, error: &Error) {
        self.record.world.count("source given up");
        let longest = self
            .streaks
            .iter()
            .map(FailureStreak::length)
            .max()
            .unwrap();
        if longest < self.time_limit() {
            self.record.report_violation(format!(
                "a source that failed for {longest:?} was given up: {error:?}"
            ));
        }
    }

    /// Simulates the time of a durable write.
    async fn work(&mut self) {
        sleep(Duration::from_millis(self.rng.u64(..500))).await;
    }

    fn kept<R>(&self, look: impl FnOnce(&mut DurableState) -> R) -> R {
        look(&mut self.record.state.lock().unwrap().kept)
    }
}

impl<O: SourceOffset> Source for Rows<O> {
    type Offset = O;
    type Row = Row<'static>;
    type Error = SourceUnavailable;

    async fn read_after(
        &mut self,
        after: Option<&O>,
        max: usize,
    ) -> Result<Batch<O, Row<'static>>, SourceUnavailable> {
        self.answer(Call::Read)?;
        let record = &self.record;
        let next = after.map_or(0, |after| after.row() + 1);
        if next < self.kept(|kept| kept.released) && !record.shared {
            record.report_violation(format!("row {next} is read though it was released"));
        }
        if next >= record.plan.rows {
            return Ok(Batch::end());
        }
        let end = record.plan.rows.min(next + max as u64);
        let attempt = record.world.id();
        let now = tokio::time::Instant::now();
        let there = (next..end).take_while(|n| record.available(n + 1) <= now);
        Ok(Batch::new(
            there.map(|n| (O::of(n), record.row(n, attempt))).collect(),
        ))
    }

    async fn ready(&mut self) -> Result<(), SourceUnavailable> {
        self.start(Call::Ready)?;
        let next = self.record.world.truth.next(self.record.source);
        let now = tokio::time::Instant::now();
        let there = (next + 1..).map(|rows| self.record.available(rows));
        match there.take(1_000).find(|at| *at > now) {
            Some(at) => sleep_until(at).await,
            None => sleep(Duration::from_millis(100)).await,
        }
        // Before this point the run may have dropped the call.
        self.note(Call::Ready, false);
        Ok(())
    }

    async fn release_through(&mut self, through: &O) -> Result<(), SourceUnavailable> {
        self.answer(Call::Release)?;
        let through = through.row();
        let record = Arc::clone(&self.record);
        rejects::release(&record, through);
        self.work().await;
        record.log(format!("released through {through}"));
        self.kept(|kept| kept.released = kept.released.max(through + 1));
        Ok(())
    }

    async fn released(&mut self) -> Result<Option<O>, SourceUnavailable> {
        self.answer(Call::Released)?;
        let mut released = self.kept(|kept| kept.released);
        if self.record.world.sabotage == Some(Sabotage::ForgetRelease) {
            released /= 2;
        }
        Ok(released.checked_sub(1).map(O::of))
    }

    async fn dead_letter(
        &mut self,
        rejected: &Rejected<O>,
        mut rows: Vec<(O, Row<'static>)>,
    ) -> Result<(), SourceUnavailable> {
        self.answer(Call::DeadLetter)?;
        let record = Arc::clone(&self.record);
        match (record.world.sabotage, &mut rows[..]) {
            (Some(Sabotage::SwapDeadLetters), [first, .., last]) => {
                std::mem::swap(&mut first.1, &mut last.1);
            }
            (Some(Sabotage::LoseDeadLetter), [_, .., _]) => {
                let bad = rows
                    .iter()
                    .position(|(offset, _)| record.is_bad(offset.row()));
                rows.remove(bad.unwrap_or(0));
            }
            _ => {}
        }
        rejects::check_dead_letter(&record, rejected, &rows);
        let is_last = rejected.total > self.kept(|kept| kept.seen(&rejected.channel));
        if is_last {
            self.reported += rejected.count;
        }
        self.work().await;
        let (after, through) = (rejected.after.as_ref().map(O::row), rejected.through.row());
        record.log(format!(
            "dead letters of {}: {} after {after:?} through {through}, {} in all",
            rejected.channel, rejected.count, rejected.total
        ));
        let later = match record.world.sabotage {
            Some(Sabotage::KeepDeadLettersLater) if is_last => std::mem::take(&mut rows),
            _ => Vec::new(),
        };
        self.kept(|kept| kept.keep(rejected, &rows));
        if !later.is_empty() {
            let rejected = rejected.clone();
            tokio::spawn(async move {
                sleep(Duration::from_millis(5)).await;
                record.state.lock().unwrap().kept.keep(&rejected, &later);
            });
        }
        Ok(())
    }

    async fn rejects_seen(&mut self, channel: &str) -> Result<Option<u64>, SourceUnavailable> {
        self.answer(Call::RejectsSeen)?;
        // The source has stored all rejects since the first run.
        Ok(Some(self.kept(|kept| kept.seen(channel))))
    }

    async fn check(
        &mut self,
        channel: &str,
        committed: Option<&O>,
    ) -> Result<(), SourceUnavailable> {
        let record = &self.record;
        let committed = committed.map(O::row);
        let landed = record.world.truth.last(record.source, channel);
        if committed > landed || (committed < landed && !record.shared) {
            record.report_violation(format!(
                "{channel} resumes after {committed:?}, and {landed:?} landed last"
            ));
        }
        self.answer(Call::Check)
    }
}
