//! The core against a minimal server: in any order of events, rows land once and in order, or with an error.

use std::sync::Arc;

use proptest::prelude::*;
use uuid::Uuid;

use self::server::{Server, refusal};
use super::batch::{UnitTokens, seal};
use super::schedule::Action;
use super::*;
use crate::api::AppendRequest;
use crate::api::failure::Failure;
use crate::base::budget::{Budget, Share};
use crate::base::options::OnUncommitted;
use crate::compress::compressor::Compressor;
use crate::pipeline::attempts::REFUSALS;
use crate::types::channel_status::ChannelStatus;
use crate::types::error::{ErrorKind, InvalidationCause};

mod server;

const BUDGET: usize = 16 << 10;

/// An event.
#[derive(Debug, Clone, Copy)]
enum Step {
    Append(u8),
    Flush,
    Wait(u16),
    Drive,
    Seal,
    Answer(Way),
    Commit(u8),
    Status,
    /// A status that asks for a reopen.
    Unhealthy,
    /// The reopen that the core asked for, after this many more commits. The other buffered rows are discarded.
    Reopen(u8),
    /// A read of the status from some commits ago.
    StaleStatus(u8),
    StatusMissed,
}

/// The outcome of a request.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Through,
    Lost,
    AppliedAndLost,
    NotSent,
    Throttled,
    Misrouted,
    MustReopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let way = prop_oneof![
        6 => Just(Way::Through),
        1 => Just(Way::Lost),
        1 => Just(Way::AppliedAndLost),
        1 => Just(Way::NotSent),
        1 => Just(Way::Throttled),
        1 => Just(Way::Misrouted),
        1 => Just(Way::MustReopen),
    ];
    let step = prop_oneof![
        4 => (1..30_u8).prop_map(Step::Append),
        1 => Just(Step::Flush),
        3 => (0..500_u16).prop_map(Step::Wait),
        8 => Just(Step::Drive),
        4 => Just(Step::Seal),
        4 => way.prop_map(Step::Answer),
        2 => (1..4_u8).prop_map(Step::Commit),
        2 => Just(Step::Status),
        1 => Just(Step::Unhealthy),
        3 => (0..4_u8).prop_map(Step::Reopen),
        1 => (0..5_u8).prop_map(Step::StaleStatus),
        1 => Just(Step::StatusMissed),
    ];
    prop::collection::vec(step, 1..250)
}

struct Model {
    now: Instant,
    core: Core,
    budget: Arc<Budget>,
    share: Share,
    compressor: Compressor,
    /// The last [`Action::Seal`] or [`Action::Split`], until it is done.
    sealing: Option<Action>,
    order: Option<AppendRequest>,
    is_asked_to_reopen: bool,
    reopens: u32,
    server: Server,
    rows: u64,
    seen: Progress,
    seen_epoch: u64,
}

impl Model {
    fn new(recovery: Recovery, server: Server) -> Self {
        let now = Instant::now();
        let limits = Limits {
            max_client_lag: Duration::from_millis(100),
            request_limit: RequestLimit::new(2_000),
            max_uncompressed: 4_000,
            retry_for: Duration::from_secs(100_000),
            settle_timeout: Duration::from_secs(10),
            commit_stall_timeout: Duration::from_secs(100_000),
            pace: Some(Pace {
                bytes_per_second: 20_000.0,
                requests_per_second: 10.0,
            }),
            recovery,
            commit_evidence: CommitEvidence::RowCounts,
            isolate_rejects: false,
        };
        let opening = Opening {
            name: "c".to_owned(),
            pipe: "DB.S.P".to_owned(),
            continuation_token: "1".to_owned(),
            committed_token: Some(OffsetToken::from(-1)),
            created_on_ms: Some(1),
            rejected: 0,
            row_count: Some(0),
            is_all_committed: true,
            is_tracked: true,
            sets_token: false,
        };
        let budget = Budget::new(BUDGET);
        let core = Core::new(now, limits, opening, "m".to_owned());
        Self {
            now,
            seen: core.progress(),
            seen_epoch: 0,
            core,
            share: budget.share(BUDGET),
            budget,
            compressor: Compressor::new(1).unwrap(),
            sealing: None,
            order: None,
            is_asked_to_reopen: false,
            reopens: 0,
            server,
            rows: 0,
        }
    }

    fn append(&mut self, count: u8) {
        let first = self.rows;
        let row = |n: u64| {
            let noise = fastrand::Rng::with_seed(n).u128(..);
            format!("\"{n:010}\":{noise:040}\n")
        };
        let bytes: String = (first..first + u64::from(count)).map(row).collect();
        let unit = Unit {
            tokens: UnitTokens::Run {
                first: i128::from(first),
            },
            rows: u64::from(count),
            len: bytes.len(),
        };
        let Some(mut credit) = self.share.try_charge(bytes.len() + unit.overhead()) else {
            return;
        };
        let mut units = vec![unit];
        let bytes = bytes.as_bytes();
        let new_batch = RawBatch::new(Vec::new(), self.share.nothing(), self.now, 0);
        let result = self
            .core
            .append(&mut Some(new_batch), bytes, &mut units, &mut credit);
        match result {
            Ok(AppendOutcome::Appended { position, .. }) => {
                self.rows += u64::from(count);
                assert_eq!(position, self.rows);
            }
            Ok(other) => panic!("it has all it needs: {other:?}"),
            Err(_) => assert!(self.core.end.is_some(), "refused while it is open"),
        }
    }

    fn drive(&mut self) {
        // Now and then an append waits for memory.
        let pressed = self.rows.is_multiple_of(7);
        match self.core.poll(self.now, pressed, Uuid::nil()) {
            action @ (Action::Seal(..) | Action::Split(..)) => {
                assert!(self.sealing.is_none(), "one at a time");
                self.sealing = Some(action);
            }
            Action::Send(order) => {
                assert!(self.order.is_none(), "one request in flight");
                self.order = Some(order);
            }
            Action::Reopen(how) => {
                assert!(
                    matches!(how.policy, OnUncommitted::WaitThenDiscard(_))
                        || how.policy == OnUncommitted::Wait(Duration::from_secs(120))
                );
                self.is_asked_to_reopen = true;
                // A request that is abandoned may arrive nevertheless.
                if let Some(order) = self.order.take_if(|_| self.rows.is_multiple_of(2)) {
                    let _ = self.server.append(&order);
                }
                self.order = None;
            }
            Action::Wait(until) => {
                assert!(until.is_none_or(|until| until > self.now), "it would spin");
            }
            Action::Stop => assert!(self.core.is_ended()),
        }
    }

    fn seal(&mut self) {
        let (raw, limit) = match self.sealing.take() {
            Some(Action::Seal(raw, limit)) => (Ok(raw), limit),
            Some(Action::Split(batch, limit)) => (batch.decompress(), limit),
            _ => return,
        };
        let sealed = raw.and_then(|raw| seal(&mut self.compressor, raw, limit));
        self.core.on_sealed(self.now, sealed);
    }

    fn answer(&mut self, way: Way) {
        let Some(order) = self.order.take() else {
            return;
        };
        let error = |kind| Error::new(kind, "no");
        let answer = match way {
            Way::Through => self.server.append(&order),
            Way::Lost => Err(Failure::Ambiguous(error(ErrorKind::Timeout))),
            Way::AppliedAndLost => self
                .server
                .append(&order)
                .and_then(|_| Err(Failure::Ambiguous(error(ErrorKind::Server)))),
            Way::MustReopen => Err(refusal(400, Some("ERR_CHANNEL_MUST_BE_REOPENED"))),
            Way::NotSent => Err(Failure::NotSent(error(ErrorKind::Unreachable))),
            Way::Throttled => {
                let second = Some(Duration::from_secs(1));
                let error = error(ErrorKind::Throttled).with_retry_after(second);
                Err(Failure::Throttled(error))
            }
            // Only as often as the core retries it.
            Way::Misrouted => {
                let refusals = self
                    .core
                    .flight
                    .as_ref()
                    .map_or(REFUSALS, |f| f.attempts.refusals);
                if refusals < REFUSALS {
                    Err(refusal(404, None))
                } else {
                    self.server.append(&order)
                }
            }
        };
        self.core.on_response(self.now, answer, 0.5);
    }

    fn status(&mut self, ago: usize) {
        let status = self.server.status(ago);
        self.core.asked(self.now);
        self.core.on_status(self.now, Some(&status));
    }

    fn unhealthy(&mut self) {
        let status = ChannelStatus {
            status_code: "ERR_CHANNEL_MUST_BE_REOPENED".to_owned(),
            ..self.server.status(0)
        };
        self.core.asked(self.now);
        self.core.on_status(self.now, Some(&status));
    }

    fn reopen(&mut self, commits: u8) {
        if std::mem::take(&mut self.is_asked_to_reopen) && self.core.is_reopening() {
            self.reopens += 1;
            let answer = self.server.reopen(commits);
            self.core.on_recovered(self.now, Ok(answer));
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Append(count) => self.append(count),
            Step::Flush => self.core.flush(),
            Step::Wait(ms) => self.now += Duration::from_millis(u64::from(ms)),
            Step::Drive => self.drive(),
            Step::Seal => self.seal(),
            Step::Answer(way) => self.answer(way),
            Step::Commit(count) => (0..count).for_each(|_| self.server.commit()),
            Step::Status => self.status(0),
            Step::Unhealthy => self.unhealthy(),
            Step::Reopen(commits) => self.reopen(commits),
            Step::StaleStatus(ago) => self.status(usize::from(ago)),
            Step::StatusMissed => {
                let why = Error::new(ErrorKind::Unreachable, "no");
                self.core.asked(self.now);
                self.core.on_status_failed(self.now, &why);
            }
        }
        self.check();
    }

    fn check(&mut self) {
        let core = &self.core;
        let raw = core.raw.iter().chain(&core.open).map(|b| b.charge.bytes());
        let sealed = core
            .ready
            .iter()
            .chain(&core.retained)
            .chain(core.flight.as_ref().map(|f| &f.batch));
        let sealing = self.sealing.iter().map(|action| match action {
            Action::Seal(batch, _) => batch.charge.bytes(),
            Action::Split(batch, _) => batch.charge.bytes(),
            _ => 0,
        });
        let held: usize = raw
            .chain(sealed.map(|b| b.charge.bytes()))
            .chain(sealing)
            .sum();
        assert_eq!(
            self.budget.in_use(),
            held,
            "permits are the sum of live charges"
        );

        let progress = core.progress();
        let is_same_open = core.epoch == self.seen_epoch;
        assert!(!is_same_open || progress.accepted >= self.seen.accepted);
        assert!(progress.committed >= self.seen.committed);
        assert!(progress.committed <= self.server.landed.len() as u64);
        assert!(
            progress.committed <= self.server.shown_count,
            "committed rows are counted"
        );
        assert!(core.sent <= self.rows && core.accepted <= core.sent.max(core.ledger.committed()));
        let all = self.server.all();
        assert!(
            all.iter().copied().eq(0..all.len() as u64),
            "in order, once"
        );
        assert!(
            progress.accepted <= all.len() as u64,
            "what was accepted is there"
        );
        self.seen = progress;
        self.seen_epoch = core.epoch;
    }

    /// From here on, nothing fails.
    fn finish(&mut self) {
        self.core.drain(self.now + Duration::from_secs(3600));
        for _ in 0..10_000 {
            if self.core.is_ended() {
                return;
            }
            for step in [
                Step::Drive,
                Step::Seal,
                Step::Answer(Way::Through),
                Step::Reopen(1),
                Step::Commit(1),
                Step::Status,
                Step::Wait(100),
            ] {
                self.take(step);
            }
        }
        panic!("it never ends: {:?}", self.core);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]
    #[test]
    fn rows_land_once_in_order_or_with_an_error(
        steps in steps(),
        replays in any::<bool>(),
        knows_replays in any::<bool>(),
        limit in prop_oneof![Just(2_000_usize), 300..2_000_usize],
        counts_late in any::<bool>(),
    ) {
        let recovery = if replays { Recovery::Replay } else { Recovery::Surface };
        let mut model = Model::new(recovery, Server::new(knows_replays, limit, counts_late));
        for step in steps {
            model.take(step);
        }
        model.finish();
        let report = model.core.report();
        let open: u64 = report.uncommitted.iter().map(|r| r.rows).sum();
        prop_assert_eq!(report.rows_committed + open, model.rows, "each row is accounted for");
        (model.sealing, model.order) = (None, None);
        prop_assert_eq!(model.budget.in_use(), 0);
        match model.core.end.as_ref().map(Error::kind) {
            Some(ErrorKind::ChannelClosed) => {
                prop_assert_eq!(model.server.landed.len() as u64, model.rows);
                prop_assert_eq!(open, 0);
            }
            Some(ErrorKind::Invalidated(cause)) => match (recovery, cause) {
                (Recovery::Replay, InvalidationCause::Ambiguous | InvalidationCause::MustReopen) => {
                    prop_assert!(model.reopens >= 3, "{} reopens", model.reopens);
                }
                (Recovery::Surface, InvalidationCause::Ambiguous) => {
                    prop_assert!(!knows_replays || limit < 2_000);
                }
                (Recovery::Surface, InvalidationCause::MustReopen) => {}
                other => prop_assert!(false, "{other:?}"),
            },
            other => prop_assert!(false, "{other:?}"),
        }
    }
}

#[test]
fn full_batches_do_not_pile_up_before_the_compression() {
    let mut model = Model::new(Recovery::Surface, Server::new(true, 2_000, false));
    for _ in 0..3 {
        // More than a request takes.
        model.append(40);
        model.drive();
        model.drive();
    }
    assert!(model.sealing.is_some(), "the first");
    assert_eq!(model.core.raw.len(), 1, "the second");
    assert!(model.core.is_behind(1), "the third");
    model.finish();
    assert_eq!(model.server.landed.len(), 120);
}

#[test]
fn no_buffer_is_asked_for_before_there_is_memory() {
    let mut model = Model::new(Recovery::Surface, Server::new(true, 2_000, false));
    let mut append = |memory: usize| {
        let mut units = vec![Unit {
            tokens: UnitTokens::Run { first: 0 },
            rows: 1,
            len: 8,
        }];
        let mut credit = model.budget.share(memory).nothing();
        model
            .core
            .append(&mut None, b"{\"N\":1}\n", &mut units, &mut credit)
    };
    assert!(matches!(append(71), Ok(AppendOutcome::NoMemory)));
    assert!(matches!(append(72), Ok(AppendOutcome::NoBatch { .. })));
}
