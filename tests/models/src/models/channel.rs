//! A channel's shared state and its wake-ups.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{joined, parallel};
use crate::base::budget::Budget;
use crate::base::metrics::Counters;
use crate::channel::core::Core;
use crate::channel::polling::interest::PollInterest;
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
                timer.moved().await;
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
                if core.appended == core.progress.accepted {
                    core.appended += 1;
                }
                core.appended
            };
            while shared.update_and_wake(append) < ROWS {
                shared.has_caught_up().await;
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
