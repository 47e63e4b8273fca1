//! Slots for requests of one kind, which the pipes of a client share: how many may be under way at once.
//!
//! What does not answer costs the others a bounded part. As long as a client has several pipes, one takes no further slot while it holds
//! as many as are free: a pipe whose requests hang holds half of them, two hold a third each. Slots are given in the order of
//! requests within a pipe, and to one pipe after the other.
//!
//! A request takes a connection, because the protocol is HTTP/1.1 unless HTTP/2 is requested. With one pipe, 2,000 channels and
//! answers that take 300 ms, a channel has its turn every 2.3 seconds.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::uploads::{Narrowed, Uploads, is_large, is_quick};

/// The slots as one pipe sees them.
#[derive(Debug)]
pub(super) struct Slots {
    pipes: Arc<Mutex<Pipes>>,
    pipe: u64,
}

/// The slots of all pipes of a client.
#[derive(Debug)]
struct Pipes {
    most: usize,
    /// The number of the next pipe, or of the next request that waits.
    next_number: u64,
    taken: usize,
    /// The first one has waited longest for its turn.
    by_turn: VecDeque<Pipe>,
}

#[derive(Debug, Default)]
struct Pipe {
    number: u64,
    taken: usize,
    uploads: Uploads,
    small: VecDeque<Waiting>,
    large: VecDeque<Waiting>,
    /// When a request was last answered.
    answered_at: Option<Instant>,
    /// Its client is gone. Requests may still be under way.
    is_gone: bool,
}

/// A request that waits for its slot.
#[derive(Debug)]
struct Waiting {
    /// Requests that arrive later have higher numbers.
    number: u64,
    bytes: usize,
    promise: oneshot::Sender<Slot>,
}

/// The permission to make one request, returned when it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    pipes: Arc<Mutex<Pipes>>,
    pipe: u64,
    bytes: usize,
    taken_at: Instant,
}

impl Slots {
    pub(super) fn new(most: usize) -> Self {
        let pipes = Pipes {
            most,
            next_number: 0,
            taken: 0,
            by_turn: VecDeque::new(),
        };
        Self::of(&Arc::new(Mutex::new(pipes)))
    }

    /// The same slots for another pipe.
    pub(super) fn for_pipe(&self) -> Self {
        Self::of(&self.pipes)
    }

    fn of(pipes: &Arc<Mutex<Pipes>>) -> Self {
        let mut all = lock(pipes);
        let number = all.next_number;
        all.next_number += 1;
        all.by_turn.push_back(Pipe {
            number,
            ..Pipe::default()
        });
        drop(all);
        Self {
            pipes: Arc::clone(pipes),
            pipe: number,
        }
    }

    /// Waits for a slot for a request of `bytes`, or returns `None` if there was none for `patience` in which no request of this pipe
    /// was answered.
    pub(super) async fn take(&self, bytes: usize, patience: Duration) -> Option<Slot> {
        let mut until = Instant::now() + patience;
        let (promise, mut promised) = oneshot::channel();
        lock(&self.pipes).enqueue(self.pipe, bytes, promise);
        grant(&self.pipes);
        loop {
            if let Ok(slot) = timeout_at(until, &mut promised).await {
                return slot.ok();
            }
            let answered_at = lock(&self.pipes).pipe(self.pipe)?.answered_at;
            match answered_at.map(|at| at + patience) {
                Some(next) if next > until => until = next,
                _ => break,
            }
        }
        drop(promised);
        lock(&self.pipes).pipe(self.pipe)?.forget_cancelled();
        // What waited behind it may fit.
        grant(&self.pipes);
        None
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        let mut pipes = lock(&self.pipes);
        if let Some(pipe) = pipes.pipe(self.pipe) {
            pipe.is_gone = true;
        }
        pipes.remove_gone();
        drop(pipes);
        grant(&self.pipes);
    }
}

impl Slot {
    /// The service has refused the request, which others that wait take as a sign of life.
    pub(super) fn refused(&self) {
        if let Some(pipe) = lock(&self.pipes).pipe(self.pipe) {
            pipe.answered_at = Some(Instant::now());
        }
    }

    /// The request succeeded. Returns whether it was well in time, which is a small part of `timeout`.
    pub(super) fn succeeded(&self, timeout: Duration) -> bool {
        let now = Instant::now();
        let took = now.saturating_duration_since(self.taken_at);
        if let Some(pipe) = lock(&self.pipes).pipe(self.pipe) {
            pipe.answered_at = Some(now);
            pipe.uploads.succeeded(self.bytes, took, now, timeout);
        }
        is_quick(took, timeout)
    }

    /// The request was not answered within `timeout`.
    pub(super) fn timed_out(&self, timeout: Duration) -> Narrowed {
        let mut pipes = lock(&self.pipes);
        let pipe = pipes.pipe(self.pipe);
        pipe.map_or(Narrowed::No, |pipe| {
            let uploads = &mut pipe.uploads;
            uploads.timed_out(self.bytes, self.taken_at, timeout)
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut pipes = lock(&self.pipes);
        pipes.taken -= 1;
        if let Some(pipe) = pipes.pipe(self.pipe) {
            pipe.taken -= 1;
            pipe.uploads.ended(self.bytes);
        }
        pipes.remove_gone();
        drop(pipes);
        grant(&self.pipes);
    }
}

impl Pipes {
    fn pipe(&mut self, number: u64) -> Option<&mut Pipe> {
        self.by_turn.iter_mut().find(|pipe| pipe.number == number)
    }

    fn enqueue(&mut self, pipe: u64, bytes: usize, promise: oneshot::Sender<Slot>) {
        let number = self.next_number;
        self.next_number += 1;
        let waiting = Waiting {
            number,
            bytes,
            promise,
        };
        if let Some(pipe) = self.pipe(pipe) {
            if is_large(bytes) {
                pipe.large.push_back(waiting);
            } else {
                pipe.small.push_back(waiting);
            }
        }
    }

    fn remove_gone(&mut self) {
        self.by_turn.retain(|pipe| !pipe.is_gone || pipe.taken > 0);
    }

    /// The request whose turn it is, and its pipe. Its slot is taken.
    fn next(&mut self) -> Option<(Waiting, u64)> {
        let free = self.most - self.taken;
        let is_alone = self.by_turn.len() == 1;
        for _ in 0..self.by_turn.len() {
            self.by_turn.rotate_left(1);
            let Some(pipe) = self.by_turn.back_mut() else {
                break;
            };
            if free == 0 || (!is_alone && pipe.taken >= free) {
                continue;
            }
            if let Some(waiting) = pipe.next() {
                self.taken += 1;
                return Some((waiting, pipe.number));
            }
        }
        None
    }
}

impl Pipe {
    fn forget_cancelled(&mut self) {
        self.small.retain(Waiting::is_awaited);
        self.large.retain(Waiting::is_awaited);
    }

    fn forget_cancelled_fronts(&mut self) {
        for waiting in [&mut self.small, &mut self.large] {
            while waiting.front().is_some_and(|first| !first.is_awaited()) {
                waiting.pop_front();
            }
        }
    }

    /// The next request that may be made, in the order of arrival. Small ones pass a large one that has to wait. Its slot is taken.
    fn next(&mut self) -> Option<Waiting> {
        self.forget_cancelled_fronts();
        let number = |waiting: &VecDeque<Waiting>| waiting.front().map(|first| first.number);
        let (small, large) = (number(&self.small), number(&self.large));
        let is_large_first = small.is_none() || large.is_some_and(|large| Some(large) < small);
        let fits = |first: &Waiting| self.uploads.admit(first.bytes);
        let next = if is_large_first && self.large.front().is_some_and(fits) {
            self.large.pop_front()?
        } else {
            self.small.pop_front()?
        };
        if is_large(next.bytes) {
            self.uploads.started(next.bytes);
        }
        self.taken += 1;
        Some(next)
    }
}

impl Waiting {
    fn is_awaited(&self) -> bool {
        !self.promise.is_closed()
    }
}

/// Gives the free slots to those that wait.
fn grant(pipes: &Arc<Mutex<Pipes>>) {
    loop {
        let next = lock(pipes).next();
        let Some((waiting, pipe)) = next else {
            return;
        };
        let slot = Slot {
            pipes: Arc::clone(pipes),
            pipe,
            bytes: waiting.bytes,
            taken_at: Instant::now(),
        };
        // If nothing waits for it any more, the slot is returned, outside the lock.
        drop(waiting.promise.send(slot));
    }
}

fn lock(pipes: &Mutex<Pipes>) -> MutexGuard<'_, Pipes> {
    pipes.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::iter::from_fn;

    use futures_util::FutureExt as _;
    use tokio::time::advance;

    use super::*;
    use crate::context::uploads::{FORGOTTEN_AFTER, SMALL};

    const MINUTE: Duration = Duration::from_secs(60);
    const LARGE: usize = 1 << 20;

    fn take(slots: &Slots, bytes: usize) -> Option<Slot> {
        slots.take(bytes, MINUTE).now_or_never().flatten()
    }

    fn take_all(slots: &Slots) -> Vec<Slot> {
        from_fn(|| take(slots, LARGE)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn one_pipe_takes_all_and_several_leave_some_to_the_others() {
        let first = Slots::new(12);
        assert_eq!(take_all(&first).len(), 12);
        let second = first.for_pipe();
        let of_first = take_all(&first);
        assert_eq!(of_first.len(), 6);
        let of_second = take_all(&second);
        assert_eq!(
            of_second.len(),
            3,
            "what it has may not exceed what is free"
        );
        let third = first.for_pipe();
        assert!(take(&third, LARGE).is_some());
        drop(of_first);
        assert!(take(&first, LARGE).is_some());
        drop((second, third));
        assert_eq!(
            take_all(&first).len(),
            5,
            "the requests of the second are under way"
        );
        drop(of_second);
        assert_eq!(take_all(&first).len(), 12);
    }

    #[tokio::test(start_paused = true)]
    async fn slots_are_given_in_order_and_to_one_pipe_after_the_other() {
        let first = Slots::new(2);
        let second = first.for_pipe();
        let held = [take(&first, LARGE), take(&second, LARGE)];
        assert!(held.iter().all(Option::is_some));
        let mut waiting =
            [&first, &first, &second, &second].map(|slots| Box::pin(slots.take(LARGE, MINUTE)));
        let mut ready = || waiting.each_mut().map(|one| one.now_or_never().flatten());
        assert!(ready().iter().all(Option::is_none));
        drop(held);
        let slots = ready();
        let given = slots.each_ref().map(Option::is_some);
        assert_eq!(given, [true, false, true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slot_that_is_not_awaited_any_more_goes_to_the_next() {
        let slots = Slots::new(1);
        let held = take(&slots, LARGE);
        let mut waiting = [0, 1, 2].map(|_| Box::pin(slots.take(LARGE, MINUTE)));
        assert!(
            waiting
                .each_mut()
                .iter_mut()
                .all(|one| one.now_or_never().is_none())
        );
        let [first, second, mut third] = waiting;
        drop(first);
        drop(held);
        // The second was given the slot, and does not look.
        drop(second);
        assert!((&mut third).now_or_never().flatten().is_some());
        assert!(take(&slots, LARGE).is_some(), "it has returned it");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_as_long_as_others_of_its_pipe_are_answered() {
        let slots = Slots::new(1);
        let held = take(&slots, LARGE).unwrap();
        let start = Instant::now();
        assert!(slots.take(LARGE, MINUTE).await.is_none());
        assert_eq!(start.elapsed(), MINUTE);
        advance(MINUTE / 2).await;
        held.succeeded(MINUTE);
        assert!(
            slots.take(LARGE, MINUTE).await.is_none(),
            "answered before it began to wait"
        );
        assert_eq!(start.elapsed(), 5 * MINUTE / 2);
        let mut waits = Box::pin(slots.take(LARGE, MINUTE));
        assert!((&mut waits).now_or_never().is_none());
        advance(MINUTE / 2).await;
        held.succeeded(MINUTE);
        assert!(waits.await.is_none());
        assert_eq!(start.elapsed(), 4 * MINUTE);
    }

    #[tokio::test(start_paused = true)]
    async fn timeouts_halve_the_bytes_under_way_and_quick_answers_double_them() {
        let slots = Slots::new(9);
        let held = take_all(&slots);
        advance(MINUTE).await;
        assert_eq!(held[0].timed_out(MINUTE), Narrowed::To(9 * LARGE / 2));
        let others = held[1..].iter();
        assert!(
            others
                .map(|slot| slot.timed_out(MINUTE))
                .all(|one| one == Narrowed::No),
            "sent before that"
        );
        drop(held);
        let held = take_all(&slots);
        assert_eq!(held.len(), 4);
        assert!(
            take(&slots, SMALL).is_some(),
            "small ones are not held back"
        );
        advance(MINUTE / 4).await;
        held[0].succeeded(MINUTE);
        advance(MINUTE / 4).await;
        held[1].succeeded(MINUTE);
        drop(held);
        let held = take_all(&slots);
        assert_eq!(held.len(), 5, "half a minute is not quick");
        drop(held);
        for (fit, narrowed) in [
            (5, Narrowed::To(5 * LARGE / 2)),
            (2, Narrowed::To(LARGE)),
            (1, Narrowed::Alone),
            (1, Narrowed::Alone),
        ] {
            let held = take_all(&slots);
            assert_eq!(held.len(), fit);
            advance(MINUTE).await;
            assert_eq!(held[0].timed_out(MINUTE), narrowed);
        }
        let shorter = take(&slots, LARGE / 4).unwrap();
        assert!(take(&slots, LARGE / 4).is_none());
        advance(MINUTE / 8).await;
        shorter.succeeded(MINUTE);
        assert!(
            take(&slots, LARGE / 4).is_none(),
            "it says nothing about longer ones"
        );
        advance(FORGOTTEN_AFTER).await;
        let shorter_again = take(&slots, SMALL + 1);
        drop(shorter);
        let shorter = take(&slots, LARGE / 4).unwrap();
        shorter.succeeded(MINUTE);
        assert!(take(&slots, LARGE / 4).is_some());
        drop(shorter_again);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_hangs_beside_faster_ones_changes_nothing() {
        let slots = Slots::new(8);
        let [hangs, other, small] =
            [LARGE, LARGE / 8, SMALL].map(|bytes| take(&slots, bytes).unwrap());
        advance(MINUTE / 32).await;
        other.succeeded(MINUTE);
        advance(MINUTE).await;
        assert_eq!(hangs.timed_out(MINUTE), Narrowed::No, "four times as fast");
        assert_eq!(small.timed_out(MINUTE), Narrowed::No);
        // Shorter ones that share the uplink are answered sooner, and are as fast.
        let [slow, other] = [LARGE, LARGE / 8].map(|bytes| take(&slots, bytes).unwrap());
        advance(MINUTE / 8).await;
        other.succeeded(MINUTE);
        advance(MINUTE).await;
        assert!(matches!(slow.timed_out(MINUTE), Narrowed::To(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn large_requests_have_their_turn_among_small_ones() {
        let slots = Slots::new(1);
        let mut held = take(&slots, SMALL);
        assert!(held.is_some());
        let mut large = Box::pin(slots.take(LARGE, MINUTE));
        assert!((&mut large).now_or_never().is_none());
        let mut small = [0, 1].map(|_| Box::pin(slots.take(SMALL, MINUTE)));
        assert!(
            small
                .each_mut()
                .iter_mut()
                .all(|one| one.now_or_never().is_none())
        );
        held.take();
        assert!(small[0].as_mut().now_or_never().is_none());
        let first = large.now_or_never().flatten();
        assert!(first.is_some());
        drop(first);
        assert!(small[0].as_mut().now_or_never().flatten().is_some());
    }
}
