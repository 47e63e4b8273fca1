//! The state of an elastic run: a server that can be down, a network, and the checks at each request.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use snowpipe_streaming::elastic::FailedAppend;
use snowpipe_streaming::internals::audit_memory;
use snowpipe_streaming::time::{TimeSource as _, TokioClock};
use snowpipe_streaming::transport::{
    Request, Response, Transport, TransportError, TransportErrorKind,
};
use snowpipe_streaming::{ErrorKind, StreamingIngestClient};
use snowpipe_streaming_emulator::{Emulator, Endpoint, Limits, MemoryStorage, Reply};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::super::draw::request_limit;
use super::super::outage::{Outage, Part};
use super::super::script::{RequestPhase, Script};
use super::ledger::{Landed, Ledger, landed};
use super::plan::Plan;
use crate::repeatable::{Trace, described, outcome};

pub struct World {
    pub plan: Plan,
    pub clock: TokioClock,
    pub start: Instant,
    pub ledger: Mutex<Ledger>,
    pub client: Mutex<Option<StreamingIngestClient>>,
    pub script: Arc<Script>,
    outages: Mutex<Vec<(u64, Outage)>>,
    memory: MemoryStorage,
    server: Mutex<Option<Emulator>>,
    restarts: Mutex<u64>,
    rng: Mutex<fastrand::Rng>,
    trace: Trace,
    wrong: Mutex<Vec<String>>,
    counts: Mutex<BTreeMap<&'static str, u64>>,
}

impl World {
    pub fn new(plan: &Plan) -> Arc<Self> {
        let epoch = SystemTime::UNIX_EPOCH + Duration::from_secs(1_768_658_400);
        let unsent = plan.producers.iter().map(|rows| (0..*rows).collect());
        let ledger = Ledger {
            attempts: Vec::new(),
            unsent: unsent.collect(),
        };
        let world = Arc::new(Self {
            clock: TokioClock::starting_at(epoch),
            start: Instant::now(),
            ledger: Mutex::new(ledger),
            client: Mutex::default(),
            script: Script::new(plan.script.clone()),
            outages: Mutex::new(plan.outages.clone()),
            memory: MemoryStorage::new(),
            server: Mutex::default(),
            restarts: Mutex::default(),
            rng: Mutex::new(fastrand::Rng::with_seed(plan.seed ^ 0x006e_6574)),
            trace: Trace::new(),
            wrong: Mutex::default(),
            counts: Mutex::default(),
            plan: plan.clone(),
        });
        world.start_server();
        world
    }

    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    pub fn at(&self, millis: u64) -> Instant {
        self.start + Duration::from_millis(millis)
    }

    pub fn faults_are_over(&self) -> bool {
        Instant::now() >= self.at(self.plan.faults_end_ms)
    }

    pub fn start_server(&self) {
        let mut server = self.server.lock().unwrap();
        if server.is_some() {
            return;
        }
        let mut limits = Limits::default();
        limits.request_bytes = request_limit(&self.plan.answers, self.plan.request_bytes);
        let emulator = Emulator::builder()
            .memory(self.memory.clone())
            // An elastic channel must not depend on the buffer.
            .lose_buffer(true)
            .answers(self.plan.answers)
            .limits(limits)
            .commit_delay(Duration::from_millis(self.plan.commit_ms))
            .token_life(Duration::from_secs(self.plan.token_life_s))
            .seed(self.plan.seed.wrapping_add(*self.restarts.lock().unwrap()))
            .build()
            .unwrap();
        for (fault, per_mille) in self.plan.rates.iter().filter(|_| !self.faults_are_over()) {
            let rule = fault.clone().on(Endpoint::Append);
            emulator
                .faults()
                .push(rule.at_rate(f64::from(*per_mille) / 1000.0));
        }
        *server = Some(emulator);
    }

    pub fn stop_server(&self) {
        if let Some(emulator) = self.server.lock().unwrap().take() {
            *self.restarts.lock().unwrap() += 1;
            for (name, times) in emulator.faults().injected() {
                *self.counts.lock().unwrap().entry(name).or_default() += times;
            }
        }
    }

    pub fn server(&self) -> Option<Emulator> {
        self.server.lock().unwrap().clone()
    }

    /// The table after everything accepted is committed.
    pub fn table(&self) -> Vec<Landed> {
        let server = self.server().unwrap();
        server.commit_now();
        let rows = server.rows("DB.PUBLIC.EVENTS").unwrap();
        rows.iter().map(|row| landed(&row["ROW"])).collect()
    }

    pub fn count(&self, what: &'static str) {
        *self.counts.lock().unwrap().entry(what).or_default() += 1;
    }

    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.stop_server();
        self.counts.lock().unwrap().clone()
    }

    pub fn log(&self, what: impl fmt::Display) {
        self.trace.log(what);
    }

    pub fn trace(&self) -> Vec<String> {
        self.trace.lines()
    }

    pub fn report_violation(&self, what: impl fmt::Display) {
        self.log(format!("WRONG {what}"));
        self.wrong.lock().unwrap().push(what.to_string());
    }

    pub fn wrong(&self) -> Vec<String> {
        self.wrong.lock().unwrap().clone()
    }

    /// The memory in use by the current client, if there is one.
    pub fn memory_in_use(&self) -> Option<usize> {
        let client = self.client.lock().unwrap();
        client.as_ref().map(StreamingIngestClient::memory_in_use)
    }

    fn check(&self) {
        let client = self.client.lock().unwrap();
        let Some(client) = client.as_ref() else {
            return;
        };
        let (held, budget) = (client.memory_in_use(), self.plan.budget);
        if held > budget {
            self.report_violation(format!("{held} bytes are held, {budget} are allowed"));
        }
        if let Err(what) = audit_memory(client) {
            self.report_violation(format!("the byte budget does not add up: {what}"));
        }
    }

    fn request_delay(&self) -> Duration {
        let mut rng = self.rng.lock().unwrap();
        let late = !self.faults_are_over() && rng.u32(..1000) < self.plan.late_per_mille;
        if late {
            self.count("late request");
        }
        Duration::from_millis(if late { rng.u64(1_000..100_000) } else { 0 })
    }

    /// Starts an outage.
    pub fn fail(&self, outage: Outage) {
        let now_ms = u64::try_from(self.start.elapsed().as_millis()).unwrap();
        self.outages.lock().unwrap().push((now_ms, outage));
    }

    /// The outage that affects a request.
    fn outage(&self, request: &Request) -> Option<Outage> {
        let (now, part) = (Instant::now(), Part::of(request));
        let outages = self.outages.lock().unwrap();
        let mut outages = outages.iter();
        let meets = |(at, outage): &&(u64, Outage)| {
            let lasts = self.at(*at)..self.at(at + outage.length_ms);
            lasts.contains(&now) && outage.part.covers(part)
        };
        outages.find(meets).map(|(_, outage)| *outage)
    }

    /// Checks a failed append. If all faults are outages, the error must name one, and a short outage must be survived.
    pub fn judge(&self, failed: &FailedAppend<u64>) {
        let plan = &self.plan;
        if !plan.has_only_outages() {
            return;
        }
        self.count("outage judged");
        let kind = failed.error().kind();
        if kind != ErrorKind::Unreachable {
            self.report_violation(format!("an outage is said to be {kind:?}"));
        }
        let lengths: u64 = plan.outages.iter().map(|(_, o)| o.length_ms / 1000).sum();
        if lengths + plan.attempt_s + 60 < plan.retry_s {
            self.report_violation(format!("an outage was not ridden out: {kind:?}"));
        }
    }

    /// Carries a request to the server and its answer back, even if the caller no longer waits.
    async fn carry(self: Arc<Self>, request: Request) -> Result<Response, TransportError> {
        let what = described(&request);
        let latency = Duration::from_millis(self.plan.latency_ms);
        let number = self.script.number(Part::of(&request));
        self.script.reach(number, RequestPhase::Sent);
        sleep(latency + self.request_delay() + self.script.request_delay(number)).await;
        let reply = match (self.outage(&request), self.server()) {
            (Some(outage), _) => {
                self.count(outage.part.outage());
                self.count(outage.how.name());
                outage.how.reply()
            }
            (None, Some(server)) => {
                let now = self.clock.now();
                self.script.handle(number, &server, now, request)
            }
            (None, None) => Reply::Refuse,
        };
        let restarts = *self.restarts.lock().unwrap();
        self.check();
        let status = |answer: &Response| {
            if answer.status() == http::StatusCode::PAYLOAD_TOO_LARGE {
                self.count("request too large");
            }
            outcome(answer)
        };
        self.log(match &reply {
            Reply::Respond(answer) => format!("{what} -> {}", status(answer)),
            Reply::RespondAfter(wait, answer) => {
                format!("{what} -> {} after {wait:?}", status(answer))
            }
            Reply::Cut(answer) => format!("{what} -> half of {}", status(answer)),
            other => format!("{what} -> {other:?}"),
        });
        self.script.reach(number, RequestPhase::Handled);
        let failed = |kind, why| Err(TransportError::new(kind, why));
        let answer = match reply {
            Reply::Respond(answer) => Ok(answer),
            Reply::RespondAfter(wait, answer) => {
                sleep(wait).await;
                Ok(answer)
            }
            Reply::Refuse => failed(TransportErrorKind::Connect, "no connection"),
            Reply::Reset => failed(TransportErrorKind::Interrupted, "no answer"),
            Reply::Cut(_) => failed(TransportErrorKind::Body, "half an answer"),
            Reply::Hang => std::future::pending().await,
            other => unreachable!("{other:?}"),
        };
        sleep(latency).await;
        let answer = match answer {
            Ok(_) if *self.restarts.lock().unwrap() != restarts => {
                failed(TransportErrorKind::Interrupted, "the server went down")
            }
            answer => answer,
        };
        self.script.arrive(number, answer.is_ok());
        answer
    }
}

/// The transport of a client.
pub struct Wire {
    pub world: Arc<World>,
    pub is_dead: Arc<AtomicBool>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

#[async_trait::async_trait]
impl Transport for Wire {
    async fn call(&self, request: Request) -> Result<Response, TransportError> {
        if self.is_dead.load(Ordering::Relaxed) {
            return std::future::pending().await;
        }
        // In a separate task: a request that was sent arrives even if the client stops.
        let (sender, receiver) = oneshot::channel();
        let carried = Arc::clone(&self.world).carry(request);
        tokio::spawn(async move {
            let _ = sender.send(carried.await);
        });
        match receiver.await {
            Ok(answer) if !self.is_dead.load(Ordering::Relaxed) => answer,
            _ => std::future::pending().await,
        }
    }
}
