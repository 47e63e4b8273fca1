//! Which connections the server keeps when there are more than it has places for: the one that has kept it waiting
//! longest gives way.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The connections there are, as far as they keep the server waiting for a request.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    waiting: Mutex<Waiting>,
    grown: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// How often a wait has begun.
    begun: u64,
    oldest_first: BTreeMap<u64, Arc<Notify>>,
}

impl Crowd {
    /// A place for a new connection, which is waited for from here on.
    pub(super) fn enter(self: &Arc<Self>) -> Place {
        let place = Place {
            crowd: self.clone(),
            wait: AtomicU64::new(0),
            leave: Arc::default(),
        };
        place.wait();
        place
    }

    /// Sends away the connection that has been waited for longest, as soon as there is one. Cancel safe.
    pub(super) async fn send_one_away(&self) {
        loop {
            if let Some((_, leave)) = self.waiting().oldest_first.pop_first() {
                leave.notify_one();
                return;
            }
            self.grown.notified().await;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Arc<Crowd>,
    /// The number of its last wait.
    wait: AtomicU64,
    leave: Arc<Notify>,
}

impl Place {
    /// Resolves when the connection has to go.
    pub(super) async fn lost(&self) {
        self.leave.notified().await;
    }

    /// The peer has sent all of a request: until the guard is dropped the connection stays. `None` if it has to go.
    pub(super) fn work(&self) -> Option<Work<'_>> {
        let wait = self.wait.load(Ordering::Relaxed);
        let found = self.crowd.waiting().oldest_first.remove(&wait);
        found.map(|_| Work(self))
    }

    fn wait(&self) {
        let mut waiting = self.crowd.waiting();
        waiting.begun += 1;
        let begun = waiting.begun;
        self.wait.store(begun, Ordering::Relaxed);
        waiting.oldest_first.insert(begun, self.leave.clone());
        drop(waiting);
        self.crowd.grown.notify_one();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let wait = self.wait.load(Ordering::Relaxed);
        self.crowd.waiting().oldest_first.remove(&wait);
    }
}

/// A request is being worked on; afterwards its connection keeps the server waiting again.
#[derive(Debug)]
pub(super) struct Work<'a>(&'a Place);

impl Drop for Work<'_> {
    fn drop(&mut self) {
        self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_lost(place: &Place) -> bool {
        futures_util::FutureExt::now_or_never(place.lost()).is_some()
    }

    fn send_one_away(crowd: &Crowd) -> bool {
        futures_util::FutureExt::now_or_never(crowd.send_one_away()).is_some()
    }

    #[test]
    fn the_longest_wait_ends_first_and_an_answer_begins_a_new_one() {
        let crowd = Arc::new(Crowd::default());
        let [first, second, third] = [crowd.enter(), crowd.enter(), crowd.enter()];
        drop(first.work().expect("it stays"));
        assert!(send_one_away(&crowd));
        assert!(is_lost(&second) && !is_lost(&first) && !is_lost(&third));
        assert!(second.work().is_none());
        assert!(send_one_away(&crowd));
        assert!(is_lost(&third) && !is_lost(&first));
    }

    #[test]
    fn a_connection_at_work_stays() {
        let crowd = Arc::new(Crowd::default());
        let place = crowd.enter();
        let work = place.work().expect("it stays");
        assert!(!send_one_away(&crowd));
        drop(work);
        assert!(send_one_away(&crowd) && is_lost(&place));
    }

    #[test]
    fn a_connection_that_ended_is_not_in_the_way() {
        let crowd = Arc::new(Crowd::default());
        drop(crowd.enter());
        let place = crowd.enter();
        assert!(send_one_away(&crowd) && is_lost(&place));
        drop(place);
        assert!(!send_one_away(&crowd));
    }
}
