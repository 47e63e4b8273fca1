//! One history of a group: its members, what can happen to them, and what must have landed at its end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use snowpipe_streaming::ingest::group::{GroupProgress, PartitionReport, PartitionState};
use snowpipe_streaming::ingest::{self, Finish};
use snowpipe_streaming::{Recovery, StreamingIngestClient};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::cluster::{Cluster, Record};
use super::member::{Membership, Number};
use super::process::{Network, Process, STRAGGLERS};
use super::script::Script;
use crate::repeatable::Traced;
use crate::support::World;

pub const TABLE: &str = "DB.PUBLIC.RIDES";
/// How long after calm everything has landed: a session, two rebalances, the takeover wait, a commit that stalls, pauses between
/// retries.
const BOUND: Duration = Duration::from_secs(580);
/// The default of `takeover_wait`: how long an open waits for the rows of the owner before.
const TAKEOVER_WAIT: Duration = Duration::from_secs(10);
/// How long a new owner waits until the rows of the owner before are counted.
const COUNTED: Duration = Duration::from_secs(5);
/// From an open until the rows are committed: the client's lag of a second, a commit of three, calls that fail and are repeated,
/// and an owner that finds itself fenced, asks whether it owns the partition and opens again.
const STREAMING: Duration = Duration::from_secs(15);
/// How long a takeover takes beside two sessions: one in which the dead member is not missed, and one in which the coordinator
/// waits for its answer.
const TAKEOVER: Duration = TAKEOVER_WAIT
    .saturating_add(COUNTED)
    .saturating_add(STREAMING);
/// When accepted rows that are not committed count as lost.
const COMMIT_STALL: Duration = Duration::from_secs(300);
/// How much longer a takeover takes while requests from before the calm are on their way: they may be the new owner's own, and
/// an open among them discards what the new owner has sent, which it learns when the commit stalls. Then it opens the channel again.
const DISTURBANCE: Duration = STRAGGLERS
    .saturating_add(COMMIT_STALL)
    .saturating_add(TAKEOVER);

/// What came of a history.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub wrong: Vec<String>,
    /// What happened how often.
    pub counts: BTreeMap<&'static str, u64>,
    pub trace: Vec<String>,
}

/// One history.
pub struct History {
    pub world: World,
    pub cluster: Cluster,
    pub rng: fastrand::Rng,
    pub calm_at: Instant,
    tasks: JoinSet<()>,
    pub members: BTreeMap<u64, Live>,
    next_id: u64,
    script: Arc<Script>,
    /// What the members that live have last said of their partitions.
    reports: Arc<Mutex<Reports>>,
}

type Reports = BTreeMap<(u64, Number), PartitionReport<i64>>;

/// A member that lives.
pub struct Live {
    process: Process,
    client: StreamingIngestClient,
    task: AbortHandle,
    stop: Arc<Notify>,
    /// Its session ends then, unless it is resumed before.
    expires: Option<Instant>,
}

impl History {
    pub fn new(
        world: World,
        cluster: Cluster,
        rng: fastrand::Rng,
        calm_at: Instant,
        script: Arc<Script>,
    ) -> Self {
        Self {
            world,
            cluster,
            rng,
            calm_at,
            script,
            tasks: JoinSet::new(),
            members: BTreeMap::new(),
            next_id: 0,
            reports: Arc::default(),
        }
    }

    pub fn script(&self) -> Arc<Script> {
        Arc::clone(&self.script)
    }

    pub async fn start(&mut self) {
        self.next_id += 1;
        let process = Process::new(self.next_id);
        self.cluster.log(format!("{} starts", process.id));
        let network = Network {
            process: process.clone(),
            inner: Arc::new(Traced {
                inner: self.world.transport(),
                client: process.id.to_string(),
                trace: Arc::clone(&self.cluster.trace),
            }),
            rng: Mutex::new(self.rng.fork()),
            calm_at: self.calm_at,
            script: Arc::clone(&self.script),
        };
        let recovery = if self.rng.bool() {
            Recovery::Replay
        } else {
            Recovery::Surface
        };
        let builder = self.world.builder().transport(network);
        let builder = builder.seed(self.rng.u64(..)).recovery(recovery);
        let builder = builder.commit_stall_timeout(COMMIT_STALL);
        let Ok(client) = builder.build().await else {
            return;
        };
        let stop = Arc::new(Notify::new());
        let mut membership =
            Membership::new(self.cluster.clone(), process.clone(), self.rng.fork());
        let (batch_rows, max) = (self.rng.usize(1..40), self.rng.u64(10..100));
        let total = self.rng.u64(20..150);
        let drain = Duration::from_millis(self.rng.u64(..20_000));
        let task = {
            let (client, stop) = (client.clone(), Arc::clone(&stop));
            let (cluster, reports) = (self.cluster.clone(), Arc::clone(&self.reports));
            let id = process.id;
            self.tasks.spawn(async move {
                let ended = ingest::group(&client, "rides", &mut membership)
                    .batch_rows(batch_rows)
                    .max_in_flight(max)
                    .total_in_flight(total)
                    .drain_timeout(drain)
                    .observe(|progress| note(&reports, &cluster, id, progress))
                    .until(stop.notified())
                    .await;
                match ended {
                    Ok(report) if report.finish == Finish::Stopped => cluster.count("stopped"),
                    other => cluster.blame(format!("a group ended with {other:?}")),
                }
            })
        };
        let live = Live {
            process,
            client,
            task,
            stop,
            expires: None,
        };
        self.members.insert(self.next_id, live);
    }

    pub fn any(&mut self) -> Option<u64> {
        let ids: Vec<u64> = self.members.keys().copied().collect();
        self.rng.choice(ids)
    }

    /// A member is gone at once. The coordinator learns it when the session is over.
    pub fn kill(&mut self, id: u64) {
        let Some(member) = self.members.remove(&id) else {
            return;
        };
        self.cluster.count("killed");
        self.cluster.log(format!("{id} is killed"));
        member.process.kill();
        member.task.abort();
        member.client.abort();
        let (cluster, session) = (self.cluster.clone(), self.cluster.state().rules.session);
        tokio::spawn(async move {
            sleep(session).await;
            cluster.remove(id);
        });
        self.reports.lock().unwrap().retain(|(at, _), _| *at != id);
    }

    pub fn stop(&mut self, id: u64) {
        if let Some(member) = self.members.remove(&id) {
            self.cluster.log(format!("{id} is asked to stop"));
            member.process.resume();
            member.stop.notify_one();
            self.reports.lock().unwrap().retain(|(at, _), _| *at != id);
        }
    }

    pub fn suspend(&mut self, id: u64) {
        let session = self.cluster.state().rules.session;
        if let Some(member) = self.members.get_mut(&id)
            && !member.process.is_suspended()
        {
            self.cluster.count("suspended");
            self.cluster.log(format!("{id} is suspended"));
            member.process.suspend();
            member.expires = Some(Instant::now() + session);
        }
    }

    /// Ends the sessions of members that sleep for too long.
    pub fn expire(&mut self) {
        for (id, member) in &mut self.members {
            if member.expires.is_some_and(|at| at <= Instant::now()) {
                member.expires = None;
                self.cluster.remove(*id);
            }
        }
    }

    pub fn resume(&mut self, id: u64) {
        if let Some(member) = self.members.get_mut(&id) {
            member.expires = None;
            self.cluster.log(format!("{id} runs"));
            member.process.resume();
        }
    }

    /// Nothing goes wrong any more: everything lands, also what the cluster gets while a member dies, before and after the last
    /// delayed request has arrived.
    pub async fn settle(mut self) -> Outcome {
        self.cluster.log("calm");
        self.world.emulator.faults().clear();
        let ids: Vec<u64> = self.members.keys().copied().collect();
        for id in ids {
            self.expire();
            self.resume(id);
        }
        if self.members.is_empty() {
            self.start().await;
        }
        if self.lands_within(BOUND, "a partition stands still").await
            && self.take_over(DISTURBANCE).await
        {
            sleep_until(self.calm_at + STRAGGLERS).await;
            self.take_over(Duration::ZERO).await;
        }
        let ids: Vec<u64> = self.members.keys().copied().collect();
        for id in ids {
            self.stop(id);
        }
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if timeout_at(Instant::now() + BOUND, ended).await.is_err() {
            self.cluster.blame("a group that was stopped did not end");
        }
        self.judge()
    }

    /// A member dies, and the others take its partitions over.
    async fn take_over(&mut self, disturbance: Duration) -> bool {
        if self.members.len() == 1 {
            self.start().await;
        }
        let session = self.add_records();
        if let Some(id) = self.any() {
            self.kill(id);
        }
        let bound = 2 * session + TAKEOVER + disturbance;
        self.lands_within(bound, "a takeover takes too long").await
    }

    /// More records in each partition. Returns how long a session lasts.
    fn add_records(&self) -> Duration {
        let mut state = self.cluster.state();
        let at = Instant::now();
        for (partition, records) in state.records.iter_mut().enumerate() {
            let last = records.keys().next_back().copied().unwrap_or(0);
            for offset in last + 1..last + 6 {
                let row = json!({ "P": partition, "N": offset });
                records.insert(offset, Record { row, at });
            }
        }
        state.rules.session
    }

    async fn lands_within(&self, bound: Duration, what: &str) -> bool {
        let has_landed = timeout_at(Instant::now() + bound, self.landed()).await;
        if has_landed.is_err() {
            let reports = self.reports.lock().unwrap().clone();
            let reports = reports.iter();
            let reports = reports.map(|((id, partition), report)| (id, partition.0, report));
            let reports: Vec<_> = reports.collect();
            self.cluster.blame(format!("{what}: {reports:?}"));
        }
        has_landed.is_ok()
    }

    /// Resolves when all rows have landed, and each partition is streamed by its owner.
    async fn landed(&self) {
        while !self.has_landed() || !self.is_streamed() {
            sleep(Duration::from_secs(1)).await;
        }
    }

    fn is_streamed(&self) -> bool {
        let reports = self.reports.lock().unwrap();
        let partitions = self.cluster.state().rules.partitions;
        (0..partitions).all(|partition| {
            let owner = self.cluster.owner(partition);
            let report = owner.and_then(|owner| reports.get(&(owner, Number(partition))));
            report.is_some_and(|report| report.state == PartitionState::Streaming)
        })
    }

    fn has_landed(&self) -> bool {
        let state = self.cluster.state();
        let good = state.records.iter().flat_map(BTreeMap::values);
        let good = good.filter(|record| record.row.get("N").is_some()).count();
        let mut bad = bad(&state.records);
        let are_kept = bad.all(|letter| state.letters.contains(&letter));
        are_kept && self.world.emulator.rows(TABLE).unwrap().len() >= good
    }

    fn judge(self) -> Outcome {
        let state = self.cluster.state();
        let mut wrong = state.wrong.clone();
        let mut landed: BTreeMap<usize, Vec<i64>> = BTreeMap::new();
        for row in self.world.emulator.rows(TABLE).unwrap() {
            let partition = usize::try_from(row["P"].as_u64().unwrap()).unwrap();
            let offset = row["N"].as_i64().unwrap();
            landed.entry(partition).or_default().push(offset);
        }
        for (partition, records) in state.records.iter().enumerate() {
            let good = records
                .iter()
                .filter(|(_, record)| record.row.get("N").is_some());
            let good: Vec<i64> = good.map(|(offset, _)| *offset).collect();
            let landed = landed.remove(&partition).unwrap_or_default();
            self.cluster
                .log(format!("landed of {partition}: {landed:?}"));
            if landed != good {
                let at = landed.iter().zip(&good).take_while(|(a, b)| a == b).count();
                let near = |list: &[i64]| {
                    format!("{:?}", list.iter().skip(at).take(5).collect::<Vec<_>>())
                };
                wrong.push(format!(
                    "partition {partition}: {} of {} rows landed; from {at} on {} in place of {}",
                    landed.len(),
                    good.len(),
                    near(&landed),
                    near(&good)
                ));
            }
        }
        let missing = bad(&state.records).filter(|letter| !state.letters.contains(letter));
        let missing: Vec<_> = missing.collect();
        if !missing.is_empty() {
            wrong.push(format!("no dead letters: {missing:?}"));
        }
        if !wrong.is_empty() {
            wrong.push(format!("{:?}", state.rules));
        }
        Outcome {
            wrong,
            counts: state.counts.clone(),
            trace: self.cluster.trace.lines(),
        }
    }
}

/// The records that the table rejects.
fn bad(records: &[BTreeMap<i64, Record>]) -> impl Iterator<Item = (usize, i64)> + '_ {
    let records = records.iter().enumerate();
    records.flat_map(|(partition, records)| {
        let bad = records
            .iter()
            .filter(|(_, record)| record.row.get("N").is_none());
        bad.map(move |(offset, _)| (partition, *offset))
    })
}

/// Remembers the last report of each partition.
fn note(
    reports: &Mutex<Reports>,
    cluster: &Cluster,
    id: u64,
    progress: &GroupProgress<'_, Number, i64>,
) {
    let (partition, report) = (*progress.partition, progress.report);
    if report.state == PartitionState::Failed {
        cluster.count("given up");
    }
    let last = reports
        .lock()
        .unwrap()
        .insert((id, partition), report.clone());
    let what = |report: &PartitionReport<i64>| {
        format!(
            "{:?}, {} reopens, {:?}",
            report.state, report.reopens, report.error
        )
    };
    let now = what(report);
    if last.is_none_or(|last| what(&last) != now) {
        cluster.log(format!("{id}: {partition} {now}"));
    }
}
