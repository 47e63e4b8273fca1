//! The byte budget of a client, with a share for each channel. Charges for rows and their bookkeeping are exact to the byte;
//! only the growing buffer of an open batch may have a capacity of up to twice its charge.
//!
//! One semaphore counts the bytes of the client, and one the share of each channel. A charge is taken before rows move into the
//! open batch, shrinks to the compressed length at seal, and is returned at accept (with `Recovery::Replay` at commit) or when
//! the channel ends. When an append waits for memory, an open batch is sealed early if it can leave at once or is half full.
//!
//! The sum of the live charges is kept apart from the permits: the simulators compare both at each event, unit tests of the
//! core compare them with the charges themselves, and `tests/stalled_memory.rs` compares the budget with what an allocator
//! counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, Semaphore};
use tracing::warn;

use crate::types::error::{Error, ErrorKind, Result};

/// The bytes that a client may hold.
#[derive(Debug)]
pub(crate) struct Budget {
    capacity: usize,
    free: Arc<Semaphore>,
    /// The sum of the live charges, kept apart from the permits so that they can be compared.
    charged: AtomicUsize,
    /// The number of shares with waiting appends.
    waiting: AtomicUsize,
    /// Whether an append has ever waited.
    was_pressed: AtomicBool,
    /// Notified when an append starts to wait, so that open batches are sealed early. Unlike a `watch` it wakes in the order of
    /// waiting.
    pressure: Notify,
    /// Bytes of rows that were handed back. They become free only when a caller takes the rows.
    handed_back: AtomicUsize,
    /// Notified when `handed_back` rises.
    more_handed_back: Notify,
    /// Notified when bytes become free or are handed back, while an append waits.
    released: Notify,
}

impl Budget {
    pub(crate) fn new(capacity: usize) -> Arc<Self> {
        let capacity = capacity.min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            capacity,
            free: Arc::new(Semaphore::new(capacity)),
            charged: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            was_pressed: AtomicBool::new(false),
            pressure: Notify::new(),
            handed_back: AtomicUsize::new(0),
            more_handed_back: Notify::new(),
            released: Notify::new(),
        })
    }

    /// Bytes charged now: the sum of the live charges.
    pub(crate) fn in_use(&self) -> usize {
        self.charged.load(Ordering::Relaxed)
    }

    /// Compares the permits with the live charges. The comparison is exact if no other thread is between taking permits and
    /// recording the charge.
    ///
    /// # Errors
    ///
    /// If they differ: bytes were returned twice, or taken and not charged.
    #[cfg(any(test, feature = "__bench"))]
    pub(crate) fn audit(&self) -> Result<(), String> {
        let (free, charged) = (self.free.available_permits(), self.in_use());
        let accounted = free.saturating_add(charged);
        // A waiting append collects permits before it has a charge.
        let is_collecting = self.waiting.load(Ordering::Acquire) > 0;
        match accounted.cmp(&self.capacity) {
            std::cmp::Ordering::Less if !is_collecting => Err("bytes are taken and not charged"),
            std::cmp::Ordering::Greater => Err("bytes are free and charged at once"),
            _ => Ok(()),
        }
        .map_err(|what| {
            format!(
                "{what}: {free} free, {charged} charged, of {}",
                self.capacity
            )
        })
    }

    /// Bytes of rows that were handed back and not yet taken by a caller.
    #[cfg(test)]
    pub(crate) fn handed_back(&self) -> usize {
        self.handed_back.load(Ordering::Acquire)
    }

    /// Lets the waiting appends look again.
    fn signal_released(&self) {
        if self.is_pressed() {
            self.released.notify_waiters();
        }
    }

    /// Whether an append waits for memory.
    pub(crate) fn is_pressed(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }

    /// Resolves when an append starts to wait. Enable it before you check [`is_pressed`](Self::is_pressed).
    pub(crate) fn pressure(&self) -> Notified<'_> {
        self.pressure.notified()
    }

    /// Creates a channel's share, which is limited to `cap` bytes.
    pub(crate) fn share(self: &Arc<Self>, cap: usize) -> Share {
        let cap = cap.min(self.capacity);
        Share {
            budget: Arc::clone(self),
            cap,
            free: Arc::new(Semaphore::new(cap)),
            waiting: Arc::default(),
            turn: Arc::new(Semaphore::new(1)),
            handed_back: Arc::default(),
        }
    }
}

/// A channel's share of the budget. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    cap: usize,
    free: Arc<Semaphore>,
    /// The number of waiting appends of this share.
    waiting: Arc<AtomicUsize>,
    /// The waiting append that is next.
    turn: Arc<Semaphore>,
    /// This share's part of the budget's `handed_back`.
    handed_back: Arc<AtomicUsize>,
}

impl Share {
    pub(crate) fn cap(&self) -> usize {
        self.cap
    }

    /// Charges `bytes` if they are free now.
    pub(crate) fn try_charge(&self, bytes: usize) -> Option<Charge> {
        let mut charge = self.nothing();
        charge.try_grow(bytes).then_some(charge)
    }

    /// Like [`charge`](Self::charge), for an append. Fails when `refused` resolves, after `timeout`, or when only a caller
    /// could free the memory by taking rows that were handed back.
    pub(crate) async fn charge_within(
        &self,
        bytes: usize,
        timeout: Option<Duration>,
        refused: impl Future<Output = Error>,
    ) -> Result<Charge> {
        tokio::select! {
            biased;
            error = refused => Err(error),
            charge = self.charge(bytes) => Ok(charge),
            () = self.exhausted(bytes) => Err(Error::new(
                ErrorKind::Backpressure,
                "memory is used up by rows that were handed back and not taken; the rows were not appended: await the acknowledgements of elastic appends or drop them, call `checkpoint` or `take_uncommitted_rows`, and append again",
            )),
            () = late(timeout) => Err(Error::new(
                ErrorKind::Backpressure,
                "memory did not become free within the append timeout; the rows were not appended: slow down, raise the memory budget, or wait longer",
            )),
        }
    }

    /// Waits until `bytes` are free and charges them, in the order of arrival. Callers check beforehand that `bytes` does not
    /// exceed the share's cap. A dropped future charges nothing.
    pub(crate) async fn charge(&self, bytes: usize) -> Charge {
        let _waiting = Waiting::enter(self);
        // In the order of arrival. The semaphore is never closed.
        let _turn = self.turn.acquire().await;
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        loop {
            let released = self.budget.released.notified();
            tokio::pin!(released);
            released.as_mut().enable();
            if self.may_take(bytes) {
                break;
            }
            released.await;
        }
        // Neither semaphore is ever closed, so both results are `Ok`; otherwise nothing would be charged.
        let own = self.free.acquire_many(permits).await;
        let all = self.budget.free.acquire_many(permits).await;
        match (own, all) {
            (Ok(own), Ok(all)) => {
                own.forget();
                all.forget();
                let mut charge = self.nothing();
                charge.set(bytes);
                charge
            }
            _ => self.nothing(),
        }
    }

    /// Whether the share may hold `bytes` more. What it holds may not exceed what stays free, in the proportion of its cap to the
    /// rest of the budget: a single share gets its cap, and `n` shares whose rows the server does not take leave at least the
    /// `n + 1`th part of the budget to others, if the cap is half of it. Otherwise two of them would stop all.
    ///
    /// Rows that were handed back do not count, because the channel can do nothing more with them. A share that holds nothing may
    /// take what is free.
    fn may_take(&self, bytes: usize) -> bool {
        let budget = &self.budget;
        let taken = self.cap.saturating_sub(self.free.available_permits());
        let held = taken.saturating_sub(self.handed_back.load(Ordering::Acquire));
        if held == 0 {
            return true;
        }
        let left = budget.free.available_permits().saturating_sub(bytes);
        let (held, left) = (held.saturating_add(bytes) as u128, left as u128);
        held * (budget.capacity - self.cap) as u128 <= left * self.cap as u128
    }

    /// Resolves when `bytes` cannot become free until a caller takes rows that were handed back.
    async fn exhausted(&self, bytes: usize) {
        loop {
            let changed = self.budget.more_handed_back.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let left = |cap: usize, handed_back: &AtomicUsize| {
                cap.saturating_sub(handed_back.load(Ordering::Acquire))
            };
            if left(self.cap, &self.handed_back) < bytes
                || left(self.budget.capacity, &self.budget.handed_back) < bytes
            {
                return;
            }
            changed.await;
        }
    }

    pub(crate) fn nothing(&self) -> Charge {
        Charge {
            share: self.clone(),
            bytes: 0,
        }
    }
}

/// Resolves after `timeout`; never if there is none.
pub(crate) async fn late(timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => tokio::time::sleep(timeout).await,
        None => std::future::pending().await,
    }
}

struct Waiting<'a>(&'a Share);

impl<'a> Waiting<'a> {
    fn enter(share: &'a Share) -> Self {
        let budget = &share.budget;
        if !budget.was_pressed.swap(true, Ordering::Relaxed) {
            warn!(
                budget = budget.capacity,
                "appends wait for memory: the server is slower than the rows, or the budget is smaller than the data in flight; logged once"
            );
        }
        if share.waiting.fetch_add(1, Ordering::AcqRel) == 0 {
            budget.waiting.fetch_add(1, Ordering::AcqRel);
            // Another append of the share that waits as well changes nothing for the drivers.
            budget.pressure.notify_waiters();
        }
        Self(share)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // What it had collected is free again.
        self.0.budget.released.notify_waiters();
        if self.0.waiting.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.budget.waiting.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// Bytes taken from the budget. Dropping the charge returns them.
#[derive(Debug)]
pub(crate) struct Charge {
    share: Share,
    bytes: usize,
}

impl Charge {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Grows the charge by `bytes` if they are free now.
    pub(crate) fn try_grow(&mut self, bytes: usize) -> bool {
        let Ok(permits) = u32::try_from(bytes) else {
            return false;
        };
        // Those that wait come first.
        if self.share.waiting.load(Ordering::Acquire) > 0 || !self.share.may_take(bytes) {
            return false;
        }
        let Ok(own) = self.share.free.try_acquire_many(permits) else {
            return false;
        };
        let Ok(all) = self.share.budget.free.try_acquire_many(permits) else {
            drop(own);
            self.share.budget.signal_released();
            return false;
        };
        own.forget();
        all.forget();
        self.set(self.bytes + bytes);
        true
    }

    /// Grows the charge to at least `bytes` if the missing bytes are free now.
    pub(crate) fn try_cover(&mut self, bytes: usize) -> bool {
        let missing = bytes.saturating_sub(self.bytes());
        missing == 0 || self.try_grow(missing)
    }

    /// Moves up to `bytes` to another charge of the same share.
    pub(crate) fn hand_to(&mut self, other: &mut Charge, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.set(self.bytes - bytes);
        other.set(other.bytes + bytes);
    }

    /// Moves all bytes of `other` to this charge.
    pub(crate) fn absorb(&mut self, mut other: Charge) {
        let bytes = other.bytes;
        other.hand_to(self, bytes);
    }

    /// Returns all but `bytes` to the budget.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        if let Some(surplus) = self.bytes.checked_sub(bytes).filter(|n| *n > 0) {
            self.set(bytes);
            let Share {
                budget, cap, free, ..
            } = &self.share;
            free.add_permits(surplus);
            budget.free.add_permits(surplus);
            budget.signal_released();
            debug_assert!(
                free.available_permits() <= *cap,
                "bytes were returned twice to a share"
            );
            debug_assert!(
                budget.free.available_permits() <= budget.capacity,
                "bytes were returned twice"
            );
        }
    }

    /// Converts the charge for rows that were handed back, until a caller takes the rows.
    pub(crate) fn handed_back(self) -> HandedBack {
        let Share {
            budget,
            handed_back,
            ..
        } = &self.share;
        handed_back.fetch_add(self.bytes, Ordering::AcqRel);
        budget.handed_back.fetch_add(self.bytes, Ordering::AcqRel);
        budget.more_handed_back.notify_waiters();
        budget.signal_released();
        HandedBack(self)
    }

    /// Splits off a charge of up to `bytes`.
    pub(crate) fn split_off(&mut self, bytes: usize) -> Charge {
        let mut part = self.share.nothing();
        self.hand_to(&mut part, bytes);
        part
    }

    /// The only place where a charge changes, so that the budget's sum matches the charges independently of the permits.
    fn set(&mut self, bytes: usize) {
        let charged = &self.share.budget.charged;
        if bytes >= self.bytes {
            charged.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else {
            charged.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

/// The charge of rows that were handed back and not yet taken. Dropping it returns the bytes.
#[derive(Debug)]
pub(crate) struct HandedBack(Charge);

impl Drop for HandedBack {
    fn drop(&mut self) {
        let share = &self.0.share;
        share.handed_back.fetch_sub(self.0.bytes, Ordering::AcqRel);
        let all = &share.budget.handed_back;
        all.fetch_sub(self.0.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
