//! An elastic channel and a program that appends through it until every row is acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use snowpipe_streaming::elastic::Ack;
use snowpipe_streaming::{ElasticChannel, ErrorKind, StreamingIngestClient};
use snowpipe_streaming_emulator::Fault;
use snowpipe_streaming_emulator::answers::Answers;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::choice::{Choice, Entry};
use super::explain::unexplained;
use super::search::{History, Subject};
use crate::drawn::content::content;
use crate::drawn::elastic::plan::Plan;
use crate::drawn::elastic::process::connect;
use crate::drawn::elastic::world::World;
use crate::drawn::plan::Step;
use crate::drawn::script::Event;
use crate::repeatable::in_virtual_time;

/// The number of rows. Each append has one.
const ROWS: u64 = 5;
/// The interval between rows.
const GAP: Duration = Duration::from_millis(50);
/// The timeout for all acknowledgements.
const TIMEOUT: Duration = Duration::from_secs(45 * 60);

#[derive(Debug)]
pub struct Elastic;

impl Subject for Elastic {
    fn name(&self) -> &'static str {
        "elastic"
    }

    fn least(&self) -> [u64; 3] {
        [130, 5_000, 5_000]
    }

    /// An elastic channel has no tokens, is not opened or polled, and accepted rows survive a crash of the server.
    fn has(&self, entry: &Entry, _: &[Choice]) -> bool {
        let is_of_channel = matches!(
            entry.event,
            Event::Fault(
                Fault::SecondWriter
                    | Fault::ForeignToken(_)
                    | Fault::Invalidate(_)
                    | Fault::WithholdCommits(_)
                    | Fault::Stale
            )
        );
        let is_loss = matches!(
            entry.event.step(),
            Some(Step::ServerCrash { lose: true, .. } | Step::RivalWriter { .. })
        );
        !is_of_channel && !is_loss
    }

    fn run(&self, choices: &[Choice]) -> History {
        in_virtual_time(run(choices))
    }
}

async fn run(choices: &[Choice]) -> History {
    let world = World::new(&plan(choices));
    let mut program = Program {
        world: Arc::clone(&world),
        errors: Vec::new(),
    };
    if timeout(TIMEOUT, program.run()).await.is_err() {
        world.report_violation("it hangs");
    }
    // Delayed requests arrive.
    sleep(Duration::from_secs(200)).await;
    let landed = world.table();
    for wrong in world.ledger().check(&landed) {
        world.report_violation(wrong);
    }
    let mut wrong = world.wrong();
    if let Some(kind) = unexplained(&program.errors, choices) {
        wrong.push(format!("{kind:?} names no fault that was injected"));
    }
    History {
        wrong,
        seen: world.script.seen(),
        skipped: world.script.skipped(),
        trace: world.trace(),
    }
}

fn plan(choices: &[Choice]) -> Plan {
    let script = choices
        .iter()
        .map(|choice| (choice.request, choice.entry.event.clone()));
    Plan {
        seed: 0,
        rates: Vec::new(),
        ends: Vec::new(),
        server_downs: Vec::new(),
        outages: Vec::new(),
        script: Some(script.collect()),
        faults_end_ms: 0,
        latency_ms: 30,
        late_per_mille: 0,
        request_bytes: None,
        token_life_s: 3_600,
        answers: Answers::default(),
        commit_ms: 150,
        producers: vec![ROWS],
        chunk: 1,
        awaited: 0,
        noise: 8,
        pause_ms: 0,
        lag_ms: 0,
        budget: 64 << 20,
        requests: 2,
        attempt_s: 10,
        retry_s: 60,
        close_s: 90,
        append_ms: None,
    }
}

struct Program {
    world: Arc<World>,
    errors: Vec<ErrorKind>,
}

impl Program {
    /// Runs the program repeatedly after crashes, until one run completes.
    async fn run(&mut self) {
        let world = Arc::clone(&self.world);
        let mut steps = world.script.steps();
        loop {
            let is_dead = Arc::<AtomicBool>::default();
            let client = loop {
                match connect(&world, &is_dead).await {
                    Some(client) => break client,
                    None => sleep(Duration::from_secs(3)).await,
                }
            };
            world.script.start_counting();
            *world.client.lock().unwrap() = Some(client.clone());
            let crash = tokio::select! {
                biased;
                down = crash(&world, &mut steps) => Some(down),
                () = self.work(&client) => None,
            };
            world.client.lock().unwrap().take();
            let Some(down) = crash else {
                return self.check_idle(client).await;
            };
            is_dead.store(true, Ordering::Relaxed);
            client.abort();
            world.ledger().forget();
            sleep(down).await;
        }
    }

    async fn work(&mut self, client: &StreamingIngestClient) {
        let channel = client.elastic_channel();
        loop {
            let unsent: Vec<u64> = self.world.ledger().unsent[0].iter().copied().collect();
            if unsent.is_empty() {
                return;
            }
            let (mut acks, mut failures) = (Vec::new(), 0);
            for row in unsent {
                acks.extend(self.append(&channel, row).await);
                sleep(GAP).await;
            }
            for ack in acks {
                failures += u64::from(!self.settle(ack).await);
            }
            // A checkpoint counts all failures, and returns the rows of those that no acknowledgement reported.
            let reported = match channel.checkpoint().await {
                Ok(()) => 0,
                Err(error) if error.failed().is_empty() => error.failures(),
                Err(error) => {
                    self.world
                        .report_violation(format!("reported twice: {error:?}"));
                    return;
                }
            };
            if reported != failures {
                let what =
                    format!("{failures} appends failed, and a checkpoint reports {reported}");
                self.world.report_violation(what);
            }
        }
    }

    async fn append(&mut self, channel: &ElasticChannel<u64>, row: u64) -> Option<Ack<u64>> {
        let attempt = self.world.ledger().attempt(0, vec![row]);
        let text = content(0, row, attempt, 8);
        let row = json!({ "P": 0, "N": row, "A": attempt, "X": text });
        let done = channel.append_row(&row, attempt).await;
        self.world
            .log(format!("append {attempt}: {}", done.is_ok()));
        match done {
            Ok(ack) => Some(ack),
            Err(error) => {
                self.errors.push(error.kind());
                self.world.ledger().not_appended(attempt);
                None
            }
        }
    }

    /// Whether the rows of an append are accepted.
    async fn settle(&mut self, ack: Ack<u64>) -> bool {
        let outcome = ack.await;
        self.world.log(format!("reported {outcome:?}"));
        let mut ledger = self.world.ledger();
        match &outcome {
            Ok(accepted) => ledger.accepted(accepted),
            Err(failed) => {
                ledger.failed(failed);
                self.errors.push(failed.error().kind());
            }
        }
        outcome.is_ok()
    }

    /// When everything is acknowledged, no memory is in use.
    async fn check_idle(&self, client: StreamingIngestClient) {
        let held = client.memory_in_use();
        if held != 0 {
            self.world
                .report_violation(format!("{held} bytes are held at rest"));
        }
        if let Err(error) = client.close().await {
            self.world
                .report_violation(format!("the client did not close: {error:?}"));
        }
    }
}

/// Runs the world until the client crashes. Returns how long the client is down.
async fn crash(world: &Arc<World>, steps: &mut mpsc::UnboundedReceiver<Step>) -> Duration {
    while let Some(step) = steps.recv().await {
        world.log(format!("step {step:?}"));
        match step {
            Step::ClientCrash { down_ms, .. } => return Duration::from_millis(down_ms),
            Step::ServerCrash { down_ms, .. } => {
                world.stop_server();
                let world = Arc::clone(world);
                tokio::spawn(async move {
                    sleep(Duration::from_millis(down_ms)).await;
                    world.start_server();
                });
            }
            Step::Outage(outage) => world.fail(outage),
            other => world.report_violation(format!("an elastic channel has no {other:?}")),
        }
    }
    std::future::pending().await
}
