//! The byte budget: one for the client, with a share for each channel. Rows and their bookkeeping are charged to the byte; the
//! buffer of an open batch, which still grows, may have room for as much again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, Semaphore};
use tracing::warn;

use crate::types::error::{Error, ErrorKind, Result};

/// An append that waits may hold so much of an earlier charge. It must not wait for itself.
const LEFT_OVER: usize = 4 << 10;

/// The bytes a client may hold.
#[derive(Debug)]
pub(crate) struct Budget {
    capacity: usize,
    free: Arc<Semaphore>,
    /// The sum of the live charges, kept apart from the permits so that the two can be compared.
    charged: AtomicUsize,
    /// How many shares are waited for.
    waiting: AtomicUsize,
    /// Somebody has waited, ever.
    was_pressed: AtomicBool,
    /// Told when somebody starts to wait, so that open batches are sealed early. Wakes in the order of waiting, as a
    /// `watch` does not.
    pressure: Notify,
    /// Bytes of rows that were handed back. They become free when a caller takes them, and not before.
    handed_back: AtomicUsize,
    /// Notified when it rises.
    more_handed_back: Notify,
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
        })
    }

    /// Bytes charged now: the sum of the live charges.
    pub(crate) fn in_use(&self) -> usize {
        self.charged.load(Ordering::Relaxed)
    }

    /// Compares the permits with the live charges. Exact between two steps of one thread; another thread may be between
    /// taking a permit and noting it.
    ///
    /// # Errors
    ///
    /// Says which of the two is larger: bytes were given back twice, or taken and not charged.
    #[cfg(any(test, feature = "__bench"))]
    pub(crate) fn audit(&self) -> Result<(), String> {
        let (free, charged) = (self.free.available_permits(), self.in_use());
        let accounted = free.saturating_add(charged);
        // A wait collects its permits one by one, before it has a charge.
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

    /// Bytes of rows that were handed back and that no caller has taken yet.
    #[cfg(test)]
    pub(crate) fn handed_back(&self) -> usize {
        self.handed_back.load(Ordering::Acquire)
    }

    /// Whether somebody waits for memory.
    pub(crate) fn is_pressed(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }

    /// Resolves when somebody begins to wait. Enable it before [`is_pressed`](Self::is_pressed) is asked.
    pub(crate) fn pressure(&self) -> Notified<'_> {
        self.pressure.notified()
    }

    /// One channel's share: it can never take more than `cap`, whatever is free.
    pub(crate) fn share(self: &Arc<Self>, cap: usize) -> Share {
        let cap = cap.min(self.capacity);
        Share {
            budget: Arc::clone(self),
            cap,
            free: Arc::new(Semaphore::new(cap)),
            waiting: Arc::default(),
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
    /// How many of its appends wait.
    waiting: Arc<AtomicUsize>,
    /// Its part of what the budget counts under this name.
    handed_back: Arc<AtomicUsize>,
}

impl Share {
    pub(crate) fn cap(&self) -> usize {
        self.cap
    }

    /// A charge for `bytes` if they are free now.
    pub(crate) fn try_charge(&self, bytes: usize) -> Option<Charge> {
        let mut charge = self.nothing();
        charge.try_grow(bytes).then_some(charge)
    }

    /// As [`charge`](Self::charge), for an append: until it is `refused`, no longer than `timeout`, and only while what
    /// is held by others than callers can make room.
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
            () = self.in_vain(bytes) => Err(Error::new(
                ErrorKind::Backpressure,
                "memory is used up by rows that were handed back and not taken; the rows were not appended: await the acknowledgements of elastic appends or drop them, call `checkpoint`, and append again",
            )),
            () = late(timeout) => Err(Error::new(
                ErrorKind::Backpressure,
                "memory did not become free within the append timeout; the rows were not appended: slow down, raise the memory budget, or wait longer",
            )),
        }
    }

    /// Waits until `bytes` are free and charges them; first come, first served. More than the share's cap is never
    /// free: callers check that before. Dropping the future takes nothing.
    pub(crate) async fn charge(&self, bytes: usize) -> Charge {
        let _waiting = Waiting::enter(self);
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        // Neither semaphore is ever closed, so `Ok` is the only answer; without permits nothing is charged.
        let own = loop {
            let changed = self.budget.more_handed_back.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let wanted = permits.saturating_add(self.beyond_its_part(permits));
            tokio::select! {
                biased;
                own = self.free.acquire_many(wanted) => break own,
                () = changed => {}
            }
        };
        let own = own.map(|mut all| all.split(permits as usize).unwrap_or(all));
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

    /// By how much its cap exceeds an equal part of the whole for each share that is waited for. A wait asks for so much more
    /// and does not take it: a channel that came first would else hold what the others need, in rows that it may only send at
    /// its pace. What was handed back does not count: the channel has done with it what it can.
    fn beyond_its_part(&self, permits: u32) -> u32 {
        let waiting = self.budget.waiting.load(Ordering::Acquire).max(1);
        let part = (self.budget.capacity / waiting).max(permits as usize + LEFT_OVER);
        let beyond = self.cap.saturating_sub(part);
        u32::try_from(beyond.saturating_sub(self.handed_back.load(Ordering::Acquire))).unwrap_or(0)
    }

    /// Resolves when `bytes` cannot become free before a caller takes rows that were handed back.
    async fn in_vain(&self, bytes: usize) {
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

/// Resolves when an append has waited long enough.
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
                "appends wait for memory: the server is slower than the rows, or the budget is smaller than what is on its way; this is told once"
            );
        }
        if share.waiting.fetch_add(1, Ordering::AcqRel) == 0 {
            budget.waiting.fetch_add(1, Ordering::AcqRel);
        }
        budget.pressure.notify_waiters();
        Self(share)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.0.waiting.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.budget.waiting.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// Bytes taken from the budget; dropping gives them back.
#[derive(Debug)]
pub(crate) struct Charge {
    share: Share,
    bytes: usize,
}

impl Charge {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Charges `bytes` more if they are free now.
    pub(crate) fn try_grow(&mut self, bytes: usize) -> bool {
        let Ok(permits) = u32::try_from(bytes) else {
            return false;
        };
        let Ok(own) = self.share.free.try_acquire_many(permits) else {
            return false;
        };
        let Ok(all) = self.share.budget.free.try_acquire_many(permits) else {
            return false;
        };
        own.forget();
        all.forget();
        self.set(self.bytes + bytes);
        true
    }

    /// Holds at least `bytes` afterwards, if what is missing is free now.
    pub(crate) fn try_cover(&mut self, bytes: usize) -> bool {
        let missing = bytes.saturating_sub(self.bytes);
        missing == 0 || self.try_grow(missing)
    }

    /// Hands up to `bytes` of it to another charge of the same share.
    pub(crate) fn hand_to(&mut self, other: &mut Charge, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.set(self.bytes - bytes);
        other.set(other.bytes + bytes);
    }

    /// Adds what `other` holds to this charge.
    pub(crate) fn absorb(&mut self, mut other: Charge) {
        let bytes = other.bytes;
        other.hand_to(self, bytes);
    }

    /// Gives back all but `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        if let Some(surplus) = self.bytes.checked_sub(bytes).filter(|n| *n > 0) {
            self.set(bytes);
            let Share {
                budget, cap, free, ..
            } = &self.share;
            free.add_permits(surplus);
            budget.free.add_permits(surplus);
            debug_assert!(
                free.available_permits() <= *cap,
                "given back twice to a share"
            );
            debug_assert!(
                budget.free.available_permits() <= budget.capacity,
                "given back twice"
            );
        }
    }

    /// The charge of rows that were handed back, until a caller takes them.
    pub(crate) fn handed_back(self) -> HandedBack {
        let Share {
            budget,
            handed_back,
            ..
        } = &self.share;
        handed_back.fetch_add(self.bytes, Ordering::AcqRel);
        budget.handed_back.fetch_add(self.bytes, Ordering::AcqRel);
        budget.more_handed_back.notify_waiters();
        HandedBack(self)
    }

    /// Parts with up to `bytes` of it.
    pub(crate) fn split_off(&mut self, bytes: usize) -> Charge {
        let mut part = self.share.nothing();
        self.hand_to(&mut part, bytes);
        part
    }

    /// The only place where a charge changes, so that the budget's sum is that of the charges whatever the permits do.
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

/// A charge for rows that were handed back and that no caller has taken yet; dropping gives the bytes back.
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
