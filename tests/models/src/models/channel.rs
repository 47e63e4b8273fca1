//! A channel's shared state and its wake-ups.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{joined, parallel};
use crate::base::budget::Budget;
use crate::base::metrics::Counters;
use crate::channel::core::Core;
use crate::channel::polling::timer::PollInterest;
use crate::channel::polling::timer::PollTimer;
use crate::channel::receipt::Receipt;
use crate::channel::shared::Shared;
use crate::types::error::{Error, ErrorKind};

const ROWS: u64 = 3;

pub(super) fn channel(name: &str, timer: &Arc<PollTimer>) -> Arc<Shared> {
    let share = Budget::new(1).share(1);
    let counters = Arc::new(Counters);
    Shared::new(
        name.to_owned(),
        Core::new(),
        share,
        Arc::clone(timer),
        counters,
    )
}

/// Callers, driver and poller pass rows on by wake-ups alone; every receipt resolves, and the last state is what is seen.
pub(crate) async fn no_wake_up_is_lost() {
    let timer = Arc::new(PollTimer::default());
    let moved = timer.new_waiter();
    let shared = channel("A", &timer);
    let callers = (0..ROWS).map(|_| {
        let shared = Arc::clone(&shared);
        async move {
            let position = shared.update_and_wake(|core, _| {
                core.appended += 1;
                core.appended
            });
            let receipt = Receipt::new(shared, position - 1, position);
            receipt.accepted().await.expect("it is accepted");
            receipt.committed().await.expect("it is committed");
        }
    });
    let callers = parallel(callers);
    let driver = tokio::spawn({
        let shared = Arc::clone(&shared);
        let last = Instant::now() + Duration::from_secs(ROWS);
        async move {
            let accept = |core: &mut Core, _| {
                core.progress.accepted = core.appended;
                // Each time earlier, so that the poller has to be notified.
                core.interest = PollInterest::At(last - Duration::from_secs(core.appended));
                core.appended
            };
            while shared.update(accept) < ROWS {
                shared.woken().await;
            }
        }
    });
    let poller = tokio::spawn({
        let shared = Arc::clone(&shared);
        async move {
            let commit = |core: &mut Core, _| {
                core.progress.committed = core.progress.accepted;
                core.progress.committed
            };
            while shared.update(commit) < ROWS {
                moved.notified().await;
            }
        }
    });
    let refused = tokio::spawn({
        let shared = Arc::clone(&shared);
        async move { shared.refused().await }
    });
    joined(callers).await;
    joined(vec![driver, poller]).await;
    let progress = shared.progress();
    assert_eq!((progress.accepted, progress.committed), (ROWS, ROWS));
    let closed = Error::new(ErrorKind::ChannelClosed, "closed");
    shared.update(|core, now| core.end(now, closed, true));
    let error = refused.await.expect("no panic");
    assert_eq!(error.kind(), ErrorKind::ChannelClosed);
}

/// An append that waits for the driver is woken when the driver has caught up, and a driver that waits by an append.
pub(crate) async fn caller_and_driver_wake_each_other() {
    let shared = channel("A", &Arc::default());
    let caller = tokio::spawn({
        let shared = Arc::clone(&shared);
        async move {
            let append = |core: &mut Core, _| {
                if !core.is_behind(1) {
                    core.appended += 1;
                }
                core.appended
            };
            while shared.update_and_wake(append) < ROWS {
                shared.has_caught_up(1).await;
            }
        }
    });
    let driver = tokio::spawn({
        let shared = Arc::clone(&shared);
        async move {
            let accept = |core: &mut Core, _| {
                core.progress.accepted = core.appended;
                core.appended
            };
            while shared.update(accept) < ROWS {
                shared.signal_caught_up();
                shared.woken().await;
            }
        }
    });
    joined(vec![caller, driver]).await;
    assert_eq!(shared.progress().accepted, ROWS);
}

/// Two appends wait for the driver, which takes only full batches. Both learn that it has taken one, although the first alone
/// does not fill the next.
pub(crate) async fn all_waiting_appends_learn_of_room() {
    const FULL: u64 = 2;
    let shared = channel("A", &Arc::default());
    shared.update(|core, _| (core.appended, core.batch_rows) = (FULL, FULL));
    let callers = (0..FULL).map(|_| {
        let shared = Arc::clone(&shared);
        async move {
            let append = |core: &mut Core, _| {
                let has_room = !core.is_behind(1);
                core.appended += u64::from(has_room);
                has_room
            };
            while !shared.update_and_wake(append) {
                shared.has_caught_up(1).await;
            }
        }
    });
    let callers = parallel(callers);
    let driver = tokio::spawn({
        let shared = Arc::clone(&shared);
        async move {
            let take = |core: &mut Core, _| {
                let is_full = core.appended - core.progress.accepted == FULL;
                if is_full {
                    core.progress.accepted = core.appended;
                }
                is_full
            };
            while shared.progress().accepted < 2 * FULL {
                if shared.update(take) {
                    shared.signal_caught_up();
                } else {
                    shared.woken().await;
                }
            }
        }
    });
    joined(callers).await;
    joined(vec![driver]).await;
}
