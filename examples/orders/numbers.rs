//! Numbers for the items: each order's follow those of the order before it, so that they run from 1 without a gap.

use std::ops::Range;
use std::sync::Arc;

use crate::generator::Generator;

/// How many orders lie between two that are remembered.
const STRIDE: u64 = 1_024;

/// Which item numbers belong to which order. It remembers one order in a thousand and counts on from there.
#[derive(Debug)]
pub(crate) struct ItemNumbers {
    generator: Arc<Generator>,
    /// How many items come before the orders 1, 1 + STRIDE, 1 + 2 STRIDE and so on.
    before: Vec<u64>,
    total: u64,
}

impl ItemNumbers {
    /// Numbers for the items of the orders through the number `last`. Looks at each of these.
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

    /// How many items there are: the last one's number.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The order that an item belongs to, and the numbers of all its items.
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
