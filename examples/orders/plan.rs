//! Distributes orders and customers over the instances.

use std::ops::RangeInclusive;

/// One instance's part of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// Its number. `None`: it is the only one.
    pub(crate) instance: Option<u64>,
    pub(crate) orders: u64,
    /// The customers of these orders; empty if there are fewer customers than instances.
    pub(crate) customers: RangeInclusive<u64>,
}

impl Part {
    /// All orders and customers.
    pub(crate) fn whole(orders: u64, customers: u64) -> Self {
        Self {
            instance: None,
            orders,
            customers: 1..=customers,
        }
    }
}

/// Distributes `orders` orders and `customers` customers, numbered from 1, over `instances` instances. The first instances
/// get one order more than the others if the orders cannot be divided evenly, so that no instance gets fewer orders when the
/// total grows: a larger total continues after a smaller one. The last instance gets the remaining customers. If there are
/// fewer customers than instances, those without a customer have no orders.
pub(crate) fn distribute(orders: u64, instances: u64, customers: u64) -> Vec<Part> {
    let busy = instances.min(customers).max(1);
    let part = |instance| {
        if instance >= busy {
            return Part {
                instance: Some(instance),
                orders: 0,
                customers: RangeInclusive::new(1, 0),
            };
        }
        let is_last = instance + 1 == busy;
        let (each, width) = (orders / busy, customers / busy);
        Part {
            instance: Some(instance),
            orders: each + u64::from(instance < orders % busy),
            customers: instance * width + 1..=if is_last {
                customers
            } else {
                (instance + 1) * width
            },
        }
    };
    (0..instances).map(part).collect()
}
