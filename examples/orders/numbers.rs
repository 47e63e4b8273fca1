//! Numbers for the items, from 1 without gaps: the items of an order follow those of the order before it.

use std::ops::Range;
use std::sync::Arc;

use crate::generator::Generator;

/// The distance between two orders whose first item number is stored.
const STRIDE: u64 = 1_024;

/// Maps item numbers to orders. Stores the first item number of every 1024th order and counts from there.
#[derive(Debug)]
pub(crate) struct ItemNumbers {
    generator: Arc<Generator>,
    /// The number of items before the orders 1, 1 + STRIDE, 1 + 2 STRIDE, and so on.
    before: Vec<u64>,
    total: u64,
}

impl ItemNumbers {
    /// Numbers for the items of the orders up to the number `last`. Computes the number of items of each.
    pub(crate) fn reserve(generator: Arc<Generator>, last: u64) -> Self {
        let mut before = Vec::new();
        let mut total = 0;
        for order in 1..=last {
            if (order - 1) % STRIDE == 0 {
                before.push(total);
            }
            total += generator.items_of(order);
        }
        Self {
            generator,
            before,
            total,
        }
    }

    /// The number of items, which is the number of the last item.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The order of an item, and the numbers of all items of this order.
    pub(crate) fn find(&self, item: u64) -> (u64, Range<u64>) {
        let index = self.before.partition_point(|before| *before < item);
        let index = index.saturating_sub(1);
        let mut order = index as u64 * STRIDE + 1;
        let mut first = self.before.get(index).copied().unwrap_or(0) + 1;
        loop {
            let next = first + self.generator.items_of(order);
            if item < next {
                return (order, first..next);
            }
            (order, first) = (order + 1, next);
        }
    }
}
