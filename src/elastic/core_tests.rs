//! The state machine alone: the tests pass in the time and the answers.

use std::sync::Arc;

use super::*;
use crate::api::ElasticRequest;
use crate::api::failure::Failure;
use crate::base::budget::{Budget, Share};
use crate::base::request_limit::RequestLimit;
use crate::compress::compressor::Compressor;
use crate::elastic::batch::seal;
use crate::elastic::schedule::Action;
use crate::types::error::ErrorKind;

const SECOND: Duration = Duration::from_secs(1);

/// A request with its number.
type Sent = (u64, ElasticRequest);

struct Rig {
    core: Core<u64>,
    budget: Arc<Budget>,
    share: Share,
    start: Instant,
    acks: Vec<oneshot::Receiver<Outcome<u64>>>,
    /// The number of accepted appends whose acknowledgement was dropped.
    unheard: usize,
}

impl Rig {
    fn new(requests: usize) -> Self {
        let budget = Budget::new(1 << 20);
        let limits = Limits {
            max_client_lag: SECOND,
            request_limit: RequestLimit::new(10_000),
            max_uncompressed: 100_000,
            retry_for: 100 * SECOND,
            requests,
        };
        Self {
            core: Core::new(limits, 7),
            share: budget.share(1 << 20),
            budget,
            start: Instant::now(),
            acks: Vec::new(),
            unheard: 0,
        }
    }

    fn at(&self, seconds: u32) -> Instant {
        self.start + seconds * SECOND
    }

    /// Appends this many rows, tagged with the number of the append. Returns whether to wake the driver.
    fn append(&mut self, now: Instant, count: u64) -> bool {
        let tag = self.acks.len() as u64;
        let rows: String = (0..count)
            .flat_map(|n| ["{\"N\":".to_owned(), n.to_string(), "}\n".to_owned()])
            .collect();
        let (ack_sender, ack) = oneshot::channel();
        let cost = rows.len() + append_cost::<u64>();
        let append = Append {
            rows: rows.into(),
            frame: None,
            count,
            tag,
            ack_sender,
        };
        let charge = self.share.try_charge(cost).unwrap();
        let wake = self.core.append(now, 0, append, charge);
        self.acks.push(ack);
        self.acknowledge();
        self.sums_up();
        wake
    }

    fn acknowledge(&mut self) {
        for (ack, accepted) in self.core.take_accepted() {
            self.unheard += usize::from(ack.send(Ok(accepted)).is_err());
        }
    }

    /// Executes all compressions, and returns the action that follows.
    fn poll(&mut self, now: Instant) -> Action {
        loop {
            match self.core.poll(now, false) {
                Action::Seal(frame, limit) => {
                    let mut compressor = Compressor::new(1).unwrap();
                    let pieces = seal(&mut compressor, frame.rows().unwrap(), limit);
                    self.core.on_sealed(pieces);
                    self.sums_up();
                }
                action => return action,
            }
        }
    }

    fn order(&mut self, now: Instant) -> Sent {
        match self.poll(now) {
            Action::Send(flight, request) => (flight, request),
            other => panic!("{other:?}"),
        }
    }

    /// When the core asks to be polled again, in milliseconds from the start.
    fn wait(&mut self, now: Instant) -> Option<u128> {
        match self.poll(now) {
            Action::Wait(until) => until.map(|until| (until - self.start).as_millis()),
            other => panic!("{other:?}"),
        }
    }

    fn answer(&mut self, now: Instant, order: &Sent, answer: std::result::Result<(), Failure>) {
        self.core.on_answer(now, order.0, answer);
        self.acknowledge();
        self.sums_up();
    }

    /// A batch is appended and flushed.
    fn batch(&mut self, now: Instant) {
        self.append(now, 1);
        self.core.flush();
    }

    /// Checks that the budget's use is the sum of the charges, to the byte.
    fn sums_up(&self) {
        let core = &self.core;
        let raw = core.raw.iter().chain(&core.open).map(|b| b.charge.bytes());
        let sealed = core
            .ready
            .iter()
            .chain(core.in_flight.values().map(|f| &f.batch));
        let sealed = sealed.map(|b| b.charge.bytes());
        let compressing = core.compressing.iter().map(|c| c.batch.charge.bytes());
        let held: usize = raw.chain(sealed).chain(compressing).sum();
        let appends = core.appends.len() * append_cost::<u64>();
        let handed_back = self.budget.handed_back();
        assert_eq!(held + appends + handed_back, self.budget.in_use());
    }
}

fn throttled(after: Option<Duration>) -> Failure {
    Failure::Throttled(Error::new(ErrorKind::Throttled, "slow down").with_retry_after(after))
}

fn unanswered() -> Failure {
    Failure::Ambiguous(Error::new(ErrorKind::Timeout, "no answer"))
}

fn refused(status: u16) -> Failure {
    let error = Error::new(ErrorKind::Refused, "no");
    Failure::Answered {
        status,
        code: None,
        error,
    }
}

#[test]
fn the_lag_is_counted_from_the_first_row() {
    let mut rig = Rig::new(4);
    rig.append(rig.start, 1);
    assert_eq!(rig.wait(rig.start), Some(1000));
    rig.append(rig.start + SECOND / 2, 1);
    assert_eq!(rig.wait(rig.start + SECOND / 2), Some(1000));
    let order = rig.order(rig.at(1));
    assert_eq!(
        (order.1.uncompressed_len, order.1.attempt.retry_count),
        (16, 0)
    );
    assert_eq!(rig.wait(rig.at(1)), None);
    rig.answer(rig.at(2), &order, Ok(()));
    for (n, ack) in (0..).zip(&mut rig.acks) {
        let accepted = ack.try_recv().unwrap().unwrap();
        assert_eq!((accepted.tag, accepted.ambiguous), (n, false));
    }
    assert_eq!(rig.budget.in_use(), 0);
}

#[test]
fn the_driver_is_woken_for_the_first_row_of_a_batch_and_for_one_that_is_full() {
    let mut rig = Rig::new(2);
    let now = rig.at(0);
    // A row has eight bytes.
    rig.core.limits.max_uncompressed = 24;
    let woken: Vec<_> = (0..5).map(|_| rig.append(now, 1)).collect();
    assert_eq!(woken, [true, false, true, true, false]);
    assert_eq!(rig.core.raw.len(), 1);
    assert!(!rig.append(now, 0), "no rows");
}

#[test]
fn debug_output_shows_the_progress_and_no_row() {
    let mut rig = Rig::new(1);
    rig.append(rig.start, 0);
    rig.append(rig.start, 1);
    let shared = crate::elastic::shared::Shared::new(rig.core, rig.share);
    let expected = "ElasticChannel { appended: 2, settled: 1, refusal: None, .. }";
    assert_eq!(format!("{shared:?}"), expected);
}

#[test]
fn requests_are_limited_and_waiting_rows_share_the_next_one() {
    let mut rig = Rig::new(2);
    let now = rig.start;
    let mut orders = Vec::new();
    for _ in 0..2 {
        rig.batch(now);
        orders.push(rig.order(now));
    }
    for _ in 0..3 {
        rig.batch(now);
        assert_eq!(rig.wait(now), None);
    }
    rig.answer(now, &orders[1], Ok(()));
    assert_eq!(rig.order(now).1.uncompressed_len, 8);
    rig.answer(now, &orders[0], Ok(()));
    assert_eq!(rig.order(now).1.uncompressed_len, 16, "the last two in one");
}

#[test]
fn after_a_429_one_request_is_in_flight_and_one_more_with_each_success() {
    let mut rig = Rig::new(4);
    let now = rig.start;
    let mut orders = Vec::new();
    for _ in 0..4 {
        rig.batch(now);
        orders.push(rig.order(now));
    }
    rig.answer(now, &orders[0], Err(throttled(Some(5 * SECOND))));
    rig.answer(now, &orders[1], Err(throttled(None)));
    rig.answer(now, &orders[2], Err(unanswered()));
    assert_eq!(
        rig.wait(rig.at(1)),
        None,
        "the fourth is still on its way, and one is the most"
    );
    rig.answer(rig.at(1), &orders[3], Ok(()));
    assert_eq!(rig.core.window, 2);
    assert_eq!(
        rig.wait(rig.at(1)),
        Some(5000),
        "what waits for other reasons waits as well"
    );
    let again: Vec<_> = (0..2).map(|_| rig.order(rig.at(5))).collect();
    assert_eq!(rig.wait(rig.at(5)), None);
    assert!(again.iter().all(|order| order.1.attempt.retry_count == 1));
    rig.answer(rig.at(6), &again[0], Ok(()));
    let last = rig.order(rig.at(6));
    for order in [&again[1], &last] {
        rig.answer(rig.at(6), order, Ok(()));
    }
    assert_eq!(rig.core.window, 4);
    let ambiguous = rig
        .acks
        .iter_mut()
        .map(|ack| ack.try_recv().unwrap().unwrap().ambiguous);
    assert_eq!(ambiguous.collect::<Vec<_>>(), [false, false, true, false]);
    assert_eq!(rig.budget.in_use(), 0);
}

#[test]
fn attempts_keep_their_id_and_the_last_one_is_before_the_deadline() {
    let mut rig = Rig::new(4);
    rig.batch(rig.start);
    let first = rig.order(rig.start);
    rig.answer(rig.start, &first, Err(throttled(Some(3600 * SECOND))));
    assert_eq!(rig.wait(rig.start), Some(100_000));
    let last = rig.order(rig.at(100));
    assert_eq!(
        (last.1.attempt.request_id, last.1.attempt.retry_count),
        (first.1.attempt.request_id, 1)
    );
    rig.answer(rig.at(100), &last, Err(throttled(None)));
    let failed = rig.acks[0].try_recv().unwrap().unwrap_err();
    assert_eq!(failed.error.kind(), ErrorKind::Unreachable);
    assert_eq!((failed.retry_count, failed.is_ambiguous()), (1, false));
    assert_eq!(failed.rows().unwrap().as_bytes(), b"{\"N\":0}\n");
    assert!(rig.budget.in_use() > 0, "they are not taken yet");
    drop(failed);
    assert_eq!(rig.budget.in_use(), 0);
}

#[test]
fn a_long_delay_that_the_server_asks_for_does_not_outlast_the_retry_time() {
    let mut rig = Rig::new(1);
    rig.batch(rig.start);
    let first = rig.order(rig.start);
    rig.answer(rig.start, &first, Err(throttled(Some(3600 * SECOND))));
    rig.batch(rig.start);
    // The second batch is not given up before it was tried.
    let again = rig.order(rig.at(100));
    rig.answer(rig.at(100), &again, Err(unanswered()));
    let second = rig.order(rig.at(100));
    assert_ne!(second.1.attempt.request_id, first.1.attempt.request_id);
    rig.answer(rig.at(100), &second, Ok(()));
    assert!(rig.acks[1].try_recv().unwrap().is_ok());
}

#[test]
fn requests_that_are_refused_together_are_halved_once() {
    let mut rig = Rig::new(4);
    let now = rig.start;
    let mut orders = Vec::new();
    for _ in 0..3 {
        rig.append(now, 200);
        rig.core.flush();
        orders.push(rig.order(now));
    }
    let len = orders[0].1.body.len();
    for order in &orders {
        rig.answer(now, order, Err(refused(413)));
    }
    assert_eq!(rig.core.limits.request_limit.get(), 10_000, "they are tiny");
    let mut brought = 0;
    while let Action::Send(flight, request) = rig.poll(now) {
        let order = (flight, request);
        assert!(order.1.body.len() <= len / 2 && order.1.attempt.retry_count == 0);
        brought += order.1.uncompressed_len;
        rig.answer(now, &order, Ok(()));
    }
    assert_eq!(
        brought,
        orders
            .iter()
            .map(|order| order.1.uncompressed_len)
            .sum::<usize>()
    );
    for ack in &mut rig.acks {
        assert!(ack.try_recv().unwrap().unwrap().requests.len() >= 2);
    }
    assert_eq!(rig.budget.in_use(), 0);
}

#[test]
fn a_batch_split_after_an_unanswered_attempt_stays_ambiguous() {
    let mut rig = Rig::new(4);
    rig.append(rig.start, 2);
    rig.core.flush();
    let order = rig.order(rig.start);
    rig.answer(rig.start, &order, Err(unanswered()));
    let order = rig.order(rig.at(1));
    rig.answer(rig.at(1), &order, Err(refused(413)));
    while let Action::Send(flight, request) = rig.poll(rig.at(1)) {
        rig.answer(rig.at(1), &(flight, request), Ok(()));
    }
    let accepted = rig.acks[0].try_recv().unwrap().unwrap();
    assert_eq!(
        (
            accepted.ambiguous,
            accepted.retry_count,
            accepted.requests.len()
        ),
        (true, 1, 2)
    );
}

/// Otherwise each append would become a request, as long as some append of the client waits.
#[test]
fn an_append_that_waits_for_memory_seals_only_what_can_be_sent_or_is_half_full() {
    let mut rig = Rig::new(1);
    let now = rig.start;
    rig.append(now, 1);
    let first = match rig.core.poll(now, true) {
        Action::Seal(frame, limit) => {
            let pieces = seal(
                &mut Compressor::new(1).unwrap(),
                frame.rows().unwrap(),
                limit,
            );
            rig.core.on_sealed(pieces);
            rig.order(now)
        }
        other => panic!("nothing is under way: {other:?}"),
    };
    rig.append(now, 1);
    assert!(matches!(rig.core.poll(now, true), Action::Wait(_)));
    rig.append(now, 10_000);
    assert!(
        matches!(rig.core.poll(now, true), Action::Seal(..)),
        "half full"
    );
    rig.answer(now, &first, Ok(()));
}

#[test]
fn an_end_hands_back_rows_in_every_state() {
    let mut rig = Rig::new(1);
    let now = rig.start;
    rig.batch(now);
    let _unanswered = rig.order(now);
    rig.batch(now);
    assert_eq!(rig.wait(now), None, "sealed, and not sent");
    rig.batch(now);
    // A batch of any size is full, so that it is at the compressor.
    rig.core.limits.max_uncompressed = 1;
    let Action::Seal(..) = rig.core.poll(now, false) else {
        panic!("it is full");
    };
    rig.core.limits.max_uncompressed = 100_000;
    rig.append(now, 1);
    rig.core.stop(&Error::new(ErrorKind::ClientClosed, "over"));
    let failed = rig
        .acks
        .iter_mut()
        .map(|ack| ack.try_recv().unwrap().unwrap_err());
    let failed: Vec<_> = failed
        .map(|f| (f.tag, f.is_ambiguous(), f.rows().unwrap().len()))
        .collect();
    assert_eq!(
        failed,
        [(0, true, 1), (1, false, 1), (2, false, 1), (3, false, 1)]
    );
    rig.core.on_sealed(Ok(Vec::new()));
    assert!(matches!(rig.core.poll(now, false), Action::Stop));
    assert_eq!(rig.budget.in_use(), 0);
}

#[test]
fn outcomes_without_an_acknowledgement_are_kept_if_they_are_failures() {
    let mut rig = Rig::new(4);
    let now = rig.start;
    for answer in [Ok(()), Err(refused(400))] {
        rig.batch(now);
        rig.acks.clear();
        let order = rig.order(now);
        rig.answer(now, &order, answer);
    }
    assert_eq!(rig.unheard, 1);
    assert_eq!(rig.core.refusal().unwrap().kind(), ErrorKind::Refused);
    let (total, last, unreported) = rig.core.failures();
    assert_eq!(
        (total, last.unwrap().kind(), unreported.len()),
        (1, ErrorKind::Refused, 1)
    );
    assert!(rig.core.refusal().is_none());
}

#[path = "core_histories.rs"]
mod histories;
