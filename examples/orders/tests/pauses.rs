//! The pauses before a stream is started again.

use std::time::Duration;

use crate::pauses::Pauses;
use crate::table::Table;

fn millis(first: u64, instance: u64, table: Table, count: usize) -> Vec<u128> {
    let mut pauses = Pauses::new(Duration::from_millis(first), Some(instance), table);
    (0..count).map(|_| pauses.next().as_millis()).collect()
}

#[test]
fn pauses_double_up_to_sixteen_seconds_and_are_up_to_a_quarter_longer() {
    let bounds = [
        (1_000, 1_250),
        (2_000, 2_500),
        (4_000, 5_000),
        (8_000, 10_000),
        (16_000, 20_000),
        (16_000, 20_000),
    ];
    let (mut shortest, mut longest) = (1_250, 1_000);
    for instance in 0..500 {
        let pauses = millis(1_000, instance, Table::Orders, bounds.len());
        for (pause, (least, most)) in pauses.iter().zip(bounds) {
            assert!((least..=most).contains(pause), "{pauses:?}");
        }
        (shortest, longest) = (shortest.min(pauses[0]), longest.max(pauses[0]));
    }
    assert!(shortest < 1_010 && longest > 1_240, "{shortest} {longest}");
}

#[test]
fn streams_that_fail_together_do_not_start_again_together() {
    let of_one = millis(1_000, 3, Table::Orders, 4);
    assert_eq!(of_one, millis(1_000, 3, Table::Orders, 4));
    assert_ne!(of_one, millis(1_000, 3, Table::OrderItems, 4));
    assert_ne!(of_one, millis(1_000, 4, Table::Orders, 4));
}

#[test]
fn any_first_pause_works() {
    assert_eq!(millis(0, 0, Table::Orders, 3), [0, 0, 0]);
    let long = millis(u64::MAX, 0, Table::Orders, 1);
    assert!((16_000..=20_000).contains(&long[0]), "{long:?}");
}
