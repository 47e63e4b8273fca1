//! The rows of CUSTOMERS. Each is a function of the seed and the customer's number, as the orders are.

use std::ops::RangeInclusive;
use std::sync::Arc;

use jiff::Span;
use jiff::civil::DateTime;
use snowpipe_connector_support::dice::Dice;

use crate::customers::Customers;
use crate::model::Customer;
use crate::offsets::CustomerOffset;
use crate::rows::Rows;

/// The seed's stream for the rows of customers.
const STREAM: u64 = u64::MAX - 1;
/// The distance between the first draws of two customers: more draws than a customer needs.
const DRAWS: u128 = 16;

const FIRST_NAMES: [&str; 20] = [
    "Ava", "Ben", "Carla", "Daniel", "Emma", "Felix", "Grace", "Henry", "Iris", "Jack", "Kim",
    "Leo", "Mia", "Noah", "Olivia", "Paul", "Rosa", "Sam", "Tara", "Will",
];
const LAST_NAMES: [&str; 20] = [
    "Adams", "Baker", "Clark", "Davis", "Evans", "Foster", "Garcia", "Hill", "Ito", "Jones",
    "King", "Lopez", "Miller", "Nguyen", "Olsen", "Parker", "Reed", "Smith", "Turner", "Young",
];
const STREETS: [&str; 10] = [
    "Alpine Way",
    "Summit Road",
    "Ridge Street",
    "Aspen Avenue",
    "Glacier Lane",
    "Pine Street",
    "Powder Drive",
    "Main Street",
    "Canyon Road",
    "Lodge Court",
];
const CITIES: [&str; 15] = [
    "Aspen",
    "Vail",
    "Breckenridge",
    "Telluride",
    "Steamboat Springs",
    "Park City",
    "Jackson",
    "Mammoth Lakes",
    "Truckee",
    "Bend",
    "Bellingham",
    "Bozeman",
    "Ketchum",
    "Reno",
    "Whistler",
];
const STATES: [&str; 10] = ["CO", "UT", "WY", "CA", "WA", "OR", "MT", "ID", "NV", "BC"];
const DAYS_AGO: RangeInclusive<u64> = 1..=1_825;

/// The customers of an instance.
#[derive(Debug)]
pub(crate) struct CustomerRows {
    dice: Dice,
    customers: Arc<Customers>,
    range: RangeInclusive<u64>,
    now: DateTime,
}

impl CustomerRows {
    /// The customers in `range`. They have registered before `now`.
    pub(crate) fn new(
        seed: u64,
        customers: Arc<Customers>,
        range: RangeInclusive<u64>,
        now: DateTime,
    ) -> Self {
        Self {
            dice: Dice::new(seed, STREAM),
            customers,
            range,
            now,
        }
    }

    fn customer(&self, id: u64) -> Customer {
        let mut dice = self.dice.after(u128::from(id) * DRAWS);
        let days = i64::try_from(dice.within(&DAYS_AGO)).unwrap_or(1);
        Customer {
            customer_id: id,
            first_name: one_of(&mut dice, &FIRST_NAMES),
            last_name: one_of(&mut dice, &LAST_NAMES),
            email: format!("customer{id}@email.com"),
            phone: format!(
                "555-{:03}-{:04}",
                dice.within(&(0..=999)),
                dice.within(&(0..=9_999))
            ),
            address: format!(
                "{} {}",
                dice.within(&(100..=9_999)),
                one_of(&mut dice, &STREETS)
            ),
            city: one_of(&mut dice, &CITIES),
            state: one_of(&mut dice, &STATES),
            zip_code: dice.within(&(10_000..=99_999)),
            registration_date: self.now.date().saturating_sub(Span::new().days(days)),
            customer_segment: self.customers.segment(id),
        }
    }
}

impl Rows for CustomerRows {
    type Offset = CustomerOffset;
    type Row = Customer;

    fn last(&self) -> u64 {
        (self.range.end() + 1).saturating_sub(*self.range.start())
    }

    /// Customers come in at once, not with the orders.
    fn from(&self, first: u64) -> impl Iterator<Item = (u64, Customer)> + Send {
        let start = self.range.start() - 1;
        (first..=self.last()).map(move |number| (0, self.customer(start + number)))
    }
}

fn one_of(dice: &mut Dice, all: &[&'static str]) -> &'static str {
    let index = dice.within(&(0..=(all.len() as u64).saturating_sub(1)));
    let index = usize::try_from(index).unwrap_or(0);
    all.get(index).copied().unwrap_or_default()
}
