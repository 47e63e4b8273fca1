//! The orders of one instance. Each is a function of the seed, the instance and its number, so nothing has to be stored: after
//! a kill the next run generates the same orders again, starting after the server's offset token.

use std::ops::RangeInclusive;
use std::sync::Arc;

use jiff::SignedDuration;
use jiff::civil::DateTime;
use snowpipe_connector_support::dice::Dice;

use crate::catalogue::{PRODUCTS, Product};
use crate::customers::{Customers, Habits};
use crate::model::{Order, OrderItem};
use crate::money::Money;

/// The distance between the first draws of two orders: more draws than the largest order needs.
const DRAWS: u128 = 64;
/// Where the draws of the items start: after those of the order itself.
const ITEMS_AT: u128 = 16;

const STATUSES: [(u64, &str); 4] = [
    (65, "Completed"),
    (15, "Shipped"),
    (10, "Processing"),
    (7, "Pending"),
];
const OTHERWISE: &str = "Cancelled";
const SHIPPING: (u64, u64) = (5, 50);
/// The seed's stream for a single run. The instances use the streams from 1 on.
const SINGLE_RUN: u64 = u64::MAX;
const DAYS_AGO: RangeInclusive<u64> = 1..=365;

/// Generates the orders of one instance, numbered from 1.
#[derive(Debug, Clone)]
pub(crate) struct Generator {
    dice: Dice,
    customers: Arc<Customers>,
    range: RangeInclusive<u64>,
    now: DateTime,
}

/// The first draws of an order, and the dice after them.
struct Head {
    dice: Dice,
    customer: u64,
    habits: &'static Habits,
    items: u64,
}

impl Generator {
    /// The generator of `instance`, or of a single run, with the customers in `range`. Orders are dated before `now`.
    pub(crate) fn new(
        seed: u64,
        instance: Option<u64>,
        customers: Arc<Customers>,
        range: RangeInclusive<u64>,
        now: DateTime,
    ) -> Self {
        Self {
            dice: Dice::new(seed, instance.map_or(SINGLE_RUN, |instance| instance + 1)),
            customers,
            range,
            now,
        }
    }

    /// How many items an order has.
    pub(crate) fn items_of(&self, order: u64) -> u64 {
        self.head(order).items
    }

    /// An order.
    pub(crate) fn order(&self, order: u64) -> Order {
        let Head {
            mut dice,
            customer,
            habits,
            ..
        } = self.head(order);
        Order {
            order_id: dice.uuid(),
            customer_id: customer,
            order_date: self.date(&mut dice),
            order_status: dice.choose(&STATUSES, OTHERWISE),
            total_amount: Money::between(&mut dice, habits.amount),
            discount_percent: if dice.percent(habits.discounted) {
                dice.within(&habits.discount)
            } else {
                0
            },
            shipping_cost: Money::between(&mut dice, SHIPPING),
        }
    }

    /// The items of an order.
    pub(crate) fn items(&self, order: u64) -> impl Iterator<Item = OrderItem> + use<> {
        let Head {
            mut dice,
            habits,
            items,
            ..
        } = self.head(order);
        let order_id = dice.uuid();
        let mut dice = self.dice.after(u128::from(order) * DRAWS + ITEMS_AT);
        (0..items).map(move |_| {
            let order_item_id = dice.uuid();
            let Product { id, name, category } = product(&mut dice);
            let quantity = dice.within(&habits.quantity);
            let unit_price = Money::between(&mut dice, habits.unit_price);
            OrderItem {
                order_item_id,
                order_id,
                product_id: id,
                product_name: name,
                product_category: category,
                quantity,
                unit_price,
                line_total: unit_price.times(quantity),
            }
        })
    }

    fn head(&self, order: u64) -> Head {
        let mut dice = self.dice.after(u128::from(order) * DRAWS);
        let customer = dice.within(&self.range);
        let habits = self.customers.segment(customer).habits();
        let items = dice.within(&habits.items);
        Head {
            dice,
            customer,
            habits,
            items,
        }
    }

    fn date(&self, dice: &mut Dice) -> DateTime {
        let days = dice.within(&DAYS_AGO);
        let seconds = days * 86_400 + dice.within(&(0..=86_399));
        let ago = i64::try_from(seconds).map_or(SignedDuration::ZERO, SignedDuration::from_secs);
        self.now.saturating_sub(ago)
    }
}

fn product(dice: &mut Dice) -> Product {
    let [first, ..] = PRODUCTS;
    let index = dice.within(&(0..=PRODUCTS.len() as u64 - 1));
    let index = usize::try_from(index).unwrap_or(0);
    PRODUCTS.get(index).copied().unwrap_or(first)
}
