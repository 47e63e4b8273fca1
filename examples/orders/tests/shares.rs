//! How orders and customers are distributed over instances.

use proptest::prelude::*;

use super::{CUSTOMERS, SEED, customers, job, now};
use crate::generator::Generator;
use crate::orchestrate;
use crate::plan::{Part, distribute};
use crate::rows::{Orders, Rows};

fn part(instance: u64, orders: u64, first: u64, last: u64) -> Part {
    Part {
        instance: Some(instance),
        orders,
        customers: first..=last,
    }
}

#[test]
fn remaining_orders_go_to_the_first_instances_and_remaining_customers_to_the_last() {
    assert_eq!(distribute(10, 1, 5), [part(0, 10, 1, 5)]);
    assert_eq!(
        distribute(10_000_000, 3, 20_504),
        [
            part(0, 3_333_334, 1, 6_834),
            part(1, 3_333_333, 6_835, 13_668),
            part(2, 3_333_333, 13_669, 20_504),
        ]
    );
    let more_instances_than_orders = distribute(2, 3, 9);
    assert_eq!(
        more_instances_than_orders,
        [part(0, 1, 1, 3), part(1, 1, 4, 6), part(2, 0, 7, 9)]
    );
    let more_instances_than_customers = distribute(7, 4, 2);
    assert_eq!(
        more_instances_than_customers,
        [
            part(0, 4, 1, 1),
            part(1, 3, 2, 2),
            part(2, 0, 1, 0),
            part(3, 0, 1, 0)
        ]
    );
}

#[test]
fn all_orders_and_customers_are_distributed_once() {
    for (orders, instances, customers) in [
        (1, 1, 1),
        (100, 7, 1_000),
        (3, 50, 20),
        (1_000, 10, 10),
        (99, 100, 1),
        (5, 5, 4),
    ] {
        let parts = distribute(orders, instances, customers);
        assert_eq!(parts.len() as u64, instances);
        assert_eq!(parts.iter().map(|part| part.orders).sum::<u64>(), orders);
        let assigned: Vec<_> = parts
            .iter()
            .flat_map(|part| part.customers.clone())
            .collect();
        assert!(
            assigned.into_iter().eq(1..=customers),
            "{orders} {instances} {customers}"
        );
        assert!(
            parts
                .iter()
                .all(|part| part.orders == 0 || !part.customers.is_empty())
        );
    }
}

proptest! {
    #[test]
    fn no_instance_gets_fewer_orders_when_the_total_grows(
        orders in 0..1_000_000_u64,
        more in 0..1_000_u64,
        instances in 1..100_u64,
        customers in 1..200_u64,
    ) {
        let before = distribute(orders, instances, customers);
        let after = distribute(orders + more, instances, customers);
        for (before, after) in before.into_iter().zip(after) {
            prop_assert!(before.orders <= after.orders, "{:?}, then {:?}", before, after);
            prop_assert_eq!(before.customers, after.customers);
        }
    }
}

#[test]
fn an_instance_has_only_orders_of_its_customers() {
    let parts = distribute(1_000, 4, CUSTOMERS);
    let generators = parts.iter().map(|part| {
        Generator::new(
            SEED,
            part.instance,
            customers(),
            part.customers.clone(),
            now(),
        )
    });
    let instances = orchestrate::instances(job(1_000, 4));
    for ((part, generator), instance) in parts.iter().zip(generators).zip(&instances) {
        let orders = Orders::new(generator.into(), part.orders);
        assert_eq!(instance.number, part.instance);
        for (_, order) in orders.from(1) {
            assert!(part.customers.contains(&order.customer_id), "{part:?}");
        }
    }
}
