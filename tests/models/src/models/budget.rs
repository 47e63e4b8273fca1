//! The byte budget.

use std::future::pending;
use std::sync::Arc;

use tokio::sync::Notify;

use super::{joined, parallel};
use crate::base::budget::{Budget, Share};
use crate::types::error::ErrorKind;

const CAPACITY: usize = 100_000;

/// Nothing is charged, and every permit is back.
fn assert_at_rest(budget: &Budget, shares: [&Share; 2]) {
    assert_eq!(budget.audit(), Ok(()));
    assert_eq!(budget.in_use(), 0);
    assert!(!budget.is_pressed());
    for share in shares {
        assert!(
            share.try_charge(share.cap()).is_some(),
            "a share lacks permits"
        );
    }
    assert_eq!(budget.audit(), Ok(()));
}

/// Charges wait, grow, split and shrink; one wait is cancelled, before, while or after its bytes become free.
pub(crate) async fn nothing_is_charged_at_the_end() {
    let budget = Budget::new(CAPACITY);
    let (a, b) = (budget.share(80_000), budget.share(80_000));
    let cancel = Arc::new(Notify::new());
    let splits = tokio::spawn({
        let a = a.clone();
        async move {
            let mut charge = a.charge(60_000).await;
            assert_eq!(charge.bytes(), 60_000);
            let mut part = charge.split_off(20_000);
            part.shrink_to(5_000);
            charge.absorb(part);
            assert_eq!(charge.bytes(), 45_000);
        }
    });
    let cancelled = tokio::spawn({
        let (b, cancel) = (b.clone(), Arc::clone(&cancel));
        async move {
            tokio::select! {
                biased;
                () = cancel.notified() => {}
                charge = b.charge(60_000) => assert_eq!(charge.bytes(), 60_000),
            }
        }
    });
    let grows = tokio::spawn({
        let b = b.clone();
        async move {
            let mut charge = b.charge(30_000).await;
            charge.shrink_to(10_000);
            let covered = charge.try_cover(50_000);
            assert_eq!(charge.bytes(), if covered { 50_000 } else { 10_000 });
        }
    });
    let tries = a.try_charge(50_000);
    cancel.notify_one();
    drop(tries);
    joined(vec![splits, cancelled, grows]).await;
    assert_at_rest(&budget, [&a, &b]);
}

/// A driver that holds an open batch learns of a wait, however the two meet, and gives the batch up.
pub(crate) async fn a_driver_learns_of_a_wait() {
    let budget = Budget::new(CAPACITY);
    let (a, b) = (budget.share(CAPACITY), budget.share(CAPACITY));
    let batch = a.try_charge(80_000).expect("all is free");
    let driver = tokio::spawn({
        let budget = Arc::clone(&budget);
        async move {
            // As `channel::driver::drive` does.
            loop {
                let pressure = budget.pressure();
                tokio::pin!(pressure);
                pressure.as_mut().enable();
                if budget.is_pressed() {
                    break;
                }
                pressure.await;
            }
            drop(batch);
        }
    });
    let append = tokio::spawn({
        let b = b.clone();
        async move { drop(b.charge(60_000).await) }
    });
    joined(vec![driver, append]).await;
    assert_at_rest(&budget, [&a, &b]);
}

/// An append that only a caller could make room for fails, and does not wait for that caller.
pub(crate) async fn no_append_waits_for_what_was_handed_back() {
    let budget = Budget::new(CAPACITY);
    let (elastic, named) = (budget.share(CAPACITY), budget.share(CAPACITY));
    let failing = elastic.try_charge(60_000).expect("all is free");
    let sent = elastic.try_charge(40_000).expect("the rest is free");
    let append = tokio::spawn({
        let named = named.clone();
        async move { named.charge_within(50_000, None, pending()).await }
    });
    let fails = tokio::spawn(async move { failing.handed_back() });
    let accepted = tokio::spawn(async move { drop(sent) });
    let error = append
        .await
        .expect("no panic")
        .expect_err("60,000 are held");
    assert_eq!(error.kind(), ErrorKind::Backpressure);
    drop(joined(vec![fails]).await);
    joined(vec![accepted]).await;
    assert_at_rest(&budget, [&elastic, &named]);
}

/// What is handed back while appends wait no longer counts against their share.
pub(crate) async fn a_wait_learns_what_was_handed_back() {
    let budget = Budget::new(CAPACITY);
    let (elastic, named) = (budget.share(CAPACITY), budget.share(CAPACITY));
    let failing = elastic.try_charge(60_000).expect("all is free");
    let sent = elastic.try_charge(20_000).expect("40,000 are free");
    let others = named.try_charge(20_000).expect("20,000 are free");
    let waits = [&elastic, &named].map(|share| {
        let share = share.clone();
        tokio::spawn(async move { share.charge(10_000).await })
    });
    let fails = tokio::spawn(async move { failing.handed_back() });
    let accepted = tokio::spawn(async move { drop((sent, others)) });
    let charges = joined(waits.into()).await;
    assert!(charges.iter().all(|charge| charge.bytes() == 10_000));
    drop(charges);
    drop(joined(vec![fails]).await);
    joined(vec![accepted]).await;
    assert_at_rest(&budget, [&elastic, &named]);
}

/// Several appends of one channel wait while another channel waits too; all have their turn.
pub(crate) async fn appends_of_one_channel_all_have_their_turn() {
    let budget = Budget::new(CAPACITY);
    let (a, b) = (budget.share(CAPACITY), budget.share(CAPACITY));
    let held = a.try_charge(90_000).expect("all is free");
    let waits = [&a, &a, &a, &b].map(|share| {
        let share = share.clone();
        async move {
            // Each piece is in a batch and accepted before the next one.
            for _ in 0..2 {
                let charge = share.charge(40_000).await;
                assert_eq!(charge.bytes(), 40_000);
            }
        }
    });
    let waits = parallel(waits);
    let accepted = tokio::spawn(async move { drop(held) });
    joined(waits).await;
    joined(vec![accepted]).await;
    assert_at_rest(&budget, [&a, &b]);
}
