//! Slots for requests of one kind, which the pipes of a client share: how many may be under way at once.
//!
//! What does not answer costs the others a bounded part. As long as a client has several pipes, the slots of one may not exceed
//! those that stay free: one pipe whose requests hang holds half of them, two hold a third each. Slots are given in the order of
//! requests within a pipe, and to one pipe after the other.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::uploads::{Narrowed, Uploads, is_large};

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
        lock(&self.pipes)
            .pipe(self.pipe)?
            .enqueue(Waiting { bytes, promise });
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
    /// The request was answered. It was well in time if that took a small part of `timeout`.
    pub(super) fn answered(&self, timeout: Duration) {
        let now = Instant::now();
        let mut pipes = lock(&self.pipes);
        let Some(pipe) = pipes.pipe(self.pipe) else {
            return;
        };
        pipe.answered_at = Some(now);
        if now.saturating_duration_since(self.taken_at) <= timeout / 4 {
            pipe.uploads.answered_quickly(self.bytes, now, timeout);
        }
    }

    /// The request was not answered in time.
    pub(super) fn timed_out(&self) -> Narrowed {
        let mut pipes = lock(&self.pipes);
        let pipe = pipes.pipe(self.pipe);
        pipe.map_or(Narrowed::No, |pipe| {
            pipe.uploads.timed_out(self.bytes, self.taken_at)
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
    fn enqueue(&mut self, waiting: Waiting) {
        if is_large(waiting.bytes) {
            self.large.push_back(waiting);
        } else {
            self.small.push_back(waiting);
        }
    }

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

    /// The next request that may be made. Its slot is taken.
    fn next(&mut self) -> Option<Waiting> {
        self.forget_cancelled_fronts();
        let next = match self.small.pop_front() {
            Some(small) => small,
            None if self.uploads.admit(self.large.front()?.bytes) => {
                let large = self.large.pop_front()?;
                self.uploads.started(large.bytes);
                large
            }
            None => return None,
        };
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
        held.answered(MINUTE);
        assert!(
            slots.take(LARGE, MINUTE).await.is_none(),
            "answered before it began to wait"
        );
        assert_eq!(start.elapsed(), 5 * MINUTE / 2);
        let mut waits = Box::pin(slots.take(LARGE, MINUTE));
        assert!((&mut waits).now_or_never().is_none());
        advance(MINUTE / 2).await;
        held.answered(MINUTE);
        assert!(waits.await.is_none());
        assert_eq!(start.elapsed(), 4 * MINUTE);
    }

    #[tokio::test(start_paused = true)]
    async fn timeouts_halve_the_bytes_under_way_and_quick_answers_double_them() {
        let slots = Slots::new(9);
        let held = take_all(&slots);
        advance(MINUTE).await;
        assert_eq!(held[0].timed_out(), Narrowed::To(9 * LARGE / 2));
        let others = held[1..].iter();
        assert!(
            others.map(Slot::timed_out).all(|one| one == Narrowed::No),
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
        held[0].answered(MINUTE);
        advance(MINUTE / 4).await;
        held[1].answered(MINUTE);
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
            assert_eq!(held[0].timed_out(), narrowed);
        }
        let shorter = take(&slots, LARGE / 4).unwrap();
        assert!(take(&slots, LARGE / 4).is_none());
        advance(MINUTE / 8).await;
        shorter.answered(MINUTE);
        assert!(
            take(&slots, LARGE / 4).is_none(),
            "it says nothing about longer ones"
        );
        advance(FORGOTTEN_AFTER).await;
        let shorter_again = take(&slots, SMALL + 1);
        drop(shorter);
        let shorter = take(&slots, LARGE / 4).unwrap();
        shorter.answered(MINUTE);
        assert!(take(&slots, LARGE / 4).is_some());
        drop(shorter_again);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_hangs_beside_one_of_its_length_changes_nothing() {
        let slots = Slots::new(8);
        let hangs = take(&slots, LARGE).unwrap();
        take(&slots, LARGE).unwrap().answered(MINUTE);
        take(&slots, LARGE / 2).unwrap().answered(MINUTE);
        let [small, longer] = [SMALL, LARGE + 1].map(|bytes| take(&slots, bytes).unwrap());
        advance(MINUTE).await;
        assert_eq!(hangs.timed_out(), Narrowed::No);
        assert_eq!(small.timed_out(), Narrowed::No);
        assert_eq!(take_all(&slots).len(), 5);
        assert!(matches!(longer.timed_out(), Narrowed::To(_)));
    }
}
