//! The script of an elastic run, drawn from a seed.

use std::time::Duration;

use snowpipe_streaming_emulator::Fault;
use snowpipe_streaming_emulator::answers::Answers;

use super::super::draw::answers;
use super::super::outage::{Outage, Part};
use super::super::script::Event;
use super::super::time_limits::LATE;

/// The maximum delay before a retry that a server in a script can ask for.
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// The parts of the server that an elastic channel uses.
pub const PARTS: [Part; 5] = [
    Part::Appends,
    Part::Tokens,
    Part::Account,
    Part::Ingest,
    Part::Everything,
];

/// How a client is stopped early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The process stops and loses its state.
    Crash,
    /// The client is aborted; the programs get an error.
    Abort,
    /// The client is closed.
    Close,
}

#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    /// Faults of appends, each with its rate in thousandths.
    pub rates: Vec<(Fault, u32)>,
    /// When clients are stopped, in milliseconds.
    pub ends: Vec<(u64, End)>,
    /// When the server stops, and for how long, in milliseconds.
    pub server_downs: Vec<(u64, u64)>,
    /// The outages, each with its start in milliseconds.
    pub outages: Vec<(u64, Outage)>,
    /// The events, each with the number of its request. `None`: requests are not counted.
    pub script: Option<Vec<(u64, Event)>>,
    /// The time after which no fault is injected.
    pub faults_end_ms: u64,
    pub latency_ms: u64,
    pub late_per_mille: u32,
    pub request_bytes: Option<usize>,
    pub token_life_s: u64,
    /// What the server answers where the protocol leaves it open.
    pub answers: Answers,
    pub commit_ms: u64,

    /// Rows of each producer.
    pub producers: Vec<u64>,
    pub chunk: usize,
    /// The number of acknowledgements out of ten that are awaited immediately.
    pub awaited: u32,
    pub noise: usize,
    pub pause_ms: u64,
    pub lag_ms: u64,
    pub budget: usize,
    pub requests: usize,
    pub attempt_s: u64,
    pub retry_s: u64,
    pub close_s: u64,
    pub append_ms: Option<u64>,
}

fn faults() -> Vec<Fault> {
    let second = Duration::from_secs(1);
    vec![
        Fault::Refuse,
        Fault::Lose,
        Fault::ApplyThenLose,
        Fault::Zombie,
        Fault::Hang,
        Fault::ApplyThenHang,
        Fault::Cut,
        Fault::Delay(20 * second),
        Fault::Throttle(None),
        Fault::Throttle(Some(5 * second)),
        Fault::ServerError(500),
        Fault::ApplyThenServerError(503),
        Fault::Unauthorized,
        Fault::Forbidden,
        Fault::ExpireToken,
        Fault::BareNotFound,
        Fault::FailedOver,
        Fault::BadRequest("ERR_BAD_ROWS".to_owned()),
    ]
}

/// The names of the counters of faults.
pub fn kinds() -> Vec<&'static str> {
    let mut kinds: Vec<_> = faults().iter().map(Fault::name).collect();
    kinds.extend(["Crash", "Abort", "Close", "server down"]);
    kinds.extend(PARTS.map(Part::outage));
    kinds
}

impl Plan {
    pub fn draw(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let faults_end_ms = rng.u64(10_000..120_000);
        let mut rates = faults();
        rng.shuffle(&mut rates);
        rates.truncate(rng.usize(0..6));
        let rates = rates.into_iter();
        let rates = rates.map(|fault| (fault, rng.u32(5..250))).collect();
        let mut ends: Vec<_> = (0..rng.usize(0..3))
            .map(|_| {
                let ends = [End::Crash, End::Abort, End::Close];
                (rng.u64(0..faults_end_ms), ends[rng.usize(..3)])
            })
            .collect();
        ends.sort_by_key(|(at, _)| *at);
        let downs = (0..rng.usize(0..3)).map(|_| (rng.u64(0..faults_end_ms), rng.u64(100..10_000)));
        let mut server_downs: Vec<_> = downs.collect();
        server_downs.sort_unstable();
        // Long rows fill the memory budget.
        let noise = [rng.usize(0..200), rng.usize(500..2_000)][rng.usize(..2)];
        let mut plan = Self {
            seed,
            rates,
            ends,
            server_downs,
            outages: Vec::new(),
            script: None,
            faults_end_ms,
            latency_ms: rng.u64(0..200),
            late_per_mille: if rng.bool() { 0 } else { rng.u32(1..50) },
            // Any single row fits.
            request_bytes: rng.bool().then(|| noise + rng.usize(300..5_000)),
            token_life_s: rng.u64(10..600),
            answers: answers(&mut rng),
            commit_ms: rng.u64(0..5_000),
            producers: (0..rng.usize(1..7)).map(|_| rng.u64(1..200)).collect(),
            chunk: rng.usize(1..30),
            awaited: [0, 1, 5][rng.usize(..3)],
            noise,
            pause_ms: [0, 10, 1_000][rng.usize(..3)],
            lag_ms: rng.u64(0..3_000),
            budget: rng.usize(256 << 10..1 << 20),
            requests: rng.usize(1..7),
            attempt_s: rng.u64(2..60),
            retry_s: rng.u64(5..200),
            close_s: rng.u64(1..60),
            append_ms: rng.bool().then(|| rng.u64(0..5_000)),
        };
        plan.add_outages();
        plan
    }

    /// Adds outages from a separate generator, which keeps everything else that a seed determines unchanged.
    fn add_outages(&mut self) {
        let mut rng = fastrand::Rng::with_seed(self.seed ^ 0x006f_7574_6167_6573);
        let is_alone = match rng.u8(..6) {
            0 => true,
            1 | 2 => false,
            _ => return,
        };
        if is_alone {
            self.rates.clear();
            self.ends.clear();
            self.server_downs.clear();
            self.late_per_mille = 0;
        }
        let at = rng.u64(..self.faults_end_ms);
        let outage = Outage::draw(&mut rng, &PARTS, 300_000);
        self.faults_end_ms = self.faults_end_ms.max(at + outage.length_ms);
        self.outages.push((at, outage));
    }

    /// How long after the last fault everything may take to be acknowledged: earlier attempts and their retry delays, delayed
    /// requests, and the remaining appends.
    pub fn time_limit(&self) -> Duration {
        let is_late = self.late_per_mille > 0;
        let late = if is_late { LATE } else { Duration::ZERO };
        let aftereffects =
            late + Duration::from_secs(self.attempt_s + self.close_s) + LONGEST_DELAY;
        // In the worst case each row is a separate request, and its producer awaits it before the next one.
        let all: u64 = self.producers.iter().sum();
        let most = self.producers.iter().max();
        let calls = Duration::from_millis(2 * self.latency_ms * all);
        let pause = self.pause_ms + self.lag_ms;
        aftereffects + calls + Duration::from_millis(pause * most.copied().unwrap_or(0))
    }

    /// Whether all faults are outages, so that each error can be compared with them.
    pub fn has_only_outages(&self) -> bool {
        !self.outages.is_empty()
            && self.rates.is_empty()
            && self.ends.is_empty()
            && self.server_downs.is_empty()
            && self.late_per_mille == 0
    }
}
