//! The lives of a client with its producers, one after the other, until all rows are acknowledged.

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

/// What came of a run.
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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let world = World::new(plan);
        tokio::spawn(Arc::clone(&world).trouble());
        let until = world.at(plan.calm_ms) + plan.time_limit();
        if timeout_at(until, world.live()).await.is_err() {
            world.blame("it hangs");
        }
        // What is late arrives.
        sleep_until(world.at(plan.calm_ms)).await;
        sleep(Duration::from_secs(200)).await;
        let landed = world.table();
        let ledger = world.ledger().clone();
        for wrong in ledger.check(&landed) {
            world.blame(wrong);
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
    /// The server goes down and comes back, until it is calm.
    async fn trouble(self: Arc<Self>) {
        for (at, down) in &self.plan.server_downs {
            sleep_until(self.at(*at)).await;
            self.count("server down");
            self.stop_server();
            sleep(Duration::from_millis(*down)).await;
            self.start_server();
        }
        sleep_until(self.at(self.plan.calm_ms)).await;
        self.start_server();
        if let Some(server) = self.server() {
            server.faults().clear();
        }
    }

    async fn live(self: &Arc<Self>) {
        for (at, end) in &self.plan.ends {
            let mut life = Life::begin(self).await;
            let producers = life.producers();
            tokio::select! {
                biased;
                () = sleep_until(self.at(*at)) => {}
                () = work(self, producers, &mut life.tasks) => return life.rest().await,
            }
            self.count(match end {
                End::Crash => "Crash",
                End::Abort => "Abort",
                End::Close => "Close",
            });
            self.log(format!("{end:?}"));
            life.end(*end).await;
            sleep(Duration::from_millis(500)).await;
        }
        let mut life = Life::begin(self).await;
        let producers = life.producers();
        work(self, producers, &mut life.tasks).await;
        life.rest().await;
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
            world.blame(format!("a producer panicked: {why}"));
        }
    }
}

/// One life of the process.
struct Life {
    world: Arc<World>,
    client: StreamingIngestClient,
    is_dead: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl Life {
    async fn begin(world: &Arc<World>) -> Self {
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
        let lives = self.world.ledger().attempts.len() as u64;
        numbers
            .map(|number| Producer {
                world: Arc::clone(&self.world),
                number,
                channel: channel.clone(),
                rng: fastrand::Rng::with_seed(
                    self.world.plan.seed ^ (number as u64) << 40 ^ lives << 50,
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

    /// When all is acknowledged, nothing is held any more.
    async fn rest(self) {
        self.world.client.lock().unwrap().take();
        let held = self.client.memory_in_use();
        if held != 0 {
            self.world.blame(format!("{held} bytes are held at rest"));
        }
        if let Err(error) = self.client.close().await {
            self.world
                .blame(format!("the client did not close: {error:?}"));
        }
        for (producer, unsent) in self.world.ledger().unsent.iter().enumerate() {
            if !unsent.is_empty() {
                self.world
                    .blame(format!("producer {producer} left {unsent:?}"));
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
    // A server that is down has no profile to give.
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
