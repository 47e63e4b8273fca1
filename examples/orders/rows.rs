//! The rows of the two tables by number, as one instance generates them.

use std::sync::Arc;

use serde::Serialize;
use snowpipe_streaming::ingest::Offset;

use crate::generator::Generator;
use crate::model::{Order, OrderItem};
use crate::numbers::ItemNumbers;
use crate::offsets::{ItemOffset, OrderOffset};

/// Rows that are numbered from 1 without gaps, and can be generated from any number on, repeatedly.
pub(crate) trait Rows: Send + Sync + 'static {
    /// A row's number as an offset.
    type Offset: Offset + Copy + From<u64> + Into<u64>;
    /// A row.
    type Row: Serialize + Send;

    /// The last row's number; 0 without rows.
    fn last(&self) -> u64;

    /// The rows from number `first` on, each with the number of its order.
    fn from(&self, first: u64) -> impl Iterator<Item = (u64, Self::Row)> + Send;
}

/// The rows of ORDERS.
#[derive(Debug)]
pub(crate) struct Orders {
    generator: Arc<Generator>,
    last: u64,
}

/// The rows of `ORDER_ITEMS`.
#[derive(Debug)]
pub(crate) struct Items {
    generator: Arc<Generator>,
    last_order: u64,
    numbers: ItemNumbers,
}

impl Orders {
    /// The orders up to the number `last`.
    pub(crate) fn new(generator: Arc<Generator>, last: u64) -> Self {
        Self { generator, last }
    }
}

impl Items {
    /// The items of the orders up to the number `last_order`. Computes the number of items of each.
    pub(crate) fn new(generator: Arc<Generator>, last_order: u64) -> Self {
        Self {
            numbers: ItemNumbers::reserve(Arc::clone(&generator), last_order),
            generator,
            last_order,
        }
    }
}

impl Rows for Orders {
    type Offset = OrderOffset;
    type Row = Order;

    fn last(&self) -> u64 {
        self.last
    }

    fn from(&self, first: u64) -> impl Iterator<Item = (u64, Order)> + Send {
        (first..=self.last).map(|number| (number, self.generator.order(number)))
    }
}

impl Rows for Items {
    type Offset = ItemOffset;
    type Row = OrderItem;

    fn last(&self) -> u64 {
        self.numbers.total()
    }

    fn from(&self, first: u64) -> impl Iterator<Item = (u64, OrderItem)> + Send {
        let (order, numbers) = self.numbers.find(first);
        let before = usize::try_from(first - numbers.start).unwrap_or(0);
        (order..=self.last_order)
            .flat_map(|order| self.generator.items(order).map(move |item| (order, item)))
            .skip(before)
    }
}
