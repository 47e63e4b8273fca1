//! The state machine of an elastic channel: no I/O, no clock, no runtime. Every method takes `now`.
//!
//! Rows move through it in one direction: appended into the open batch, sealed, sent, accepted. Batches stand for
//! themselves: each is tried until it is accepted or given up, whatever becomes of the others. The state and the append
//! are here; what to do next is in `schedule`, what answers mean in `answers`.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

use super::ack::{Accepted, FailedAppend, Outcome};
use super::batch::{Compressing, Part, RawBatch, Returned, SealedBatch};
use super::schedule::{FIRST_DELAY, LONGEST_DELAY};
use crate::base::budget::Charge;
use crate::base::request_limit::RequestLimit;
use crate::base::retry::{Backoff, Retry};
use crate::compress::ratio::Ratio;
use crate::types::error::Error;

/// The numbers an elastic channel runs by.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) max_client_lag: Duration,
    pub(super) request_limit: RequestLimit,
    pub(super) max_uncompressed: usize,
    pub(super) retry_for: Duration,
    /// Requests on their way at once.
    pub(super) requests: usize,
}

/// What an append is charged with beside its rows' bytes: what is remembered of it, so that appends of tiny rows are
/// bounded by the memory budget too. Its tag counts twice, for it moves from the channel to the acknowledgement.
pub(super) const fn append_cost<T>() -> usize {
    512 + 2 * size_of::<T>()
}

/// An append as it comes in.
pub(super) struct Append<T> {
    pub(super) rows: Bytes,
    pub(super) count: u64,
    pub(super) tag: T,
    pub(super) ack_sender: oneshot::Sender<Outcome<T>>,
}

/// An append without an outcome yet.
struct Pending<T> {
    tag: T,
    ack_sender: oneshot::Sender<Outcome<T>>,
    /// In how many batches there are rows of it.
    parts: usize,
    requests: Vec<Uuid>,
    retry_count: u32,
    /// Rows of it may be in the table without having been acknowledged, or twice.
    ambiguous: bool,
    returned: Vec<Returned>,
    error: Option<Error>,
    charge: Charge,
}

/// A batch that was sent, and is neither accepted nor given up.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) batch: SealedBatch,
    pub(super) request_id: Uuid,
    pub(super) tries: u32,
    /// An earlier try may have been applied.
    pub(super) ambiguous: bool,
    pub(super) refusals: u32,
    pub(super) retry: Retry,
    /// When it is to be tried again; `None` while a try is under way.
    pub(super) retry_at: Option<Instant>,
}

impl InFlight {
    pub(super) fn retry_count(&self) -> u32 {
        self.tries.saturating_sub(1)
    }
}

/// An elastic channel from the first append to its end.
pub(super) struct Core<T> {
    pub(super) limits: Limits,
    pub(super) rng: fastrand::Rng,
    /// It takes no more rows, for this reason.
    end: Option<Error>,
    pub(super) stopped: bool,
    /// The number of the next append.
    next: u64,
    appends: BTreeMap<u64, Pending<T>>,

    pub(super) open: Option<RawBatch>,
    pub(super) raw: VecDeque<RawBatch>,
    /// What the driver is compressing, and whether it goes before all that is ready: it was sent and is too large.
    pub(super) compressing: Option<(Compressing, bool)>,
    pub(super) ready: VecDeque<SealedBatch>,
    pub(super) flights: BTreeMap<u64, InFlight>,
    pub(super) launched: u64,
    /// Appends before this one are sealed without waiting for the lag.
    pub(super) flush_through: u64,
    /// All handles are gone, or it is closed: end when nothing is held any more, at the latest then.
    pub(super) drain_until: Option<Instant>,
    abandoned: bool,

    /// Compressed over uncompressed size, learned; decides when the open batch is full.
    pub(super) ratio: Ratio,
    /// The client's limit as the last poll read it: one poll must not see two of them.
    pub(super) request_limit: usize,
    /// How many requests may be on their way: one after a 429, and one more with each that is accepted.
    pub(super) window: usize,
    pub(super) throttle: Backoff,
    pub(super) throttled_until: Option<Instant>,
    /// When a batch was accepted last.
    pub(super) last_accept: Option<Instant>,
    /// Whether somebody was told that no batch gets through.
    pub(super) is_warned: bool,

    /// Failed appends since the beginning, and why the last one failed.
    failures: u64,
    last_failure: Option<Error>,
    /// Failed appends that are not yet reported.
    unreported: Vec<FailedAppend<T>>,
    /// Outcomes that are not awaited. They are dropped outside the lock: the tags in them are the caller's.
    spent: Vec<Accepted<T>>,
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
            flights: BTreeMap::new(),
            launched: 0,
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
            spent: Vec::new(),
        }
    }

    /// The number of the next append.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Every append before this one has an outcome.
    pub(super) fn settled(&self) -> u64 {
        self.appends
            .first_key_value()
            .map_or(self.next, |(n, _)| *n)
    }

    /// Why no more rows are taken.
    pub(super) fn refusal(&self) -> Option<Error> {
        self.end.clone().or_else(|| self.unheard_error())
    }

    /// Whether it will never take rows again.
    pub(super) fn is_closed(&self) -> bool {
        self.end.is_some()
    }

    /// That appends failed and their failures are not yet reported.
    pub(super) fn unheard_error(&self) -> Option<Error> {
        let failed = self.unreported.first()?;
        let text = format!(
            "{} appends failed and their failures are not yet reported; call `checkpoint` for their rows, then go on: {}",
            self.unreported.len(),
            failed.error.message()
        );
        let error = Error::new(failed.error.kind(), text).with_retryable(false);
        Some(error.because_of(failed.error.clone()))
    }

    /// What anybody waits for: how many appends have an outcome, whether rows are taken, whether all is over.
    pub(super) fn marks(&self) -> (u64, bool, bool) {
        let takes_rows = self.end.is_none() && self.unreported.is_empty();
        (self.settled(), takes_rows, self.stopped)
    }

    /// Takes the rows of an append into the open batch, whether or not it is to be refused; `charge` covers them. Returns
    /// whether the driver has to look.
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
            self.tell(number);
            return false;
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
            }
        });
        open.payload.extend_from_slice(&append.rows);
        open.parts.push(Part {
            append: number,
            rows: append.count,
            len,
        });
        open.charge.absorb(charge);
        wake || open.payload.len() >= full
    }

    /// The uncompressed size at which a batch is expected to fill a request.
    pub(super) fn full_at(&self) -> usize {
        let full = self.ratio.uncompressed(self.request_limit);
        full.clamp(1, self.limits.max_uncompressed)
    }

    /// Asks for everything appended so far to be sealed now.
    pub(super) fn flush(&mut self) {
        self.flush_through = self.next;
    }

    /// The last handle is gone.
    pub(super) fn abandon(&mut self, until: Instant, why: Error) {
        self.abandoned = true;
        self.drain(until, why);
    }

    /// Failed appends that will never be reported.
    pub(super) fn lost(&self) -> usize {
        if self.abandoned && self.stopped {
            self.unreported.len()
        } else {
            0
        }
    }

    /// Takes no more rows, and ends when all have an outcome, at the latest `until`.
    pub(super) fn drain(&mut self, until: Instant, why: Error) {
        self.flush();
        self.end.get_or_insert(why);
        self.drain_until = Some(self.drain_until.map_or(until, |earlier| earlier.min(until)));
    }

    /// Ends at once: what has no outcome is given up.
    pub(super) fn stop(&mut self, why: &Error) {
        self.end.get_or_insert_with(|| why.clone());
        self.stopped = true;
        if let Some((batch, _)) = self.compressing.take() {
            self.give_up(batch, why);
        }
        for mut flight in std::mem::take(&mut self.flights).into_values() {
            // Its answer may be on the way.
            flight.ambiguous |= flight.retry_at.is_none();
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

    /// A batch is given up after it was sent.
    pub(super) fn fail(&mut self, flight: InFlight, why: &Error) {
        self.note_request(&flight);
        let why = match why.request_id() {
            Some(_) => why.clone(),
            None => why.clone().with_request_id(flight.request_id),
        };
        self.give_up(flight.batch.into_frame(), &why);
    }

    /// The appends of a batch learn of the request it was in.
    pub(super) fn note_request(&mut self, flight: &InFlight) {
        for part in &flight.batch.parts {
            if let Some(append) = self.appends.get_mut(&part.append) {
                append.ambiguous |= flight.ambiguous;
                append.retry_count = append.retry_count.max(flight.retry_count());
            }
        }
    }

    /// Hands the rows of a batch back to the callers who appended them. The rows keep their charge until they are taken.
    pub(super) fn give_up(&mut self, batch: Compressing, why: &Error) {
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
                append.requests.push(flight.request_id);
            }
            self.part_done(part.append);
        }
    }

    /// Rows of an append are in one batch more than before.
    pub(super) fn part_cut(&mut self, number: u64) {
        if let Some(append) = self.appends.get_mut(&number) {
            append.parts += 1;
        }
    }

    /// Rows of an append are through; with the last of them it is told its outcome.
    fn part_done(&mut self, number: u64) {
        let Some(append) = self.appends.get_mut(&number) else {
            return;
        };
        append.parts = append.parts.saturating_sub(1);
        if append.parts == 0 {
            self.tell(number);
        }
    }

    fn tell(&mut self, number: u64) {
        let Some(append) = self.appends.remove(&number) else {
            return;
        };
        let outcome = match append.error {
            None => Ok(Accepted {
                tag: append.tag,
                requests: append.requests,
                retry_count: append.retry_count,
                ambiguous: append.ambiguous,
            }),
            Some(error) => {
                self.failures += 1;
                let error = error.with_ambiguous(append.ambiguous);
                self.last_failure = Some(error.clone());
                Err(FailedAppend {
                    tag: append.tag,
                    error,
                    returned: append.returned,
                    retry_count: append.retry_count,
                    charge: Some(append.charge.handed_back()),
                })
            }
        };
        match append.ack_sender.send(outcome) {
            Ok(()) => {}
            Err(Ok(accepted)) => self.spent.push(accepted),
            Err(Err(failed)) => self.unreported.push(failed),
        }
    }

    /// Keeps a failure that is not yet reported.
    pub(super) fn keep(&mut self, failed: FailedAppend<T>) {
        self.unreported.push(failed);
    }

    /// How many appends have failed since the beginning, why the last one did, and the failures that are not yet reported.
    pub(super) fn failures(&mut self) -> (u64, Option<Error>, Vec<FailedAppend<T>>) {
        let mut unreported = std::mem::take(&mut self.unreported);
        unreported.iter_mut().for_each(FailedAppend::taken);
        (self.failures, self.last_failure.clone(), unreported)
    }

    /// Outcomes that are not awaited, to be dropped outside the lock.
    pub(super) fn take_spent(&mut self) -> Vec<Accepted<T>> {
        std::mem::take(&mut self.spent)
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
