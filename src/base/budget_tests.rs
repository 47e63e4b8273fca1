//! Tests of the budget: charges, returns and waiting.

use super::*;

/// A wait without an append timeout.
async fn wait(share: &Share, bytes: usize) -> Result<Charge> {
    let charge = share.charge_within(bytes, None, std::future::pending());
    let hour = Duration::from_secs(3600);
    tokio::time::timeout(hour, charge).await.expect("an end")
}

#[tokio::test(start_paused = true)]
async fn an_append_does_not_wait_for_memory_that_only_a_caller_can_free() {
    let budget = Budget::new(100_000);
    let (elastic, named) = (budget.share(100_000), budget.share(100_000));
    let first = elastic.try_charge(60_000).unwrap();
    let second = elastic.try_charge(40_000).unwrap();
    let waiting = wait(&named, 50_000);
    tokio::pin!(waiting);
    assert!(futures_util::poll!(&mut waiting).is_pending());
    let first = first.handed_back();
    let error = waiting.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Backpressure, "{error}");
    assert!(error.to_string().contains("checkpoint"), "{error}");

    // Rows in flight will make room for this append.
    let waiting = wait(&named, 40_000);
    tokio::pin!(waiting);
    assert!(futures_util::poll!(&mut waiting).is_pending());
    drop(second);
    assert_eq!(waiting.await.unwrap().bytes(), 40_000);
    drop(first);
    assert_eq!(budget.handed_back(), 0);
    assert_eq!(wait(&elastic, 100_000).await.unwrap().bytes(), 100_000);
    // The append can wait again after a caller has taken rows.
    let held = named.try_charge(50_000).unwrap();
    let waiting = wait(&elastic, 90_000);
    tokio::pin!(waiting);
    assert!(futures_util::poll!(&mut waiting).is_pending());
    drop(held);
    assert_eq!(waiting.await.unwrap().bytes(), 90_000);
    assert_eq!(budget.in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn handed_back_bytes_do_not_count_against_an_equal_part() {
    let budget = Budget::new(100_000);
    let (elastic, named) = (budget.share(100_000), budget.share(100_000));
    let failing = elastic.try_charge(60_000).unwrap();
    let sent = elastic.try_charge(20_000).unwrap();
    let others = named.try_charge(20_000).unwrap();
    let (more_of_named, more_of_elastic) = (wait(&named, 10_000), wait(&elastic, 10_000));
    tokio::pin!(more_of_named, more_of_elastic);
    assert!(futures_util::poll!(&mut more_of_named).is_pending());
    assert!(futures_util::poll!(&mut more_of_elastic).is_pending());
    let _failed = failing.handed_back();
    drop((sent, others));
    assert_eq!(more_of_elastic.await.unwrap().bytes(), 10_000);
    assert_eq!(more_of_named.await.unwrap().bytes(), 10_000);
}

#[test]
fn charges_are_returned_to_the_byte() {
    let budget = Budget::new(100);
    let share = budget.share(60);
    let mut a = share.try_charge(40).unwrap();
    assert_eq!(budget.in_use(), 40);
    assert!(share.try_charge(21).is_none(), "the share's cap holds");
    a.absorb(share.try_charge(20).unwrap());
    assert_eq!((a.bytes(), budget.in_use()), (60, 60));
    let b = a.split_off(25);
    assert_eq!((a.bytes(), b.bytes(), budget.in_use()), (35, 25, 60));
    a.shrink_to(5);
    assert_eq!(budget.in_use(), 30);
    a.shrink_to(50);
    assert_eq!(
        (a.bytes(), budget.in_use()),
        (5, 30),
        "a charge never grows by shrinking"
    );
    drop((a, b));
    assert_eq!(budget.in_use(), 0);
}

#[test]
fn shares_compete_for_the_budget() {
    let budget = Budget::new(100);
    let (a, b) = (budget.share(60), budget.share(60));
    let _a = a.try_charge(60).unwrap();
    assert!(b.try_charge(41).is_none());
    assert!(b.try_charge(40).is_some());
}

#[tokio::test(start_paused = true)]
async fn while_others_wait_no_share_takes_more_than_an_equal_part() {
    let budget = Budget::new(100_000);
    let (a, b) = (budget.share(80_000), budget.share(80_000));
    let mut first = a.try_charge(80_000).unwrap();
    let second = b.try_charge(20_000).unwrap();
    let (more_of_b, more_of_a) = (b.charge(10_000), a.charge(10_000));
    tokio::pin!(more_of_b, more_of_a);
    assert!(futures_util::poll!(&mut more_of_b).is_pending());
    assert!(futures_util::poll!(&mut more_of_a).is_pending());
    first.shrink_to(50_000);
    let third = more_of_b.await;
    assert!(
        futures_util::poll!(&mut more_of_a).is_pending(),
        "the share holds its half; 20,000 are free"
    );
    first.shrink_to(40_000);
    assert_eq!(more_of_a.await.bytes(), 10_000);
    drop((first, second, third));
    assert_eq!(budget.in_use(), 0);
    assert_eq!(
        a.charge(80_000).await.bytes(),
        80_000,
        "alone the share has its whole cap"
    );
}

#[tokio::test(start_paused = true)]
async fn several_waiting_appends_of_one_share_count_as_one() {
    let budget = Budget::new(100_000);
    let share = budget.share(80_000);
    let mut held = share.try_charge(80_000).unwrap();
    let (first, second) = (share.charge(10_000), share.charge(10_000));
    tokio::pin!(first, second);
    assert!(futures_util::poll!(&mut first).is_pending());
    assert!(futures_util::poll!(&mut second).is_pending());
    held.shrink_to(60_000);
    assert_eq!(first.await.bytes() + second.await.bytes(), 20_000);
}

#[tokio::test(start_paused = true)]
async fn a_budget_may_be_larger_than_a_single_charge() {
    let budget = Budget::new((8 << 30) - 2);
    let (a, b) = (budget.share(8 << 30), budget.share(8 << 30));
    let mut charges = Vec::new();
    while let Some(charge) = a.try_charge(1 << 30) {
        charges.push(charge);
    }
    charges.extend(a.try_charge((1 << 30) - 2));
    let (more_of_a, more_of_b) = (a.charge(1 << 20), b.charge(1 << 20));
    tokio::pin!(more_of_a, more_of_b);
    assert!(futures_util::poll!(&mut more_of_a).is_pending());
    assert!(futures_util::poll!(&mut more_of_b).is_pending());
    drop(charges);
    drop((more_of_a.await, more_of_b.await));
    assert_eq!(budget.in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_wait_charges_nothing() {
    let budget = Budget::new(10);
    let share = budget.share(10);
    let held = share.try_charge(8).unwrap();
    let pressure = budget.pressure();
    tokio::pin!(pressure);
    assert!(!pressure.as_mut().enable());
    {
        let wait = share.charge(5);
        tokio::pin!(wait);
        assert!(futures_util::poll!(&mut wait).is_pending());
        assert!(budget.is_pressed());
        assert!(futures_util::poll!(&mut pressure).is_ready());
    }
    assert!(!budget.is_pressed());
    assert_eq!(budget.in_use(), 8);
    drop(held);
    assert_eq!(share.charge(10).await.bytes(), 10);
    assert_eq!(budget.in_use(), 0);
}

#[test]
fn an_audit_names_the_mismatch() {
    let budget = Budget::new(100);
    let share = budget.share(100);
    let charge = share.try_charge(40).unwrap();
    assert_eq!(budget.audit(), Ok(()));
    budget.free.add_permits(1);
    let error = budget.audit().unwrap_err();
    assert_eq!(
        error,
        "bytes are free and charged at once: 61 free, 40 charged, of 100"
    );
    budget.free.forget_permits(2);
    let error = budget.audit().unwrap_err();
    assert_eq!(
        error,
        "bytes are taken and not charged: 59 free, 40 charged, of 100"
    );
    budget.free.add_permits(1);
    drop(charge);
    assert_eq!(budget.audit(), Ok(()));
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "returned twice")]
fn bytes_returned_twice_panic_in_a_debug_build() {
    let budget = Budget::new(100);
    let charge = budget.share(100).try_charge(40).unwrap();
    budget.free.add_permits(1);
    drop(charge);
}

proptest::proptest! {
    /// After any sequence of operations, permits and charges agree at each step, and nothing is left at the end.
    #[test]
    fn permits_and_charges_agree_after_every_step(
        steps in proptest::collection::vec((0_u8..6, 0_usize..8, 0_usize..8, 0_usize..70), 1..100),
    ) {
        let budget = Budget::new(200);
        let shares = [budget.share(120), budget.share(150)];
        let mut charges: [Vec<Charge>; 2] = Default::default();
        for (kind, from, to, bytes) in steps {
            let own = &mut charges[from % 2];
            let pair = [from / 2, to].map(|i| i.checked_rem(own.len()));
            match (kind, pair) {
                (0, _) => own.extend(shares[from % 2].try_charge(bytes)),
                (1, [Some(i), _]) => drop(own.swap_remove(i)),
                (2, [Some(i), _]) => own[i].shrink_to(bytes),
                (3, [Some(i), _]) => {
                    own[i].try_cover(bytes);
                }
                (4, [Some(i), Some(j)]) if i != j => {
                    let mut other = own.swap_remove(i.max(j));
                    let kept = &mut own[i.min(j)];
                    if bytes % 2 == 0 {
                        kept.absorb(other);
                    } else {
                        other.hand_to(kept, bytes);
                        own.push(other);
                    }
                }
                (_, [Some(i), _]) => {
                    let part = own[i].split_off(bytes);
                    own.push(part);
                }
                _ => {}
            }
            for (share, charges) in shares.iter().zip(&charges) {
                let held: usize = charges.iter().map(Charge::bytes).sum();
                proptest::prop_assert_eq!(share.cap - share.free.available_permits(), held);
            }
            let held: usize = charges.iter().flatten().map(Charge::bytes).sum();
            proptest::prop_assert_eq!((budget.in_use(), budget.audit()), (held, Ok(())));
        }
        charges.iter_mut().for_each(Vec::clear);
        proptest::prop_assert_eq!((budget.in_use(), budget.audit()), (0, Ok(())));
    }
}

/// An append that is dropped while it collects returns what it has collected, and the one behind it takes it.
#[tokio::test(start_paused = true)]
async fn what_a_cancelled_wait_had_collected_wakes_the_others() {
    let budget = Budget::new(64_000);
    let (stalled, share) = (budget.share(64_000), budget.share(32_000));
    let _stalled = stalled.try_charge(52_000).unwrap();
    let mut large = Box::pin(share.charge(16_000));
    assert!(futures_util::poll!(&mut large).is_pending());
    let small = share.charge(1_000);
    tokio::pin!(small);
    assert!(futures_util::poll!(&mut small).is_pending(), "it is behind");
    assert!(share.try_charge(1_000).is_none(), "so is a newcomer");
    drop(large);
    let charge = tokio::time::timeout(Duration::from_secs(60), small).await;
    assert_eq!(charge.unwrap().bytes(), 1_000);
}
