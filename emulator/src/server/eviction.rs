//! Which connections the server keeps when there are more than it has places for: the one that has kept it waiting
//! longest gives way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// The connections there are, as far as they keep the server waiting for a request.
#[derive(Debug, Default)]
pub(crate) struct ConnectionEvictor {
    waiting: Mutex<Waiting>,
    grown: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// How often a wait has begun.
    begun: u64,
    oldest_first: BTreeMap<u64, Arc<Notify>>,
}

/// What a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    /// It waits for its peer, with the number of the wait.
    Waiting(u64),
    /// It works on so many requests.
    Working(usize),
}

impl ConnectionEvictor {
    /// A place for a new connection, which is waited for from here on.
    pub(crate) fn enter(self: &Arc<Self>) -> ConnectionSlot {
        let leave = Arc::default();
        let wait = self.waiting().begin(&leave);
        self.grown.notify_one();
        ConnectionSlot {
            crowd: self.clone(),
            doing: Mutex::new(Doing::Waiting(wait)),
            leave,
        }
    }

    /// Sends away the connection that has been waited for longest, as soon as there is one. Cancel safe.
    pub(crate) async fn send_one_away(&self) {
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

impl Waiting {
    /// Begins a wait; its number.
    fn begin(&mut self, leave: &Arc<Notify>) -> u64 {
        self.begun += 1;
        self.oldest_first.insert(self.begun, leave.clone());
        self.begun
    }
}

/// A connection's place.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    crowd: Arc<ConnectionEvictor>,
    doing: Mutex<Doing>,
    leave: Arc<Notify>,
}

impl ConnectionSlot {
    /// Makes the connection go, whatever it does.
    pub(crate) fn close(&self) {
        self.leave.notify_one();
    }

    /// Resolves when the connection has to go.
    pub(crate) async fn lost(&self) {
        self.leave.notified().await;
    }

    /// Resolves when the peer has been waited for this long, or up to twice as long. Cancel safe.
    pub(crate) async fn idle_for(&self, length: Duration) {
        loop {
            let before = *self.doing();
            tokio::time::sleep(length).await;
            if matches!(before, Doing::Waiting(_)) && before == *self.doing() {
                return;
            }
        }
    }

    /// The peer has sent all of a request: until the guard is dropped the connection stays. `None` if it has to go.
    pub(crate) fn work(&self) -> Option<Work<'_>> {
        let mut doing = self.doing();
        *doing = match *doing {
            Doing::Working(requests) => Doing::Working(requests + 1),
            Doing::Waiting(wait) => {
                self.crowd.waiting().oldest_first.remove(&wait)?;
                Doing::Working(1)
            }
        };
        Some(Work(self))
    }

    fn doing(&self) -> MutexGuard<'_, Doing> {
        self.doing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        if let Doing::Waiting(wait) = *self.doing() {
            self.crowd.waiting().oldest_first.remove(&wait);
        }
    }
}

/// A request is being worked on; after the last one its connection keeps the server waiting again.
#[derive(Debug)]
pub(crate) struct Work<'a>(&'a ConnectionSlot);

impl Drop for Work<'_> {
    fn drop(&mut self) {
        let ConnectionSlot { crowd, leave, .. } = self.0;
        let mut doing = self.0.doing();
        *doing = match *doing {
            Doing::Working(requests) if requests > 1 => Doing::Working(requests - 1),
            _ => Doing::Waiting(crowd.waiting().begin(leave)),
        };
        drop(doing);
        crowd.grown.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_lost(place: &ConnectionSlot) -> bool {
        futures_util::FutureExt::now_or_never(place.lost()).is_some()
    }

    fn send_one_away(crowd: &ConnectionEvictor) -> bool {
        futures_util::FutureExt::now_or_never(crowd.send_one_away()).is_some()
    }

    #[test]
    fn the_longest_wait_ends_first_and_an_answer_begins_a_new_one() {
        let crowd = Arc::new(ConnectionEvictor::default());
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
        let crowd = Arc::new(ConnectionEvictor::default());
        let place = crowd.enter();
        let work = place.work().expect("it stays");
        assert!(!send_one_away(&crowd));
        drop(work);
        assert!(send_one_away(&crowd) && is_lost(&place));
    }

    #[test]
    fn a_connection_at_work_on_two_requests_stays_until_both_are_answered() {
        let crowd = Arc::new(ConnectionEvictor::default());
        let place = crowd.enter();
        let first = place.work().expect("it stays");
        let second = place.work().expect("it stays");
        drop(first);
        assert!(!send_one_away(&crowd));
        drop(second);
        assert!(send_one_away(&crowd) && is_lost(&place));
        assert!(place.work().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn idle_is_who_sends_nothing_for_the_whole_time() {
        let length = Duration::from_secs(10);
        let crowd = Arc::new(ConnectionEvictor::default());
        let place = crowd.enter();
        let begun = tokio::time::Instant::now();
        let busy = async {
            for _ in 0..5 {
                tokio::time::sleep(Duration::from_secs(7)).await;
                drop(place.work().expect("it stays"));
            }
        };
        tokio::join!(place.idle_for(length), busy);
        // The last request came after 35 seconds, and the looks are at 40 and 50.
        assert_eq!(begun.elapsed().as_secs(), 50);
    }

    #[test]
    fn a_connection_that_ended_is_not_in_the_way() {
        let crowd = Arc::new(ConnectionEvictor::default());
        drop(crowd.enter());
        let place = crowd.enter();
        assert!(send_one_away(&crowd) && is_lost(&place));
        drop(place);
        assert!(!send_one_away(&crowd));
    }
}
