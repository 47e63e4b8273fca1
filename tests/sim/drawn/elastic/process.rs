//! Runs clients with their producers, one after the other, until all rows are acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use snowpipe_streaming::{Profile, StreamingIngestClient};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout_at};

use super::ledger::{Landed, Ledger};
use super::plan::{End, Plan};
use super::producer::Producer;
use super::world::{Wire, World};
use crate::repeatable::in_virtual_time;

/// The result of a run.
#[derive(Debug, PartialEq, Eq)]
pub struct History {
    pub wrong: Vec<String>,
    pub trace: Vec<String>,
    pub counts: BTreeMap<&'static str, u64>,
    pub landed: Vec<Landed>,
    pub ledger: Ledger,
}

/// Runs a script from beginning to end, in virtual time.
pub fn run(plan: &Plan) -> History {
    in_virtual_time(async {
        let world = World::new(plan);
        tokio::spawn(Arc::clone(&world).interrupt_server());
        let until = world.at(plan.faults_end_ms) + plan.time_limit();
        if timeout_at(until, world.run_client()).await.is_err() {
            world.report_violation("it hangs");
        }
        // Delayed requests arrive.
        sleep_until(world.at(plan.faults_end_ms)).await;
        sleep(Duration::from_secs(200)).await;
        let landed = world.table();
        let ledger = world.ledger().clone();
        for wrong in ledger.check(&landed) {
            world.report_violation(wrong);
        }
        let mut counts = world.counts();
        counts.extend(ledger.counts(&landed));
        History {
            wrong: world.wrong(),
            trace: world.trace(),
            counts,
            landed,
            ledger,
        }
    })
}

impl World {
    /// Stops and restarts the server, until the last fault.
    async fn interrupt_server(self: Arc<Self>) {
        for (at, down) in &self.plan.server_downs {
            sleep_until(self.at(*at)).await;
            self.count("server down");
            self.stop_server();
            sleep(Duration::from_millis(*down)).await;
            self.start_server();
        }
        sleep_until(self.at(self.plan.faults_end_ms)).await;
        self.start_server();
        if let Some(server) = self.server() {
            server.faults().clear();
        }
    }

    async fn run_client(self: &Arc<Self>) {
        for (at, end) in &self.plan.ends {
            let mut client_run = ClientRun::start(self).await;
            let producers = client_run.producers();
            tokio::select! {
                biased;
                () = sleep_until(self.at(*at)) => {}
                () = work(self, producers, &mut client_run.tasks) => return client_run.check_idle().await,
            }
            self.count(match end {
                End::Crash => "Crash",
                End::Abort => "Abort",
                End::Close => "Close",
            });
            self.log(format!("{end:?}"));
            client_run.end(*end).await;
            sleep(Duration::from_millis(500)).await;
        }
        let mut client_run = ClientRun::start(self).await;
        let producers = client_run.producers();
        work(self, producers, &mut client_run.tasks).await;
        client_run.check_idle().await;
    }
}

async fn work(world: &Arc<World>, producers: Vec<Producer>, tasks: &mut JoinSet<()>) {
    for producer in producers {
        tasks.spawn(producer.run());
    }
    join(world, tasks).await;
}

async fn join(world: &Arc<World>, tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(why) = ended {
            world.report_violation(format!("a producer panicked: {why}"));
        }
    }
}

/// A client and its producers, from start to crash or end.
struct ClientRun {
    world: Arc<World>,
    client: StreamingIngestClient,
    is_dead: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl ClientRun {
    async fn start(world: &Arc<World>) -> Self {
        let is_dead = Arc::<AtomicBool>::default();
        loop {
            if let Some(client) = connect(world, &is_dead).await {
                *world.client.lock().unwrap() = Some(client.clone());
                return Self {
                    world: Arc::clone(world),
                    client,
                    is_dead,
                    tasks: JoinSet::new(),
                };
            }
            sleep(Duration::from_secs(3)).await;
        }
    }

    fn producers(&self) -> Vec<Producer> {
        let channel = self.client.elastic_channel();
        let numbers = 0..self.world.plan.producers.len();
        let attempts = self.world.ledger().attempts.len() as u64;
        numbers
            .map(|number| Producer {
                world: Arc::clone(&self.world),
                number,
                channel: channel.clone(),
                rng: fastrand::Rng::with_seed(
                    self.world.plan.seed ^ (number as u64) << 40 ^ attempts << 50,
                ),
                acks: Vec::new(),
                unobserved: BTreeSet::new(),
                checked: 0,
            })
            .collect()
    }

    async fn end(mut self, end: End) {
        self.world.client.lock().unwrap().take();
        match end {
            End::Crash => {
                self.is_dead.store(true, Ordering::Relaxed);
                self.client.abort();
                self.tasks.shutdown().await;
                self.world.ledger().forget();
            }
            End::Abort => {
                self.client.abort();
                join(&self.world, &mut self.tasks).await;
            }
            End::Close => {
                let closed = self.client.close().await;
                self.world.log(format!("closed: {}", closed.is_ok()));
                join(&self.world, &mut self.tasks).await;
            }
        }
    }

    /// Checks that the client holds no memory after everything is acknowledged.
    async fn check_idle(self) {
        self.world.client.lock().unwrap().take();
        let held = self.client.memory_in_use();
        if held != 0 {
            self.world
                .report_violation(format!("{held} bytes are held at rest"));
        }
        if let Err(error) = self.client.close().await {
            self.world
                .report_violation(format!("the client did not close: {error:?}"));
        }
        for (producer, unsent) in self.world.ledger().unsent.iter().enumerate() {
            if !unsent.is_empty() {
                self.world
                    .report_violation(format!("producer {producer} left {unsent:?}"));
            }
        }
    }
}

pub async fn connect(
    world: &Arc<World>,
    is_dead: &Arc<AtomicBool>,
) -> Option<StreamingIngestClient> {
    let plan = &world.plan;
    let seconds = Duration::from_secs;
    // A server that is down provides no profile.
    let profile = world.server()?.profile_json("http://127.0.0.1");
    let profile = Profile::from_json(&profile).unwrap();
    let wire = Wire {
        world: Arc::clone(world),
        is_dead: Arc::clone(is_dead),
    };
    let mut builder = StreamingIngestClient::for_table(profile, "DB", "PUBLIC", "EVENTS")
        .unwrap()
        .transport(wire)
        .time_source(world.clock)
        .seed(plan.seed)
        .offload_threshold(usize::MAX)
        .memory_budget(plan.budget)
        .max_client_lag(Duration::from_millis(plan.lag_ms))
        .attempt_timeout(seconds(plan.attempt_s))
        .retry_for(seconds(plan.retry_s))
        .close_timeout(seconds(plan.close_s))
        .elastic_requests(plan.requests);
    if let Some(ms) = plan.append_ms {
        builder = builder.append_timeout(Duration::from_millis(ms));
    }
    let built = builder.build().await;
    built
        .inspect_err(|why| world.log(format!("no client: {why:?}")))
        .ok()
}
