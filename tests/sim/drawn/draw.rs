//! Draws the script of a seed.

use std::ops::Range;
use std::time::Duration;

use snowpipe_streaming::Recovery;
use snowpipe_streaming_emulator::answers::{Answers, OversizedBody, POINTS};
use snowpipe_streaming_emulator::{Endpoint, Fault, Limits};

use super::content::LONGEST_CONTENT;
use super::outage::{FailureMode, Outage, Part};
use super::plan::{ChannelPlan, Kind, Op, Plan, Policy, ProcessPlan, Rate, ServerPlan, Step};
use super::source_outage::{Call, SourceOutage};
use super::trap;

/// The names of the counters of events other than the emulator's faults.
pub const OWN_FAULTS: [&str; 46] = [
    "panic of a transport",
    "panic of a clock",
    "panic of a credential",
    "client crash",
    "server crash",
    "lost buffer",
    "rival",
    "rival with a source of its own",
    "takeover judged",
    "late request",
    "uncommitted at open",
    "request too large",
    "cancelled append",
    "rejected row",
    "outage of statuses",
    "outage of appends",
    "outage of opens",
    "outage of tokens",
    "outage of the account host",
    "outage of the ingest host",
    "outage of everything",
    "outage without connection",
    "outage without answer",
    "outage with 503",
    "outage with 429",
    "outage with 302",
    "outage with 404",
    "outage with 409",
    "outage of the pipe",
    "outage judged",
    "lagging replica",
    "lag judged",
    "source cannot be read",
    "source cannot wait",
    "source cannot release",
    "source cannot log what is released",
    "source cannot keep dead letters",
    "source cannot log which rejects it saw",
    "source cannot check",
    "source given up",
    "offsets of digits",
    "name in another case",
    "reused token",
    "open without a status",
    "appends of several senders",
    "senders of a reopened channel",
];

/// Each fault of the emulator once, with random parameters.
pub fn faults(rng: &mut fastrand::Rng) -> Vec<Fault> {
    let code = *pick(
        rng,
        &[
            "ERR_CHANNEL_MUST_BE_REOPENED",
            "ERR_CHANNEL_MUST_BE_REOPENED_DUE_TO_ROW_SEQ_GAP",
            "ERR_PIPE_IN_INVALID_STATE",
            "STALE_CONTINUATION_TOKEN_SEQUENCER",
            "STALE_PIPE_CACHE",
            "ERR_SOMETHING_NEW",
        ],
    );
    let after = rng.bool().then(|| within(rng, 0..20_000));
    vec![
        Fault::Refuse,
        Fault::Lose,
        Fault::ApplyThenLose,
        Fault::Zombie,
        Fault::Hang,
        Fault::ApplyThenHang,
        Fault::Cut,
        Fault::Delay(within(rng, 10..90_000)),
        Fault::Throttle(after),
        Fault::ServerError(503),
        Fault::ApplyThenServerError(500),
        Fault::Unauthorized,
        Fault::Forbidden,
        Fault::ExpireToken,
        Fault::BareNotFound,
        Fault::FailedOver,
        Fault::Stale,
        Fault::BadRequest("ERR_INVALID_REQUEST".to_owned()),
        Fault::SecondWriter,
        Fault::WithholdCommits(within(rng, 1_000..200_000)),
        Fault::ForeignToken(Some("1000000".to_owned())),
        Fault::Invalidate(code.to_owned()),
        Fault::AcceptAndLose,
        Fault::StaleStatus(within(rng, 500..30_000)),
        Fault::Absent,
    ]
}

fn within(rng: &mut fastrand::Rng, range: Range<u64>) -> Duration {
    Duration::from_millis(rng.u64(range))
}

pub fn pick<'a, T>(rng: &mut fastrand::Rng, from: &'a [T]) -> &'a T {
    &from[rng.usize(..from.len())]
}

/// The script of a seed.
pub fn draw(seed: u64) -> Plan {
    let rng = &mut fastrand::Rng::with_seed(seed);
    let processes: Vec<_> = (0..rng.usize(1..=2)).map(|_| process(rng)).collect();
    let channels: Vec<_> = (0..rng.usize(1..=4))
        .map(|_| {
            let of = rng.usize(..processes.len());
            channel(rng, of)
        })
        .collect();
    let longest = channels.iter().map(|channel| channel.rows * channel.gap_ms);
    let span_ms = longest.max().unwrap_or(0) + rng.u64(1_000..60_000);
    let server = server(rng, &channels);
    let mut plan = Plan {
        seed,
        server,
        processes,
        channels,
        rates: rates(rng),
        steps: Vec::new(),
        script: None,
        faults_end_ms: span_ms + 10_000,
    };
    let steps = *pick(rng, &[0, 1, 1, 2, 4, 8]);
    for _ in 0..steps {
        let at = rng.u64(..span_ms);
        for step in step(rng, &plan) {
            plan.steps.push((at, step));
        }
    }
    plan.steps.sort_by_key(|(at, _)| *at);
    let is_takeover = |(_, step): &(u64, Step)| matches!(step, Step::RivalWriter { .. });
    let is_blind = |channel: &ChannelPlan| !channel.sees_token();
    if plan.steps.iter().any(is_takeover) || plan.channels.iter().any(is_blind) {
        // No program corrects a foreign token while others write to the channel, or if it does not see the token. The same
        // foreign token injected twice also looks as if nothing had been committed in between.
        let foreign = |fault: &Fault| matches!(fault, Fault::ForeignToken(_));
        plan.rates.retain(|rate| !foreign(&rate.fault));
        plan.steps
            .retain(|(_, step)| !matches!(step, Step::Inject { fault, .. } if foreign(fault)));
    }
    // Some scripts contain only a takeover, so that the winner is known.
    let rng = &mut fastrand::Rng::with_seed(seed ^ 0x0074_6865_6674);
    let target = plan.channels.iter().position(ChannelPlan::sees_token);
    if let Some(channel) = target.filter(|_| rng.u8(..20) == 0) {
        takeover_only(rng, &mut plan, channel, span_ms);
        return plan;
    }
    // A separate generator keeps everything else that a seed determines unchanged.
    let rng = &mut fastrand::Rng::with_seed(seed ^ 0x006f_7574_6167_6573);
    for channel in &mut plan.channels {
        vary(rng, channel, span_ms);
    }
    plan.server.open_without_status_per_mille = *pick(rng, &[0, 0, 0, 0, 0, 0, 100, 1_000]);
    match rng.u8(..40) {
        // Some scripts contain only outages, so that the outcome follows from the outage.
        0..5 => outage_only(rng, &mut plan, span_ms),
        5..14 => {
            let outage = Outage::draw(rng, &Part::ALL, 400_000);
            let at = rng.u64(..span_ms);
            plan.steps.push((at, Step::Outage(outage)));
        }
        14..18 => lag(rng, &mut plan, span_ms),
        _ => {}
    }
    let rng = &mut fastrand::Rng::with_seed(seed ^ 0x006d_6973_7369_6e67);
    if rng.u8(..12) == 0 {
        // A client that has opened a channel waits for its pipe longer than this.
        let outage = Outage {
            part: Part::Opens,
            how: FailureMode::Missing,
            length_ms: rng.u64(1_000..170_000),
        };
        plan.steps.push((rng.u64(..span_ms), Step::Outage(outage)));
    }
    plan.steps.sort_by_key(|(at, _)| *at);
    let ends = plan.steps.iter().map(|(at, step)| at + step.length_ms());
    let source_outages = plan
        .channels
        .iter()
        .filter_map(|channel| channel.source_outage);
    let ends = ends.chain(source_outages.map(SourceOutage::until_ms));
    plan.faults_end_ms = plan.faults_end_ms.max(ends.max().unwrap_or(0));
    let rng = &mut fastrand::Rng::with_seed(seed ^ 0x0073_656e_6465_7273);
    for channel in plan.channels.iter_mut().filter(|c| !c.is_tracked()) {
        channel.senders = *pick(rng, &[0, 0, 2, 5]);
    }
    let rng = &mut fastrand::Rng::with_seed(seed ^ 0x006c_6f6e_6765_7374);
    if rng.u8(..16) == 0 {
        let channel = rng.usize(..plan.channels.len());
        long_rows(&mut plan, channel);
    }
    let rng = &mut fastrand::Rng::with_seed(seed ^ 0x0070_616e_6963);
    if rng.u8(..12) == 0 {
        for _ in 0..rng.u8(1..=3) {
            let call = *pick(rng, &trap::Call::ALL);
            plan.steps.push((rng.u64(..span_ms), Step::Panic(call)));
        }
        plan.steps.sort_by_key(|(at, _)| *at);
    }
    plan
}

/// Some rows of a channel are so long that they may not fit into a request: they are compressed before they are appended.
fn long_rows(plan: &mut Plan, channel: usize) {
    for process in &mut plan.processes {
        process.budget = 64 << 20;
        process.request_bytes = 128 << 10;
    }
    let channel = &mut plan.channels[channel];
    channel.row_bytes = LONGEST_CONTENT;
    // Of so many rows that share a token, one is long.
    channel.chunk = channel.chunk.min(3);
    let server = &mut plan.server;
    server.request_bytes = server.request_bytes.map(|most| most.max(100_000));
}

/// Adds rare offsets and names, and temporary failures of sources.
fn vary(rng: &mut fastrand::Rng, channel: &mut ChannelPlan, span_ms: u64) {
    channel.respelled = rng.u8(..6) == 0;
    if channel.is_tracked() && rng.u8(..4) == 0 {
        channel.ops.push((rng.u64(..=channel.rows), Op::Reuse));
    }
    let has_digits = rng.u8(..3) == 0;
    match &mut channel.kind {
        Kind::Texts if has_digits => channel.kind = Kind::Digits,
        Kind::Source { digits, .. } => {
            *digits = has_digits;
            if rng.bool() {
                // `ready` is called less often than the others, so it gets more weight.
                let waits = [Call::Ready; 3];
                let calls = [&Call::ALL[..], &waits].concat();
                let call = *pick(rng, &calls);
                if call == Call::DeadLetter {
                    channel.bad_percent = channel.bad_percent.max(3);
                }
                channel.patience_ms = rng.u64(3_000..120_000);
                channel.source_outage = Some(SourceOutage {
                    call,
                    from_ms: rng.u64(..span_ms),
                    length_ms: rng.u64(1_000..200_000),
                });
            }
        }
        _ => {}
    }
}

fn outage_only(rng: &mut fastrand::Rng, plan: &mut Plan, span_ms: u64) {
    plan.rates.clear();
    plan.server.late_per_mille = 0;
    let outage = Outage::draw(rng, &Part::ALL, 900_000);
    plan.server.token_life_s = *pick(rng, &[60, 150, 300, 3_600]);
    let mut at = rng.u64(..span_ms);
    if matches!(outage.part, Part::Tokens | Part::Account) && rng.bool() {
        // Shortly before the token has to be renewed.
        plan.server.token_life_s = rng.u64(60..400);
        at = plan.server.token_life_s * rng.u64(850..950);
        for channel in &mut plan.channels {
            channel.gap_ms = channel.gap_ms.max(2 * at / channel.rows.max(1));
        }
    }
    plan.steps = vec![(at, Step::Outage(outage))];
}

/// Adds a lagging replica, and often a channel that is reopened at the same time.
fn lag(rng: &mut fastrand::Rng, plan: &mut Plan, span_ms: u64) {
    if rng.bool() {
        plan.rates.clear();
        plan.server.late_per_mille = 0;
        plan.steps.clear();
    }
    let at = rng.u64(..span_ms);
    let lag = Step::Lag {
        lag_ms: rng.u64(500..15_000),
        length_ms: rng.u64(2_000..60_000),
    };
    plan.steps.push((at, lag));
    for _ in 0..rng.u8(..3) {
        let channel = rng.usize(..plan.channels.len());
        let reopened = Step::Inject {
            fault: Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".to_owned()),
            endpoint: Some(*pick(rng, &[Endpoint::Append, Endpoint::Status])),
            channel: Some(channel),
        };
        plan.steps.push((at + rng.u64(..10_000), reopened));
    }
}

fn takeover_only(rng: &mut fastrand::Rng, plan: &mut Plan, channel: usize, span_ms: u64) {
    plan.rates.clear();
    plan.server.late_per_mille = 0;
    for channel in &mut plan.channels {
        channel.ops.retain(|(_, op)| !op.ends_session());
    }
    let rival = Step::RivalWriter {
        channel,
        own_source: true,
        lifetime_ms: None,
    };
    plan.steps = vec![(rng.u64(..span_ms), rival)];
}

/// An answer to each point that the protocol leaves open. However many points there are, `rng` is used once.
pub fn answers(rng: &mut fastrand::Rng) -> Answers {
    let rng = &mut rng.fork();
    let answers = Answers::default();
    POINTS.iter().fold(answers, |answers, point| {
        let word = *pick::<&str>(rng, point.words);
        answers.with(point.key, word).unwrap()
    })
}

/// The limit for the length of a body. Only if longer ones are answered 413 may it be smaller than a client's largest request: a
/// client splits batches for that answer, and 400 has other causes.
pub fn request_limit(answers: &Answers, drawn: Option<usize>) -> Option<usize> {
    match answers.wire.oversized_body {
        OversizedBody::TooLarge => drawn,
        OversizedBody::BadRequest => Limits::default().request_bytes,
    }
}

fn server(rng: &mut fastrand::Rng, channels: &[ChannelPlan]) -> ServerPlan {
    let units = channels
        .iter()
        .map(|channel| usize::try_from(channel.chunk).unwrap() * (channel.row_bytes + 80));
    let unit = units.max().unwrap_or(0);
    let request_bytes = match rng.u8(..4) {
        0 => unit * 5 / 4 + rng.usize(500..5_000),
        _ => 4 << 20,
    };
    ServerPlan {
        answers: answers(rng),
        commit_delay_ms: rng.u64(..3_000),
        commit_every_ms: *pick(rng, &[0, 250, 1_000, 5_000]),
        latency_ms: *pick(rng, &[0, 1, 30, 200, 1_500]),
        open_without_status_per_mille: 0,
        late_per_mille: *pick(rng, &[0, 0, 0, 20]),
        request_bytes: Some(request_bytes),
        requests_per_second: *pick(rng, &[None, Some(10), Some(1)]),
        status_names: *pick(rng, &[None, Some(1)]),
        token_life_s: *pick(rng, &[20, 300, 3_600]),
    }
}

fn process(rng: &mut fastrand::Rng) -> ProcessPlan {
    ProcessPlan {
        recovery: *pick(rng, &[Recovery::Surface, Recovery::Replay]),
        budget: *pick(rng, &[256 << 10, 256 << 10, 64 << 20]),
        request_bytes: 4 << 20,
        lag_ms: *pick(rng, &[0, 100, 1_000, 5_000]),
        attempt_s: rng.u64(5..=60),
        retry_s: rng.u64(30..=300),
        stall_s: rng.u64(20..=120),
        settle_s: rng.u64(10..=30),
        close_s: rng.u64(25..=60),
        append_ms: rng.bool().then(|| rng.u64(10..5_000)),
        isolate: rng.bool(),
        is_rival_writer: false,
    }
}

fn channel(rng: &mut fastrand::Rng, process: usize) -> ChannelPlan {
    let kind = match rng.u8(..10) {
        0..3 => Kind::Numbers,
        3..5 => Kind::Texts,
        5..8 => Kind::Source {
            shards: *pick(rng, &[0, 0, 1, 3]),
            digits: false,
        },
        _ => Kind::Untracked { resend: rng.bool() },
    };
    // Large rows that are all available at the start soon fill the smallest budget.
    let (row_bytes, gaps) = match rng.u8(..4) {
        0 => (rng.usize(1_500..6_000), [0, 0, 5, 50]),
        _ => (rng.usize(..200), [5, 50, 200, 600]),
    };
    let rows = rng.u64(10..=150);
    // A unit fits into a quarter of the smallest budget.
    let most = u64::try_from(60_000 / (row_bytes + 80)).unwrap();
    let policy_ms = rng.u64(1_000..=120_000);
    ChannelPlan {
        process,
        kind,
        rows,
        gap_ms: *pick(rng, &gaps),
        chunk: most.min(rng.u64(1..=25)),
        row_bytes,
        bad_percent: *pick(rng, &[0, 0, 3, 30]),
        policy: match rng.u8(..3) {
            0 => Policy::Wait(policy_ms),
            1 => Policy::WaitThenDiscard(policy_ms),
            _ => Policy::Discard,
        },
        ops: (0..rng.u64(..8))
            .map(|_| (rng.u64(..=rows), op(rng)))
            .collect(),
        patience_ms: 600_000,
        source_outage: None,
        respelled: false,
        senders: 0,
    }
}

fn op(rng: &mut fastrand::Rng) -> Op {
    let ms = rng.u64(..3_000);
    match rng.u8(..14) {
        0 => Op::Flush,
        1 | 2 => Op::WaitFlush,
        3 | 4 => Op::WaitCommit,
        5 => Op::WaitCommitFor(ms),
        6 => Op::Close,
        7 => Op::CloseFor(ms),
        8 => Op::Drop,
        9 => Op::Reopen,
        10 => Op::Status,
        _ => Op::Cancel(rng.u32(..2)),
    }
}

/// No fault, one frequent fault, several occasional faults, or all faults rarely.
fn rates(rng: &mut fastrand::Rng) -> Vec<Rate> {
    let all = faults(rng);
    let (some, most): (Vec<Fault>, u64) = match rng.u8(..10) {
        0..3 => (Vec::new(), 0),
        3..6 => (vec![pick(rng, &all).clone()], 400),
        6..9 => {
            let count = rng.usize(2..8);
            ((0..count).map(|_| pick(rng, &all).clone()).collect(), 80)
        }
        _ => (all, 15),
    };
    some.into_iter()
        .map(|fault| Rate {
            fault,
            endpoint: endpoint(rng),
            per_mille: rng.u64(1..=most),
        })
        .collect()
}

fn endpoint(rng: &mut fastrand::Rng) -> Option<Endpoint> {
    match rng.u8(..10) {
        0..3 => Some(Endpoint::Append),
        3 => Some(Endpoint::Status),
        4 => Some(Endpoint::Open),
        _ => None,
    }
}

/// A step, or two at the same time.
fn step(rng: &mut fastrand::Rng, plan: &Plan) -> Vec<Step> {
    let process = rng.usize(..plan.processes.len());
    let channel = rng.usize(..plan.channels.len());
    let client = Step::ClientCrash {
        process,
        down_ms: rng.u64(..40_000),
    };
    let server = Step::ServerCrash {
        lose: rng.bool(),
        down_ms: rng.u64(..30_000),
    };
    match rng.u8(..10) {
        0..3 => vec![client],
        3 | 4 => vec![server],
        5 => vec![client, server],
        6 if plan.channels[channel].is_tracked() => vec![Step::RivalWriter {
            channel,
            own_source: plan.channels[channel].sees_token() && rng.bool(),
            lifetime_ms: rng.bool().then(|| rng.u64(1_000..90_000)),
        }],
        _ => {
            let all = faults(rng);
            let fault = pick(rng, &all).clone();
            vec![Step::Inject {
                fault,
                endpoint: endpoint(rng),
                channel: rng.bool().then_some(channel),
            }]
        }
    }
}
