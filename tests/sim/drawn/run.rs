//! Executes a script: processes and a server that crash and restart, and the checks at the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use snowpipe_streaming::{ErrorKind, PipePath, Profile, StreamingIngestClient};
use snowpipe_streaming_emulator::Rule;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, sleep_until, timeout_at};

use super::plan::{ChannelPlan, Kind, Plan, ProcessPlan, Step};
use super::script::{Event, RequestSeen};
use super::source_record::{Ending, SourceRecord};
use super::trap::{self, TrappedClock, TrappedCredential};
use super::truth::Sabotage;
use super::wire::Wire;
use super::world::{ClientProcess, TABLE, World};
use super::{ingest_program, judge, tracked_program, untracked_program};
use crate::repeatable::in_virtual_time;

/// How long after the last fault [`Sabotage::StartLate`] starts the programs.
const LATE_START: Duration = Duration::from_secs(40 * 60);

/// The result of a run.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The violations found, in order.
    pub wrong: Vec<String>,
    pub trace: Vec<String>,
    /// How often each injected fault occurred.
    pub counts: BTreeMap<&'static str, u64>,
    pub took: Duration,
    /// The errors that programs received, with their sources.
    pub errors: Vec<(usize, ErrorKind)>,
    /// The requests that the script counted, and its events that did not occur.
    pub seen: Vec<RequestSeen>,
    pub skipped: Vec<Event>,
}

/// How long a process is down after a panic of one of its tasks.
const AFTER_PANIC: Duration = Duration::from_secs(2);

/// How long the process is down. `None`: it does not restart.
type Crash = Option<Duration>;

/// Controls a running process.
struct Handle {
    crash: mpsc::UnboundedSender<Crash>,
}

/// Runs a script from beginning to end, in virtual time.
pub fn run(plan: &Plan, sabotage: Option<Sabotage>) -> Outcome {
    let plan = Arc::new(plan.clone());
    in_virtual_time(async {
        let world = World::new(plan, sabotage);
        execute(&world).await;
        Outcome {
            wrong: [world.wrong(), world.truth.check_history()].concat(),
            trace: world.trace(),
            took: world.start.elapsed(),
            errors: world.errors(),
            seen: world.script.seen(),
            skipped: world.script.skipped(),
            counts: world.counts(),
        }
    })
}

async fn execute(world: &Arc<World>) {
    let mut participants = Participants::new(world);
    let script = async {
        for (at, step) in &world.plan.steps {
            sleep_until(world.start + Duration::from_millis(*at)).await;
            world.log(format!("step {step:?}"));
            participants.step(step);
            world.check();
        }
        sleep_until(world.faults_end()).await;
        world.log("calm");
        world.end_faults();
        let mut steps = world.script.steps();
        loop {
            tokio::select! {
                biased;
                Some(step) = steps.recv() => {
                    world.log(format!("step {step:?}"));
                    participants.step(&step);
                    world.check();
                }
                ended = participants.processes.join_next() => match ended {
                    Some(Ok(())) => {}
                    Some(Err(why)) => world.report_violation(format!("a process panicked: {why}")),
                    None => break,
                },
            }
        }
    };
    let in_time = tokio::select! {
        biased;
        () = world.failed.notified() => return,
        done = timeout_at(world.faults_end() + world.plan.whole_time_limit(), script) => done.is_ok(),
    };
    if !in_time {
        for record in &participants.records {
            if record.ended().is_none() && record.plan.rows > 0 {
                let activity = record.state.lock().unwrap().activity;
                record.report_violation(format!("hangs at {activity}"));
            }
        }
    }
    participants.check();
}

/// The processes of a run and their records.
struct Participants {
    world: Arc<World>,
    records: Vec<Arc<SourceRecord>>,
    handles: Vec<Handle>,
    processes: JoinSet<()>,
}

impl Participants {
    fn new(world: &Arc<World>) -> Self {
        let plan = &world.plan;
        let channels = plan.channels.iter().enumerate();
        let records: Vec<_> = channels
            .map(|(i, channel)| {
                Arc::new(SourceRecord::new(
                    world,
                    i,
                    channel.clone(),
                    format!("c{i}"),
                ))
            })
            .collect();
        let mut participants = Self {
            world: Arc::clone(world),
            records,
            handles: Vec::new(),
            processes: JoinSet::new(),
        };
        for (i, process) in plan.processes.iter().enumerate() {
            let own = participants.records.iter();
            let own = own.filter(|record| record.plan.process == i && record.plan.rows > 0);
            let records = own.cloned().collect();
            let handle = participants.start(process.clone(), records);
            participants.handles.push(handle);
        }
        participants
    }

    fn start(&mut self, plan: ProcessPlan, records: Vec<Arc<SourceRecord>>) -> Handle {
        let (crash, crashes) = mpsc::unbounded_channel();
        if !records.is_empty() {
            let process = Process {
                world: Arc::clone(&self.world),
                plan,
                records,
                crashes,
            };
            self.processes.spawn(process.run());
        }
        Handle { crash }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::ClientCrash { process, down_ms } => {
                let down = Duration::from_millis(*down_ms);
                // A process that has finished cannot crash.
                let _ = self.handles[*process].crash.send(Some(down));
            }
            Step::ServerCrash { lose, down_ms } => {
                self.world.count("server crash");
                if *lose {
                    self.world.count("lost buffer");
                }
                self.world.stop_server();
                let (world, lose) = (Arc::clone(&self.world), *lose);
                let down = Duration::from_millis(*down_ms);
                tokio::spawn(async move {
                    sleep(down).await;
                    world.start_server(lose);
                });
            }
            Step::RivalWriter {
                channel,
                own_source,
                lifetime_ms,
            } => self.start_rival(*channel, *own_source, *lifetime_ms),
            Step::Outage(outage) => {
                self.world.count(outage.part.outage());
                self.world.view().begin(*outage);
            }
            Step::Lag { lag_ms, length_ms } => {
                self.world.count("lagging replica");
                let world = Arc::clone(&self.world);
                world.set_lag(Some(Duration::from_millis(*lag_ms)));
                let length = Duration::from_millis(*length_ms);
                tokio::spawn(async move {
                    sleep(length).await;
                    world.set_lag(None);
                });
            }
            Step::Panic(call) => self.world.trap.arm(*call),
            Step::Inject {
                fault,
                endpoint,
                channel,
            } => {
                let mut rule = match endpoint {
                    Some(endpoint) => fault.clone().on(*endpoint),
                    None => Rule::from(fault.clone()),
                };
                if let Some(channel) = channel {
                    rule = rule.channel(format!("c{channel}"));
                }
                self.world.inject(rule);
            }
        }
    }

    fn start_rival(&mut self, channel: usize, own_source: bool, lifetime_ms: Option<u64>) {
        let victim = Arc::clone(&self.records[channel]);
        if victim.plan.rows == 0 {
            return;
        }
        let record = if own_source {
            self.world.count("rival with a source of its own");
            // Sources must not share tokens: clients could not distinguish them.
            let plan = ChannelPlan {
                kind: Kind::Texts,
                ops: Vec::new(),
                ..victim.plan.clone()
            };
            let name = victim.name.clone();
            let record = Arc::new(SourceRecord::new(&self.world, channel, plan, name));
            self.records.push(Arc::clone(&record));
            record
        } else {
            self.world.count("rival");
            victim
        };
        let process = ProcessPlan {
            is_rival_writer: true,
            ..self.world.plan.processes[record.plan.process].clone()
        };
        let handle = self.start(process, vec![record]);
        if let Some(life) = lifetime_ms.filter(|_| !own_source) {
            tokio::spawn(async move {
                sleep(Duration::from_millis(life)).await;
                let _ = handle.crash.send(None);
            });
        }
    }

    fn check(&self) {
        self.world.check();
        self.world.check_not_committed();
        for record in &self.records {
            record.check();
            for row in 0..record.plan.rows {
                if record.is_bad(row) && record.ended() == Some(Ending::Done) {
                    self.world.count("rejected row");
                }
            }
        }
        judge::takeovers(&self.world, &self.records);
        judge::reopens(&self.world, &self.records);
        judge::outages(&self.world);
    }
}

/// A process with a client and channels, across its crashes and restarts.
struct Process {
    world: Arc<World>,
    plan: ProcessPlan,
    records: Vec<Arc<SourceRecord>>,
    crashes: mpsc::UnboundedReceiver<Crash>,
}

impl Process {
    async fn run(mut self) {
        loop {
            let asks = self
                .records
                .iter()
                .any(|record| record.plan.asks_for_status());
            let only_polls = !asks && self.world.plan.server.open_without_status_per_mille == 0;
            let process = self.world.start_process(&self.plan, only_polls);
            let mut programs = JoinSet::new();
            let crash = tokio::select! {
                biased;
                Some(crash) = self.crashes.recv() => Some(crash),
                ended = work(&self.world, &self.plan, &self.records, &process, &mut programs) => {
                    ended.is_err().then_some(Some(AFTER_PANIC))
                }
            };
            let Some(crash) = crash else {
                return self.check_idle(&process).await;
            };
            self.world.count("client crash");
            process.die();
            programs.shutdown().await;
            if let Some(client) = process.client.lock().unwrap().take() {
                client.abort();
            }
            for record in &self.records {
                record.state.lock().unwrap().unobserved = true;
            }
            let Some(down) = crash else {
                return;
            };
            sleep(down).await;
        }
    }

    /// Checks that the client holds no memory after all channels are closed.
    async fn check_idle(&self, process: &ClientProcess) {
        sleep_until(self.world.faults_end()).await;
        sleep(Duration::from_secs(
            self.plan.close_s + self.plan.settle_s + 5,
        ))
        .await;
        let client = process.client.lock().unwrap().take().unwrap();
        if client.memory_in_use() != 0 {
            let held = client.memory_in_use();
            self.world
                .report_violation(format!("{held} bytes are held at rest"));
        }
        if let Err(error) = client.close().await {
            self.world.report_violation(format!(
                "a client without channels did not close: {error:?}"
            ));
        }
    }
}

/// A task of a program panicked in a call of the client.
struct Panicked;

/// Builds a client, and runs all programs of the process to completion.
async fn work(
    world: &Arc<World>,
    plan: &ProcessPlan,
    records: &[Arc<SourceRecord>],
    process: &Arc<ClientProcess>,
    programs: &mut JoinSet<()>,
) -> Result<(), Panicked> {
    let client = connect(world, plan, process).await?;
    *process.client.lock().unwrap() = Some(client);
    for record in records.iter().filter(|record| record.ended().is_none()) {
        let seed = world.plan.seed ^ (record.source as u64) << 40 ^ process.id << 20;
        let (record, process) = (Arc::clone(record), Arc::clone(process));
        let rng = fastrand::Rng::with_seed(seed);
        programs.spawn(async move {
            if record.world.sabotage == Some(Sabotage::StartLate) {
                sleep_until(record.world.faults_end() + LATE_START).await;
            }
            match record.plan.kind {
                Kind::Untracked { .. } => {
                    untracked_program::Program {
                        record,
                        process,
                        rng,
                    }
                    .run()
                    .await;
                }
                Kind::Source { .. } => {
                    ingest_program::Program {
                        record,
                        process,
                        rng,
                    }
                    .run()
                    .await;
                }
                _ => {
                    tracked_program::Program {
                        record,
                        process,
                        rng,
                    }
                    .run()
                    .await;
                }
            }
        });
    }
    while let Some(ended) = programs.join_next().await {
        let Err(why) = ended else { continue };
        if is_panic_of_trap(why) {
            return Err(Panicked);
        }
        world.report_violation("a program panicked");
    }
    Ok(())
}

fn is_panic_of_trap(why: JoinError) -> bool {
    why.try_into_panic()
        .is_ok_and(|payload| trap::is_sprung(&*payload))
}

async fn connect(
    world: &Arc<World>,
    plan: &ProcessPlan,
    process: &Arc<ClientProcess>,
) -> Result<StreamingIngestClient, Panicked> {
    let seconds = Duration::from_secs;
    loop {
        // A server that is down provides no profile.
        if let Some(server) = world.server() {
            let profile = Profile::from_json(&server.profile_json("http://127.0.0.1")).unwrap();
            let pipe = PipePath::for_table("DB", "PUBLIC", TABLE).unwrap();
            let wire = Wire {
                world: Arc::clone(world),
                process: Arc::clone(process),
            };
            let mut builder = StreamingIngestClient::builder(profile.clone(), pipe)
                .transport(wire)
                .time_source(TrappedClock(Arc::clone(world)))
                .seed(world.plan.seed ^ process.id)
                .offload_threshold(usize::MAX)
                .recovery(plan.recovery)
                .memory_budget(plan.budget)
                .max_request_bytes(plan.request_bytes)
                .max_client_lag(Duration::from_millis(plan.lag_ms))
                .attempt_timeout(seconds(plan.attempt_s))
                .retry_for(seconds(plan.retry_s))
                .commit_stall_timeout(seconds(plan.stall_s))
                .settle_timeout(seconds(plan.settle_s))
                .close_timeout(seconds(plan.close_s))
                .isolate_rejects(plan.isolate);
            if let Some(ms) = plan.append_ms {
                builder = builder.append_timeout(Duration::from_millis(ms));
            }
            let credential = profile.credential().unwrap();
            // In a task of its own, in which a panic is caught.
            match tokio::spawn(builder.build()).await {
                Ok(Ok(client)) => {
                    if world.plan.has_panics() {
                        let world = Arc::clone(world);
                        client.set_credential(TrappedCredential {
                            world,
                            inner: credential,
                        });
                    }
                    return Ok(client);
                }
                Ok(Err(error)) => {
                    world.log(format!("client {} not built: {error:?}", process.id));
                }
                Err(why) => {
                    if !is_panic_of_trap(why) {
                        world.report_violation("the build panicked");
                    }
                    return Err(Panicked);
                }
            }
        }
        sleep(seconds(3)).await;
    }
}
