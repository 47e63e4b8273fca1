//! The state of a run: a server that can be down, a network, the running clients, and the checks after each step.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use http::StatusCode;
use snowpipe_streaming::internals::audit_memory;
use snowpipe_streaming::time::{TimeSource as _, TokioClock};
use snowpipe_streaming::transport::{Request, Response};
use snowpipe_streaming::{Commits, Error, ErrorKind, StreamingIngestClient};
use snowpipe_streaming_emulator::answers::EarlierToken;
use snowpipe_streaming_emulator::tables::{Catalog, Column, ObjectName, Table};
use snowpipe_streaming_emulator::{
    DataType, Emulator, Endpoint, Fault, Limits, MemoryStorage, Reply, Rule,
};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::client_view::{ClientView, RequestInfo};
use super::contention::ChannelOpens;
use super::draw::request_limit;
use super::outage::Part;
use super::plan::{Plan, ProcessPlan};
use super::script::Script;
use super::source_record::Reader;
use super::trap::Trap;
use super::truth::{GroundTruth, Sabotage};
use crate::repeatable::Trace;

/// The table behind the pipe of every run.
pub const TABLE: &str = "RIDES";

pub struct World {
    pub plan: Arc<Plan>,
    pub truth: Arc<GroundTruth>,
    /// What is falsified, to test that a check detects it.
    pub sabotage: Option<Sabotage>,
    pub clock: TokioClock,
    pub start: Instant,
    /// Notified when a violation is found.
    pub failed: Notify,
    pub script: Arc<Script>,
    pub trap: Trap,
    errors: Mutex<Vec<(usize, ErrorKind)>>,
    memory: MemoryStorage,
    server: Mutex<Server>,
    rng: Mutex<fastrand::Rng>,
    trace: Trace,
    wrong: Mutex<Vec<String>>,
    counts: Mutex<BTreeMap<&'static str, u64>>,
    running: Mutex<BTreeMap<u64, Arc<ClientProcess>>>,
    watched: Mutex<BTreeMap<(u64, usize), WatchedChannel>>,
    not_committed: Mutex<Vec<NotCommitted>>,
    view: Mutex<ClientView>,
    pub opens: Mutex<ChannelOpens>,
    /// The lag of statuses.
    lag: Mutex<Option<Duration>>,
    ids: AtomicU64,
}

#[derive(Default)]
struct Server {
    emulator: Option<Emulator>,
    /// How often it stopped.
    restarts: u64,
}

/// A channel whose committed token is checked at each step.
struct WatchedChannel {
    commits: Commits,
    read: Reader,
}

/// Rows that a client reported as not committed.
struct NotCommitted {
    source: usize,
    rows: Range<u64>,
    attempt: u64,
}

/// A process from its start to its crash or end.
#[derive(Debug)]
pub struct ClientProcess {
    pub id: u64,
    pub budget: usize,
    /// Its `retry_for`.
    pub time_limit: Duration,
    /// Whether only the poller calls for statuses.
    pub only_polls: bool,
    pub is_rival_writer: bool,
    is_dead: AtomicBool,
    pub client: Mutex<Option<StreamingIngestClient>>,
}

impl ClientProcess {
    /// Marks the process as dead: it sends nothing more.
    pub fn die(&self) {
        self.is_dead.store(true, Ordering::Relaxed);
    }

    pub fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::Relaxed)
    }
}

impl World {
    pub fn new(plan: Arc<Plan>, sabotage: Option<Sabotage>) -> Arc<Self> {
        let start = Instant::now();
        let truth = Arc::new(GroundTruth::new(start));
        let epoch = SystemTime::UNIX_EPOCH + Duration::from_secs(1_768_658_400);
        let world = Arc::new(Self {
            script: Script::new(plan.script.clone()),
            trap: Trap::default(),
            errors: Mutex::default(),
            memory: MemoryStorage::new(),
            truth,
            sabotage,
            clock: TokioClock::starting_at(epoch),
            start,
            failed: Notify::new(),
            server: Mutex::default(),
            rng: Mutex::new(fastrand::Rng::with_seed(plan.seed ^ 0x006e_6574)),
            trace: Trace::new(),
            wrong: Mutex::default(),
            counts: Mutex::default(),
            running: Mutex::default(),
            watched: Mutex::default(),
            not_committed: Mutex::default(),
            view: Mutex::default(),
            opens: Mutex::default(),
            lag: Mutex::default(),
            ids: AtomicU64::new(0),
            plan,
        });
        world.start_server(false);
        world
    }

    /// A unique number.
    pub fn id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap()
    }

    /// The time after which no fault is injected.
    pub fn faults_end(&self) -> Instant {
        self.start + Duration::from_millis(self.plan.faults_end_ms)
    }

    pub fn faults_are_over(&self) -> bool {
        Instant::now() >= self.faults_end()
    }

    pub fn start_server(&self, lose: bool) {
        let mut server = self.server.lock().unwrap();
        if server.emulator.is_some() {
            return;
        }
        let plan = &self.plan.server;
        let mut limits = Limits::default();
        limits.request_bytes = request_limit(&plan.answers, plan.request_bytes);
        limits.requests_per_second = plan.requests_per_second;
        limits.status_names = plan.status_names;
        let emulator = Emulator::builder()
            .catalog(catalog())
            .memory(self.memory.clone())
            .on_commit(self.truth.observer(self.sabotage))
            .lose_buffer(lose)
            .answers(plan.answers)
            .limits(limits)
            .commit_delay(Duration::from_millis(plan.commit_delay_ms))
            .commit_every(Duration::from_millis(plan.commit_every_ms))
            .token_life(Duration::from_secs(plan.token_life_s))
            .seed(self.plan.seed.wrapping_add(server.restarts))
            .build()
            .unwrap();
        self.set_rules(&emulator);
        server.emulator = Some(emulator);
    }

    /// Replaces the emulator's random faults by those that apply now.
    fn set_rules(&self, emulator: &Emulator) {
        let faults = emulator.faults();
        faults.clear();
        if self.faults_are_over() {
            return;
        }
        if let Some(lag) = *self.lag.lock().unwrap() {
            faults.push(Fault::StaleStatus(lag).on(Endpoint::Status).always());
        }
        for rate in &self.plan.rates {
            let rule = Rule::from(rate.fault.clone());
            let rule = rate
                .endpoint
                .map_or(rule, |endpoint| rate.fault.clone().on(endpoint));
            let per_mille = u32::try_from(rate.per_mille).unwrap();
            faults.push(rule.at_rate(f64::from(per_mille) / 1000.0));
        }
    }

    /// Sets the lag of statuses.
    pub fn set_lag(&self, lag: Option<Duration>) {
        *self.lag.lock().unwrap() = lag;
        if let Some(server) = self.server() {
            self.set_rules(&server);
        }
    }

    /// Records an error that a program received.
    pub fn note(&self, source: usize, error: &Error) {
        self.errors.lock().unwrap().push((source, error.kind()));
    }

    /// The errors that programs received, with their sources.
    pub fn errors(&self) -> Vec<(usize, ErrorKind)> {
        self.errors.lock().unwrap().clone()
    }

    pub fn view(&self) -> MutexGuard<'_, ClientView> {
        self.view.lock().unwrap()
    }

    pub fn stop_server(&self) {
        let mut server = self.server.lock().unwrap();
        let Some(emulator) = server.emulator.take() else {
            return;
        };
        server.restarts += 1;
        for (name, times) in emulator.faults().injected() {
            *self.counts.lock().unwrap().entry(name).or_default() += times;
        }
    }

    /// The server, if it is up.
    pub fn server(&self) -> Option<Emulator> {
        self.server.lock().unwrap().emulator.clone()
    }

    pub fn inject(&self, rule: Rule) {
        if let Some(server) = self.server() {
            server.faults().push(rule);
        }
    }

    /// Starts the server if it is down, and removes all faults.
    pub fn end_faults(&self) {
        self.trap.disarm();
        self.start_server(false);
        if let Some(server) = self.server() {
            server.faults().clear();
        }
    }

    /// Counts an event that is not a fault of the emulator.
    pub fn count(&self, what: &'static str) {
        *self.counts.lock().unwrap().entry(what).or_default() += 1;
    }

    /// How often each fault occurred.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.stop_server();
        self.counts.lock().unwrap().clone()
    }

    pub fn report_violation(&self, what: impl fmt::Display) {
        let now = self.now_ms();
        self.log(format!("WRONG {what}"));
        self.wrong
            .lock()
            .unwrap()
            .push(format!("at {now} ms: {what}"));
        self.failed.notify_one();
    }

    pub fn wrong(&self) -> Vec<String> {
        self.wrong.lock().unwrap().clone()
    }

    /// Adds a line to the trace.
    pub fn log(&self, what: impl fmt::Display) {
        self.trace.log(what);
    }

    pub fn trace(&self) -> Vec<String> {
        self.trace.lines()
    }

    pub fn start_process(&self, plan: &ProcessPlan, only_polls: bool) -> Arc<ClientProcess> {
        let process = Arc::new(ClientProcess {
            id: self.id(),
            budget: plan.budget,
            time_limit: Duration::from_secs(plan.retry_s),
            only_polls,
            is_rival_writer: plan.is_rival_writer,
            is_dead: AtomicBool::new(false),
            client: Mutex::default(),
        });
        self.running
            .lock()
            .unwrap()
            .insert(process.id, Arc::clone(&process));
        process
    }

    /// Watches a channel's committed token against what landed of its source.
    pub fn watch(&self, process: &ClientProcess, source: usize, commits: Commits, read: Reader) {
        let channel = WatchedChannel { commits, read };
        self.watched
            .lock()
            .unwrap()
            .insert((process.id, source), channel);
    }

    /// Records that a client reported the rows of this append as not committed.
    pub fn note_not_committed(&self, source: usize, rows: Range<u64>, attempt: u64) {
        self.not_committed.lock().unwrap().push(NotCommitted {
            source,
            rows,
            attempt,
        });
    }

    /// Checks the invariants of every step.
    pub fn check(&self) {
        for what in self.truth.take_wrong() {
            self.report_violation(what);
        }
        for process in self.running.lock().unwrap().values() {
            let client = process.client.lock().unwrap();
            let Some(client) = client.as_ref() else {
                continue;
            };
            self.check_memory(client, process.budget);
        }
        for ((_, source), channel) in self.watched.lock().unwrap().iter() {
            let token = channel.commits.latest();
            let known = token
                .as_ref()
                .and_then(|token| channel.read.row(token.as_str()));
            let landed = self.truth.next(*source);
            if known.is_some_and(|known| known >= landed) {
                self.report_violation(format!(
                    "channel {source} believes {token:?} is committed, and {landed} rows landed"
                ));
            }
        }
    }

    fn check_memory(&self, client: &StreamingIngestClient, budget: usize) {
        let held = client.memory_in_use();
        if held > budget {
            self.report_violation(format!("{held} bytes are held, {budget} are allowed"));
        }
        if let Err(what) = audit_memory(client) {
            self.report_violation(format!("the byte budget does not add up: {what}"));
        }
    }

    /// Checks that rows reported as not committed are not in the table.
    pub fn check_not_committed(&self) {
        for claim in self.not_committed.lock().unwrap().iter() {
            let rows = claim.rows.clone();
            if let Some(row) = self.truth.brought(claim.source, rows, claim.attempt) {
                self.report_violation(format!(
                    "row {row} of channel {} is in the table by append {}, whose receipt said that it cannot be",
                    claim.source, claim.attempt
                ));
            }
        }
    }

    /// How often the server stopped.
    pub fn restarts(&self) -> u64 {
        self.server.lock().unwrap().restarts
    }

    /// A random additional delay of a request, mostly zero.
    pub fn request_delay(&self) -> Duration {
        let mut rng = self.rng.lock().unwrap();
        let late = !self.faults_are_over() && rng.u64(..1000) < self.plan.server.late_per_mille;
        Duration::from_millis(if late { rng.u64(1_000..100_000) } else { 0 })
    }

    /// Whether the answer to an open lacks the channel's status.
    pub fn omits_status(&self) -> bool {
        let per_mille = self.plan.server.open_without_status_per_mille;
        per_mille > 0 && !self.faults_are_over() && self.rng.lock().unwrap().u64(..1000) < per_mille
    }

    /// Passes a request to the server, if it is up. Also returns how often the server had stopped.
    pub fn handle_request(
        &self,
        process: u64,
        asked: &RequestInfo,
        request: Request,
    ) -> (Reply, u64) {
        let server = self.server.lock().unwrap();
        let is_open = request.method() == http::Method::PUT;
        let mut reply = Reply::Refuse;
        if let Some(emulator) = &server.emulator {
            let mut opens = self.opens.lock().unwrap();
            let now = self.clock.now();
            opens.update(emulator, None);
            reply = self.script.handle(asked.number, emulator, now, request);
            let opened = opens.update(emulator, is_open.then_some(process));
            if let (Some(opened), Reply::Respond(answer) | Reply::RespondAfter(_, answer)) =
                (opened, &mut reply)
            {
                answer.extensions_mut().insert(opened);
            }
        }
        let succeeded = |answer: &Response| answer.status().is_success();
        if is_open && matches!(&reply, Reply::Respond(answer) if succeeded(answer)) {
            self.script.start_counting();
        }
        let ends_tokens = self.plan.server.answers.wire.earlier_token == EarlierToken::Dies;
        if ends_tokens
            && asked.part == Part::Tokens
            && matches!(&reply, Reply::Respond(answer) if succeeded(answer))
        {
            self.view().end_other_tokens(process);
        }
        let conflict = |answer: &Response| answer.status() == StatusCode::CONFLICT;
        if is_open && matches!(&reply, Reply::Respond(answer) if conflict(answer)) {
            self.count("uncommitted at open");
        }
        if matches!(&reply, Reply::Respond(answer) if answer.status() == StatusCode::PAYLOAD_TOO_LARGE)
        {
            self.count("request too large");
        }
        (reply, server.restarts)
    }
}

fn catalog() -> Catalog {
    let number: DataType = "NUMBER(18,0)".parse().unwrap();
    let columns = [
        ("C", number),
        ("N", number),
        ("A", number),
        ("G", number),
        ("NOISE", DataType::Varchar(16 << 20)),
    ];
    let columns = columns.map(|(name, data_type)| Column::new(name, data_type).not_null());
    let mut catalog = Catalog::default();
    catalog.add_table(Table::new(ObjectName::new("DB", "PUBLIC", TABLE), columns));
    catalog
}
