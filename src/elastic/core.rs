//! The state machine of an elastic channel: no I/O, no clock, no runtime. Every method takes `now`.
//!
//! Rows move through it in one direction: appended into the open batch, sealed, sent, accepted. Batches are independent:
//! each is tried until it is accepted or given up. The state and the append are here. `schedule` decides what the driver
//! does next, and `responses` reads the answers.
//!
//! The core is behind a mutex that is held briefly. With named channels it shares the budget, the compression, the session and
//! the reading of failures. It has no tokens, no ledger and no commits.
//!
//! - Each batch has its own request id. After a 429 one batch is in flight, and with each success one more.
//! - An append lies in several batches if one was split. It is accepted when all of them are. Otherwise the rows of the
//!   failed batches are handed back.
//! - A batch *may be duplicated* if it was retried after an attempt that the server may have applied. An attempt that was not
//!   sent, was throttled or was refused does not count, although the retry count rises with each.
//! - A failure goes to the task that awaits the append. If none does, it is kept for the next checkpoint, and appends are
//!   refused until then, so that failures do not accumulate.
//! - An append that could only wait for a caller to take handed-back rows fails with `Backpressure`: that caller may be the
//!   same task.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

use super::ack::{Accepted, FailedAppend, Outcome};
use super::batch::{FrameBatch, Part, Piece, RawBatch, Returned, SealedBatch};
use crate::base::budget::Charge;
use crate::base::request_limit::RequestLimit;
use crate::base::retry::Backoff;
use crate::compress::ratio::Ratio;
use crate::pipeline::attempts::{Attempts, FIRST_DELAY, LONGEST_DELAY};
use crate::types::error::Error;

/// The options and limits of an elastic channel.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) max_client_lag: Duration,
    pub(super) request_limit: RequestLimit,
    pub(super) max_uncompressed: usize,
    pub(super) retry_for: Duration,
    /// The largest number of concurrent requests.
    pub(super) requests: usize,
}

/// The charge of an append in addition to the bytes of its rows. It stands for the bookkeeping, so that the memory budget
/// bounds appends of tiny rows as well. The tag counts twice, because it moves from the core into the acknowledgement.
pub(super) const fn append_cost<T>() -> usize {
    512 + 2 * size_of::<T>()
}

/// A new append.
pub(super) struct Append<T> {
    pub(super) rows: Bytes,
    /// The compressed rows, if they are a single one that is compressed already.
    pub(super) frame: Option<Bytes>,
    pub(super) count: u64,
    pub(super) tag: T,
    pub(super) ack_sender: oneshot::Sender<Outcome<T>>,
}

/// An append that has no outcome yet.
struct Pending<T> {
    tag: T,
    ack_sender: oneshot::Sender<Outcome<T>>,
    /// The number of batches with rows of this append.
    parts: usize,
    requests: Vec<Uuid>,
    retry_count: u32,
    /// Whether an attempt without an answer may have been applied: its rows may be in the table unacknowledged, or twice.
    ambiguous: bool,
    returned: Vec<Returned>,
    error: Option<Error>,
    charge: Charge,
}

/// A batch at the driver.
#[derive(Debug)]
pub(super) struct Compressing {
    pub(super) batch: FrameBatch,
    /// A sealed batch that is being split. Its parts precede all ready batches.
    pub(super) is_split: bool,
}

/// A batch that was sent and is neither accepted nor given up.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) batch: SealedBatch,
    pub(super) attempts: Attempts,
    /// When to retry, or `None` while an attempt is under way.
    pub(super) retry_at: Option<Instant>,
}

/// An elastic channel from the first append to its end.
pub(super) struct Core<T> {
    pub(super) limits: Limits,
    pub(super) rng: fastrand::Rng,
    /// Why the channel accepts no more rows.
    end: Option<Error>,
    pub(super) stopped: bool,
    /// The number of the next append.
    next: u64,
    appends: BTreeMap<u64, Pending<T>>,

    pub(super) open: Option<RawBatch>,
    pub(super) raw: VecDeque<RawBatch>,
    /// What the driver is compressing.
    pub(super) compressing: Option<Compressing>,
    pub(super) ready: VecDeque<SealedBatch>,
    pub(super) in_flight: BTreeMap<u64, InFlight>,
    /// The number of batches sent so far, which numbers the next one in `in_flight`.
    pub(super) batches_sent: u64,
    /// Appends before this one are sealed without waiting for the lag.
    pub(super) flush_through: u64,
    /// Set when the channel is closed or the last handle dropped: the channel ends when every append has an outcome, and at
    /// this time at the latest.
    pub(super) drain_until: Option<Instant>,
    /// Whether the last handle was dropped.
    abandoned: bool,

    /// The learned compression ratio. It decides when the open batch is full.
    pub(super) ratio: Ratio,
    /// The client's limit as of the last `poll`. Other channels may lower it at any time, and one `poll` must use one value.
    pub(super) request_limit: usize,
    /// How many requests may be under way: one after a 429, and one more with each accepted one.
    pub(super) window: usize,
    pub(super) throttle: Backoff,
    pub(super) throttled_until: Option<Instant>,
    /// When the last batch was accepted.
    pub(super) last_accept: Option<Instant>,
    /// Whether the warning that no batch is accepted was logged.
    pub(super) is_warned: bool,

    /// The number of failed appends so far.
    failures: u64,
    last_failure: Option<Error>,
    /// Failed appends that are not yet reported.
    unreported: Vec<FailedAppend<T>>,
    /// Accepted appends, for [`take_accepted`](Self::take_accepted).
    accepted: Vec<(oneshot::Sender<Outcome<T>>, Accepted<T>)>,
}

impl<T> Core<T> {
    pub(super) fn new(limits: Limits, seed: u64) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(seed),
            end: None,
            stopped: false,
            next: 0,
            appends: BTreeMap::new(),
            open: None,
            raw: VecDeque::new(),
            compressing: None,
            ready: VecDeque::new(),
            in_flight: BTreeMap::new(),
            batches_sent: 0,
            flush_through: 0,
            drain_until: None,
            abandoned: false,
            ratio: Ratio::default(),
            request_limit: limits.request_limit.get(),
            window: limits.requests,
            limits,
            throttle: Backoff::new(FIRST_DELAY, LONGEST_DELAY),
            throttled_until: None,
            last_accept: None,
            is_warned: false,
            failures: 0,
            last_failure: None,
            unreported: Vec::new(),
            accepted: Vec::new(),
        }
    }

    /// The number of the next append.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Every append before the one with this number has an outcome.
    pub(super) fn settled(&self) -> u64 {
        self.appends
            .first_key_value()
            .map_or(self.next, |(n, _)| *n)
    }

    /// The error with which appends are refused.
    pub(super) fn refusal(&self) -> Option<Error> {
        self.end.clone().or_else(|| self.unreported_error())
    }

    /// Whether the channel will never accept rows again.
    pub(super) fn is_closed(&self) -> bool {
        self.end.is_some()
    }

    /// An error about failures that are not yet reported, if there are any.
    pub(super) fn unreported_error(&self) -> Option<Error> {
        let failed = self.unreported.first()?;
        let text = format!(
            "{} appends failed and their failures are not yet reported; call `checkpoint` to get their rows, then continue: {}",
            self.unreported.len(),
            failed.error.message()
        );
        let error = Error::new(failed.error.kind(), text).with_retryable(false);
        Some(error.because_of(failed.error.clone()))
    }

    /// The state that tasks wait for: how many appends have an outcome, whether rows are accepted, whether the channel has
    /// ended.
    pub(super) fn observable(&self) -> (u64, bool, bool) {
        let accepts_rows = self.end.is_none() && self.unreported.is_empty();
        (self.settled(), accepts_rows, self.stopped)
    }

    /// Moves the rows of an append into the open batch. The caller has checked [`refusal`](Self::refusal), and `charge` covers
    /// the append. Returns whether to wake the driver.
    pub(super) fn append(
        &mut self,
        now: Instant,
        now_ms: u64,
        append: Append<T>,
        mut charge: Charge,
    ) -> bool {
        let number = self.next;
        self.next += 1;
        let len = append.rows.len();
        self.appends.insert(
            number,
            Pending {
                tag: append.tag,
                ack_sender: append.ack_sender,
                parts: usize::from(append.count > 0),
                requests: Vec::new(),
                retry_count: 0,
                ambiguous: false,
                returned: Vec::new(),
                error: None,
                charge: charge.split_off(append_cost::<T>()),
            },
        );
        if append.count == 0 {
            self.resolve(number);
            return false;
        }
        let part = Part {
            append: number,
            rows: append.count,
            len,
        };
        if let Some(body) = append.frame {
            self.ready.push_back(SealedBatch {
                payload: Piece { body, len },
                parts: vec![part],
                charge,
                first_append: now,
                first_append_ms: now_ms,
                is_refused: false,
            });
            return true;
        }
        let mut wake = false;
        let full = self.full_at();
        let overflows = |open: &mut RawBatch| open.payload.len() + len > full;
        if let Some(open) = self.open.take_if(overflows) {
            self.raw.push_back(open);
            wake = true;
        }
        let open = self.open.get_or_insert_with(|| {
            wake = true;
            RawBatch {
                payload: Vec::new(),
                parts: Vec::new(),
                charge: charge.split_off(0),
                first_append: now,
                first_append_ms: now_ms,
                is_refused: false,
            }
        });
        open.payload.extend_from_slice(&append.rows);
        open.parts.push(part);
        open.charge.absorb(charge);
        wake || open.payload.len() >= full
    }

    /// The uncompressed size at which a batch is expected to fill a request.
    pub(super) fn full_at(&self) -> usize {
        let full = self.ratio.uncompressed(self.request_limit);
        full.clamp(1, self.limits.max_uncompressed)
    }

    /// Requests that everything appended so far is sealed now.
    pub(super) fn flush(&mut self) {
        self.flush_through = self.next;
    }

    /// The last handle was dropped.
    pub(super) fn abandon(&mut self, until: Instant, why: Error) {
        self.abandoned = true;
        self.drain(until, why);
    }

    /// The number of failed appends that can no longer be reported.
    pub(super) fn lost(&self) -> usize {
        if self.abandoned && self.stopped {
            self.unreported.len()
        } else {
            0
        }
    }

    /// Refuses further appends, and ends the channel when all have an outcome or at `until`.
    pub(super) fn drain(&mut self, until: Instant, why: Error) {
        self.flush();
        self.end.get_or_insert(why);
        self.drain_until = Some(self.drain_until.map_or(until, |earlier| earlier.min(until)));
    }

    /// Ends at once. Appends without an outcome are given up.
    pub(super) fn stop(&mut self, why: &Error) {
        self.end.get_or_insert_with(|| why.clone());
        self.stopped = true;
        if let Some(Compressing { batch, .. }) = self.compressing.take() {
            self.give_up(batch, why);
        }
        for mut flight in std::mem::take(&mut self.in_flight).into_values() {
            // An attempt under way may still be applied.
            flight.attempts.ambiguous |= flight.retry_at.is_none();
            self.fail(flight, why);
        }
        for batch in std::mem::take(&mut self.ready) {
            self.give_up(batch.into_frame(), why);
        }
        let raw = std::mem::take(&mut self.raw);
        for batch in raw.into_iter().chain(self.open.take()) {
            self.give_up(batch.into_frame(), why);
        }
    }

    /// Gives up a batch that was sent.
    pub(super) fn fail(&mut self, flight: InFlight, why: &Error) {
        self.note_request(&flight);
        let why = match why.request_id() {
            Some(_) => why.clone(),
            None => why.clone().with_request_id(flight.attempts.request_id),
        };
        self.give_up(flight.batch.into_frame(), &why);
    }

    /// Records the attempts of a request in the appends of its batch.
    pub(super) fn note_request(&mut self, flight: &InFlight) {
        for part in &flight.batch.parts {
            if let Some(append) = self.appends.get_mut(&part.append) {
                append.ambiguous |= flight.attempts.ambiguous;
                append.retry_count = append.retry_count.max(flight.attempts.retry_count());
            }
        }
    }

    /// Hands the rows of a batch back to their appends. The rows keep their charge until the callers have them.
    pub(super) fn give_up(&mut self, batch: FrameBatch, why: &Error) {
        for returned in Returned::of(batch) {
            let number = returned.part.append;
            if let Some(append) = self.appends.get_mut(&number) {
                append.error.get_or_insert_with(|| why.clone());
                append.returned.push(returned);
            }
            self.part_done(number);
        }
    }

    /// The server has the rows of a batch.
    pub(super) fn accept(&mut self, flight: &InFlight) {
        self.note_request(flight);
        for part in &flight.batch.parts {
            if let Some(append) = self.appends.get_mut(&part.append) {
                append.requests.push(flight.attempts.request_id);
            }
            self.part_done(part.append);
        }
    }

    /// Rows of an append are in one more batch, because a batch was split within the append.
    pub(super) fn add_part(&mut self, number: u64) {
        if let Some(append) = self.appends.get_mut(&number) {
            append.parts += 1;
        }
    }

    /// One batch with rows of an append was accepted or given up. The last one resolves the append.
    fn part_done(&mut self, number: u64) {
        let Some(append) = self.appends.get_mut(&number) else {
            return;
        };
        append.parts = append.parts.saturating_sub(1);
        if append.parts == 0 {
            self.resolve(number);
        }
    }

    /// An append has its outcome. If its acknowledgement was dropped, a failure is kept for the next checkpoint.
    fn resolve(&mut self, number: u64) {
        let Some(append) = self.appends.remove(&number) else {
            return;
        };
        let Some(error) = append.error else {
            let accepted = Accepted {
                tag: append.tag,
                requests: append.requests,
                retry_count: append.retry_count,
                ambiguous: append.ambiguous,
            };
            return self.accepted.push((append.ack_sender, accepted));
        };
        self.failures += 1;
        let error = error.with_ambiguous(append.ambiguous);
        self.last_failure = Some(error.clone());
        let failed = FailedAppend {
            tag: append.tag,
            error,
            returned: append.returned,
            retry_count: append.retry_count,
            charge: Some(append.charge.handed_back()),
        };
        // Under the lock: a checkpoint that follows must find the failure.
        if let Err(Err(failed)) = append.ack_sender.send(Err(failed)) {
            self.unreported.push(failed);
        }
    }

    /// Keeps a failure that is not yet reported.
    pub(super) fn keep(&mut self, failed: FailedAppend<T>) {
        self.unreported.push(failed);
    }

    /// The number of failed appends so far, the last error, and the failures that are not yet reported, which this removes.
    pub(super) fn failures(&mut self) -> (u64, Option<Error>, Vec<FailedAppend<T>>) {
        let mut unreported = std::mem::take(&mut self.unreported);
        unreported.iter_mut().for_each(FailedAppend::release_charge);
        (self.failures, self.last_failure.clone(), unreported)
    }

    /// The accepted appends, whose acknowledgements are sent outside the lock: each send wakes a task, and an outcome that nobody
    /// waits for is dropped, which runs the caller's code.
    pub(super) fn take_accepted(&mut self) -> Vec<(oneshot::Sender<Outcome<T>>, Accepted<T>)> {
        std::mem::take(&mut self.accepted)
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
