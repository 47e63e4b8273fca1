//! Groups under faults drawn from a seed: members join, leave, die and sleep at moments drawn from it, the coordinator moves
//! partitions between them, and the server and the network do what they may. Each record of each partition lands once and in
//! order, and no partition stands still once things are calm.
//!
//! `SIM_FIRST` and `SIM_SEEDS` choose the seeds.

mod cluster;
mod member;
mod process;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use snowpipe_streaming::emulator::tables::Catalog;
use snowpipe_streaming::emulator::{Endpoint, Fault, ReplayedToken};
use snowpipe_streaming::ingest::group::{GroupProgress, PartitionState};
use snowpipe_streaming::ingest::{self, Finish};
use snowpipe_streaming::{Recovery, StreamingIngestClient};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use self::cluster::{Cluster, Rules};
use self::member::{Membership, Number};
use self::process::{Network, Process};
use crate::support::World;

const TABLE: &str = "DB.PUBLIC.RIDES";
/// How long after calm everything has landed: a session, two rebalances, the takeover wait, a commit that stalls, pauses between
/// retries.
const BOUND: Duration = Duration::from_secs(400);

fn world(rng: &mut fastrand::Rng) -> World {
    let ddl = "CREATE TABLE DB.PUBLIC.RIDES (P NUMBER, N NUMBER NOT NULL);
        CREATE PIPE DB.PUBLIC.RIDES_PIPE AS COPY INTO DB.PUBLIC.RIDES FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING'))
        MATCH_BY_COLUMN_NAME=CASE_SENSITIVE;";
    let catalog = Catalog::from_ddl(ddl).unwrap();
    let replay = if rng.bool() {
        ReplayedToken::Accept
    } else {
        ReplayedToken::Stale
    };
    let delay = Duration::from_millis(rng.u64(..3_000));
    let seed = rng.u64(..);
    let world = World::with(|e| {
        e.catalog(catalog)
            .seed(seed)
            .replay(replay)
            .commit_delay(delay)
    });
    let must = Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".to_owned());
    for (fault, endpoint) in [
        (Fault::Refuse, Endpoint::Append),
        (Fault::Lose, Endpoint::Append),
        (Fault::ApplyThenLose, Endpoint::Append),
        (Fault::Zombie, Endpoint::Append),
        (Fault::SecondWriter, Endpoint::Append),
        (Fault::Stale, Endpoint::Append),
        (must.clone(), Endpoint::Append),
        (must, Endpoint::Status),
        (Fault::ServerError(503), Endpoint::Open),
        (Fault::ApplyThenLose, Endpoint::Open),
        (
            Fault::WithholdCommits(Duration::from_secs(40)),
            Endpoint::Append,
        ),
    ] {
        if rng.bool() {
            let rate = rng.f64() * 0.05;
            let rule = fault.on(endpoint).at_rate(rate);
            world.emulator.faults().push(rule);
        }
    }
    world
}

/// One history.
struct History {
    world: World,
    cluster: Cluster,
    rng: fastrand::Rng,
    seed: u64,
    calm_at: Instant,
    tasks: JoinSet<()>,
    members: BTreeMap<u64, Live>,
    next_id: u64,
    /// What the members that live have last said of their partitions.
    reports: Arc<Mutex<BTreeMap<(u64, Number), String>>>,
}

/// A member that lives.
struct Live {
    process: Process,
    client: StreamingIngestClient,
    task: AbortHandle,
    stop: Arc<Notify>,
    /// Its session ends then, unless it is resumed before.
    expires: Option<Instant>,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let rules = Rules {
            partitions: rng.usize(1..6),
            session: Duration::from_secs(rng.u64(3..15)),
            heartbeat: Duration::from_secs(1),
            is_eager: rng.u8(..4) == 0,
            is_hasty: rng.u8(..3) == 0,
        };
        let span = Duration::from_secs(rng.u64(20..120));
        let records = rng.i64(20..150);
        Self {
            world: world(&mut rng),
            cluster: Cluster::new(rules, &mut rng, records, span),
            calm_at: Instant::now() + span,
            rng,
            seed,
            tasks: JoinSet::new(),
            members: BTreeMap::new(),
            next_id: 0,
            reports: Arc::default(),
        }
    }

    async fn start(&mut self) {
        self.next_id += 1;
        let process = Process::new(self.next_id);
        let network = Network {
            process: process.clone(),
            inner: Arc::new(self.world.transport()),
            rng: Mutex::new(self.rng.fork()),
            calm_at: self.calm_at,
        };
        let recovery = if self.rng.bool() {
            Recovery::Replay
        } else {
            Recovery::Surface
        };
        let builder = self.world.builder().transport(network);
        let builder = builder.seed(self.rng.u64(..)).recovery(recovery);
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

    fn any(&mut self) -> Option<u64> {
        let ids: Vec<u64> = self.members.keys().copied().collect();
        self.rng.choice(ids)
    }

    /// A member is gone at once. The coordinator learns it when the session is over.
    fn kill(&mut self, id: u64) {
        let Some(member) = self.members.remove(&id) else {
            return;
        };
        self.cluster.count("killed");
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

    fn stop(&mut self, id: u64) {
        if let Some(member) = self.members.remove(&id) {
            member.process.resume();
            member.stop.notify_one();
            self.reports.lock().unwrap().retain(|(at, _), _| *at != id);
        }
    }

    fn suspend(&mut self, id: u64) {
        let session = self.cluster.state().rules.session;
        if let Some(member) = self.members.get_mut(&id)
            && !member.process.is_suspended()
        {
            self.cluster.count("suspended");
            member.process.suspend();
            member.expires = Some(Instant::now() + session);
        }
    }

    /// Ends the sessions of members that sleep for too long.
    fn expire(&mut self) {
        for (id, member) in &mut self.members {
            if member.expires.is_some_and(|at| at <= Instant::now()) {
                member.expires = None;
                self.cluster.remove(*id);
            }
        }
    }

    fn resume(&mut self, id: u64) {
        if let Some(member) = self.members.get_mut(&id) {
            member.expires = None;
            member.process.resume();
        }
    }

    /// One thing that happens.
    async fn step(&mut self) {
        let Some(id) = self.any() else {
            return self.start().await;
        };
        match self.rng.u8(..12) {
            0 | 1 if self.members.len() < 5 => self.start().await,
            2 => self.kill(id),
            3 => self.stop(id),
            4 | 5 => self.suspend(id),
            6 | 7 => self.resume(id),
            8 => {
                // A storm.
                for _ in 0..self.rng.u8(1..6) {
                    self.cluster.rebalance();
                    sleep(Duration::from_millis(self.rng.u64(..800))).await;
                }
                self.cluster.count("storm");
            }
            9 => {
                self.cluster.go_away();
                let session = self.cluster.state().rules.session;
                let away = session.mul_f64(self.rng.f64() * 2.0);
                sleep(away).await;
                if away >= session {
                    self.cluster.end_all_sessions();
                }
                self.cluster.come_back();
                self.cluster.count("coordinator away");
            }
            _ => self.cluster.rebalance(),
        }
    }

    /// What happened how often, or what was wrong.
    async fn run(mut self) -> Result<BTreeMap<&'static str, u64>, String> {
        self.start().await;
        while Instant::now() < self.calm_at {
            let pause = Duration::from_millis(self.rng.u64(100..8_000));
            let until = (Instant::now() + pause).min(self.calm_at);
            sleep_until(until).await;
            self.expire();
            self.step().await;
        }
        self.world.emulator.faults().clear();
        let ids: Vec<u64> = self.members.keys().copied().collect();
        for id in ids {
            self.expire();
            self.resume(id);
        }
        if self.members.is_empty() {
            self.start().await;
        }
        let deadline = Instant::now() + BOUND;
        let done = timeout_at(deadline, self.landed()).await;
        if done.is_err() {
            let reports = self.reports.lock().unwrap().clone();
            self.cluster.blame(format!(
                "a partition stands still; {reports:#?}, sessions: {:?}",
                self.members
                    .keys()
                    .map(|id| self.cluster.is_member(*id))
                    .collect::<Vec<_>>()
            ));
        }
        let ids: Vec<u64> = self.members.keys().copied().collect();
        for id in ids {
            self.stop(id);
        }
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if timeout_at(deadline + BOUND, ended).await.is_err() {
            self.cluster.blame("a group that was stopped did not end");
        }
        self.judge()
    }

    /// Resolves when all rows have landed.
    async fn landed(&self) {
        while !self.has_landed() {
            sleep(Duration::from_secs(1)).await;
        }
    }

    fn has_landed(&self) -> bool {
        let state = self.cluster.state();
        let good = state.records.iter().flat_map(BTreeMap::values);
        let good = good.filter(|record| record.row.get("N").is_some()).count();
        let mut bad = bad(&state.records);
        let are_kept = bad.all(|letter| state.letters.contains(&letter));
        are_kept && self.world.emulator.rows(TABLE).unwrap().len() >= good
    }

    fn judge(self) -> Result<BTreeMap<&'static str, u64>, String> {
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
        if wrong.is_empty() {
            Ok(state.counts.clone())
        } else {
            Err(format!("seed {}: {wrong:#?}\n{:?}", self.seed, state.rules))
        }
    }
}

/// The records that the table rejects.
fn bad(records: &[BTreeMap<i64, cluster::Record>]) -> impl Iterator<Item = (usize, i64)> + '_ {
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
    reports: &Mutex<BTreeMap<(u64, Number), String>>,
    cluster: &Cluster,
    id: u64,
    progress: &GroupProgress<'_, Number, i64>,
) {
    let (partition, report) = (*progress.partition, progress.report);
    if report.state == PartitionState::Failed {
        cluster.count("given up");
    }
    let mut reports = reports.lock().unwrap();
    reports.insert((id, partition), format!("{report:?}"));
}

#[tokio::test(start_paused = true)]
async fn each_record_lands_once_and_no_partition_stands_still() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let first = number("SIM_FIRST").unwrap_or(0);
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let mut wrong = Vec::new();
    for seed in first..first + number("SIM_SEEDS").unwrap_or(40) {
        match History::new(seed).run().await {
            Ok(happened) => {
                for (what, times) in happened {
                    *counts.entry(what).or_default() += times;
                }
            }
            Err(what) => wrong.push(what),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{counts:?}");
}
